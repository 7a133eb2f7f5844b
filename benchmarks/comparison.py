# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The comparison table: what each way of training is worth at which budget.

Every row sees as many images, and is scored on the same scenes, which none has seen.

    python benchmarks/comparison.py train [ROW ...]    trains what is missing; may be interrupted
    python benchmarks/comparison.py score              scores what is there
    python benchmarks/comparison.py time               times it, all in turns
    python benchmarks/comparison.py table              prints the table, draws the plots
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from adamtl_ros.evaluation.comparison import draw_plots, markdown
from adamtl_ros.evaluation.evaluate import evaluate
from adamtl_ros.evaluation.random_policy import RandomBackend
from adamtl_ros.nn.checkpoint import load_model
from adamtl_ros.runtime.engine import Engine
from adamtl_ros.tasks import TASKS
from adamtl_ros.training.recipe import read_recipe
from adamtl_ros.training.run import MODEL, train
from adamtl_ros.training.sources import open_source

if TYPE_CHECKING:
    from adamtl_ros.training.recipe import Recipe

CONFIG = Path(__file__).parent.parent / 'config' / 'train' / 'comparison.yaml'
BUDGETS = (1.0, 0.75, 0.57, 0.5, 0.4)
TARGET = 0.57
TIMED = 100
STATIC = {'stages.0.kind': 'static', 'stages.1.kind': 'static', 'stages.2.kind': 'static',
          'stages.1.lr': 0.001, 'stages.1.focus': 0.0, 'stages.2.focus': 0.0}  # fmt: skip
PUBLISHED = {
    'policy.gates': ['blocks', 'tokens'],
    'combinations': False,
    'stages.1.budgets': [TARGET, TARGET],
    'stages.2.budgets': [TARGET, TARGET],
    **{
        f'stages.{stage}.{name}': value
        for stage in (1, 2)
        for name, value in {'full': 0.0, 'focus': 0.0, 'flips': False}.items()
    },
}

ROWS: dict[str, tuple[dict[str, Any], int]] = {
    'ours': ({}, 3),
    **{f'single_{task}': ({**STATIC, 'tasks': [task]}, 3) for task in TASKS},
    'static': (STATIC, 1),
    'pico': ({**STATIC, 'architecture': 'pico'}, 1),
    'adamtl_agnostic': ({**PUBLISHED, 'policy.task_aware': False}, 1),
    'adamtl_aware': (PUBLISHED, 1),
}
"""Changes to the recipe and number of seeds by row."""


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('what', choices=['train', 'score', 'time', 'table'])
    parser.add_argument('rows', nargs='*', help='rows to train; all if not given')
    parser.add_argument('--out', type=Path, default=Path('runs/comparison'))
    parser.add_argument('--seeds', type=int, default=3, help='of a row, at most')
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.what == 'table':
        scores = json.loads((options.out / 'scores.json').read_text())
        print(markdown(scores))
        draw_plots(scores, options.out)
        return
    if options.what == 'time':
        measure(options.out)
        return
    runs = [
        (row, seed)
        for seed in range(options.seeds)
        for row, (_, seeds) in ROWS.items()
        if seed < seeds and (not options.rows or row in options.rows)
    ]
    for row, seed in runs:
        folder = options.out / f'{row}_{seed}'
        if options.what == 'train' and not (folder / MODEL).is_file():
            train(recipe_of(row, seed), folder)
        if options.what == 'score' and (folder / MODEL).is_file():
            score(row, seed, folder)
    if options.what == 'score':
        found = sorted(options.out.glob('*/scores.json'))
        joined = {path.parent.name: json.loads(path.read_text()) for path in found}
        (options.out / 'scores.json').write_text(json.dumps(joined, indent=1))


def recipe_of(row: str, seed: int) -> Recipe:
    """Return the recipe of a row."""
    return read_recipe(CONFIG, {**ROWS[row][0], 'seed': seed, 'name': f'{row}_{seed}'})


def score(row: str, seed: int, folder: Path) -> None:
    """Score a row at its budgets, and where a policy chooses, a random one in its place."""
    out = folder / 'scores.json'
    if out.is_file():
        return
    print(f'scoring {folder.name}', flush=True)
    recipe = recipe_of(row, seed)
    dataset = open_source(recipe.validation)
    engine = Engine(load_model(str(folder / MODEL)), 'cpu')
    budgets = BUDGETS if row == 'ours' else ((TARGET,) if recipe.adaptive else (1.0,))
    found = {str(e.budget): e for e in evaluate(engine, dataset, budgets)}
    if row == 'ours':
        shares = found[str(TARGET)].shares
        engine.backend = RandomBackend(engine.model.network, float(shares.mean()), seed)
        found['random'] = evaluate(engine, dataset, (TARGET,))[0]
    rows = {name: {**e.to_dict(), 'shares': e.shares.tolist(),
                   'difficulty': e.difficulty.tolist()} for name, e in found.items()}  # fmt: skip
    out.write_text(json.dumps(rows))


def measure(out: Path) -> None:
    """Time every network at every budget in turns, so that noise hits all alike."""
    path = out / 'scores.json'
    scores = json.loads(path.read_text())
    engines = {key: Engine(load_model(str(out / key / MODEL)), 'cpu') for key in scores}
    dataset = open_source(read_recipe(CONFIG).validation)
    times: dict[tuple[str, str], list[float]] = {}
    for index in range(0, len(dataset), len(dataset) // TIMED):
        image = dataset[index].image
        for key, engine in engines.items():
            for budget in scores[key]:
                if budget != 'random':  # which is of the same MACs as the policy
                    took = engine.run(image, float(budget)).infer_ms
                    times.setdefault((key, budget), []).append(took)
    for (key, budget), values in times.items():
        scores[key][budget]['infer_ms'] = statistics.median(values)
        if budget == str(TARGET) and 'random' in scores[key]:
            scores[key]['random']['infer_ms'] = statistics.median(values)
    path.write_text(json.dumps(scores, indent=1))


if __name__ == '__main__':
    main()
