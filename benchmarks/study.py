# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Trainings of several rows, scored alike: what the tables of the README are made of.

train [ROW ...]    trains what is missing; may be interrupted
score              scores what is there
time               times it, all in turns
table              prints the table, draws the plots
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from comparison_table import markdown
from random_policy import RandomBackend

from adamtl_ros.evaluation.evaluate import evaluate
from adamtl_ros.nn.io.checkpoint import load_model
from adamtl_ros.runtime.engine import Engine
from adamtl_ros.training.build import build_dataset
from adamtl_ros.training.optim import count_trained_parameters
from adamtl_ros.training.recipe import read_recipe
from adamtl_ros.training.run import MODEL, train

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from comparison_table import Entry, Scores

    from adamtl_ros.training.recipe import Recipe

TARGET = 0.57
TIMED = 100


@dataclass(frozen=True)
class Trained:
    """A row of a study.

    Attributes:
        changes: To the recipe.
        seeds: Number of them.
        budgets: At which it is scored, if not at 1 and no other.
        random: Score a random policy in the place of its own, too.
        weights: A model that is scored as it is, in the place of a training.
        after: Row whose first model it starts from.

    """

    changes: dict[str, Any] = field(default_factory=dict)
    seeds: int = 1
    budgets: tuple[float, ...] = (1.0,)
    random: bool = False
    weights: str = ''
    after: str = ''


@dataclass(frozen=True)
class Study:
    """A recipe, and what is made of it.

    Attributes:
        name: Of the recipe in `benchmarks/recipes`, and of the folder for results.
        rows: By name.
        entries: Lines of the table.
        draw: Draws its plots into a file.

    """

    name: str
    rows: Mapping[str, Trained]
    entries: tuple[Entry, ...]
    draw: Callable[[Scores, Iterable[Entry], Path], None]

    def recipe(self, row: str, seed: int, out: Path = Path()) -> Recipe:
        """Return the recipe of a row; `out` is where the others are."""
        path = Path(__file__).parent / 'recipes' / f'{self.name}.yaml'
        changes = {**self.rows[row].changes, 'seed': seed, 'name': f'{row}_{seed}'}
        if self.rows[row].after:
            changes['start'] = str(out / f'{self.rows[row].after}_0' / MODEL)
        return read_recipe(path, changes)

    def model(self, folder: Path) -> str:
        """Return the weights of the row that a folder belongs to."""
        return self.rows[folder.name.rpartition('_')[0]].weights or str(folder / MODEL)

    def main(self) -> None:
        """Do what the command line says."""
        parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter,
                                         description=__doc__.partition('\n\n')[2])  # fmt: skip
        parser.add_argument('what', choices=['train', 'score', 'time', 'table'])
        parser.add_argument('rows', nargs='*', help='rows to train; all if not given')
        parser.add_argument('--out', type=Path, default=Path('runs') / self.name)
        parser.add_argument('--seeds', type=int, default=3, help='of a row, at most')
        options = parser.parse_args()
        torch.set_num_threads(1)
        if options.what == 'train':
            self.train(options.out, options.rows, options.seeds)
        elif options.what == 'score':
            self.score(options.out)
        elif options.what == 'time':
            measure(options.out, self)
        else:
            scores = json.loads((options.out / 'scores.json').read_text())
            print(markdown(scores, self.entries))
            self.draw(scores, self.entries, options.out / f'{self.name}.png')

    def train(self, out: Path, rows: list[str], most: int) -> None:
        """Train what is not there yet, the first seed of all rows first."""
        for seed in range(most):
            for row, trained in self.rows.items():
                folder = out / f'{row}_{seed}'
                wanted = seed < trained.seeds and (not rows or row in rows)
                if wanted and not (trained.weights or (folder / MODEL).is_file()):
                    train(self.recipe(row, seed, out), folder)

    def score(self, out: Path) -> None:
        """Score what is there and has no score, and join all scores."""
        for row, trained in self.rows.items():
            for seed in range(trained.seeds):
                folder = out / f'{row}_{seed}'
                there = trained.weights or (folder / MODEL).is_file()
                if there and not (folder / 'scores.json').is_file():
                    print(f'scoring {folder.name}', flush=True)
                    folder.mkdir(parents=True, exist_ok=True)
                    found = score(self.recipe(row, seed), trained, self.model(folder))
                    (folder / 'scores.json').write_text(json.dumps(found))
        every = sorted(out.glob('*/scores.json'))
        known = [path for path in every if path.parent.name.rpartition('_')[0] in self.rows]
        joined = {path.parent.name: json.loads(path.read_text()) for path in known}
        (out / 'scores.json').write_text(json.dumps(joined, indent=1))


def score(recipe: Recipe, row: Trained, model: str) -> dict[str, Any]:
    """Score a model at its budgets, and where that is wanted a random policy in its place."""
    dataset = build_dataset(recipe.validation)
    engine = Engine(load_model(model), 'cpu')
    found = {str(e.budget): e for e in evaluate(engine, dataset, row.budgets, recipe.tasks)}
    if row.random:
        shares = found[str(TARGET)].shares
        engine.backend = RandomBackend(engine.model.network, float(shares.mean()), recipe.seed)
        found['random'] = evaluate(engine, dataset, (TARGET,))[0]
    learned = 0 if row.weights else count_trained_parameters(engine.model.network, recipe)
    return {
        name: {**e.to_dict(), 'shares': e.shares.tolist(), 'trained': learned,
               'difficulty': e.difficulty.tolist()}
        for name, e in found.items()
    }  # fmt: skip


def measure(out: Path, study: Study) -> None:
    """Time every network at every budget in turns, so that noise hits all alike."""
    path = out / 'scores.json'
    scores = json.loads(path.read_text())
    recipes = {key: study.recipe(key.rpartition('_')[0], 0) for key in scores}
    engines = {key: Engine(load_model(study.model(out / key)), 'cpu') for key in scores}
    dataset = build_dataset(next(iter(recipes.values())).validation)
    runs = {
        (key, budget): partial(engines[key].run, budget=float(budget), tasks=recipes[key].tasks)
        for key, some in scores.items()
        for budget in some
        if budget != 'random'  # which is of the same MACs as the policy
    }
    times: dict[tuple[str, str], list[float]] = {run: [] for run in runs}
    for index in range(0, len(dataset), max(1, len(dataset) // TIMED)):
        image = dataset[index].image
        for name, run in runs.items():
            times[name].append(run(image).infer_ms)
    for (key, budget), values in times.items():
        scores[key][budget]['infer_ms'] = statistics.median(values)
        if budget == str(TARGET) and 'random' in scores[key]:
            scores[key]['random']['infer_ms'] = statistics.median(values)
    path.write_text(json.dumps(scores, indent=1))
