# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Studies: several trainings that are scored alike and compared in a table.

train [ROW ...]    trains rows that have no model yet; may be interrupted
score              scores models that have no scores yet
time               times all models in turns
table              prints the table and draws the plots
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from comparison_table import markdown
from random_policy import RandomBackend

from adamtl_ros.commands.options import add_change_option, changes_from
from adamtl_ros.evaluation.evaluate import evaluate
from adamtl_ros.nn.io.checkpoint import load_model
from adamtl_ros.runtime.engine import Engine
from adamtl_ros.tasks import TASKS
from adamtl_ros.training.build import build_dataset
from adamtl_ros.training.optim import count_trained_parameters
from adamtl_ros.training.recipe import read_recipe
from adamtl_ros.training.run import MODEL, train

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from comparison_table import Entry, Scores

    from adamtl_ros.training.recipe import Recipe

TARGET = 0.57
"""Budget at which methods are compared."""
TIMED_IMAGES = 100


@dataclass(frozen=True)
class StudyRow:
    """Row of a study.

    Attributes:
        changes: Changes to the recipe; see `read_recipe()`.
        seeds: Number of seeds.
        budgets: Budgets at which it is scored.
        random: Also score a random policy in place of its own.
        weights: Model that is scored without training; empty for a training.
        after: Row whose first model it starts from; empty for none.

    """

    changes: dict[str, Any] = field(default_factory=dict)
    seeds: int = 1
    budgets: tuple[float, ...] = (1.0,)
    random: bool = False
    weights: str = ''
    after: str = ''


@dataclass(frozen=True)
class Study:
    """Rows that vary a recipe, and how their scores are shown.

    Attributes:
        name: Name of the recipe in `benchmarks/recipes`, and of the folder of results.
        rows: Rows by name.
        entries: Entries of the table.
        draw: Function that draws the plots into a file.
        tasks: Names of its tasks.
        changes: Changes to the recipe of all rows, such as the folder of the data.

    """

    name: str
    rows: Mapping[str, StudyRow]
    entries: tuple[Entry, ...]
    draw: Callable[[Scores, Iterable[Entry], Path, Sequence[str]], None]
    tasks: tuple[str, ...] = tuple(TASKS)
    changes: Mapping[str, Any] = field(default_factory=dict)

    def recipe(self, row: str, seed: int, out: Path = Path()) -> Recipe:
        """Return the recipe of a row.

        Args:
            row: Name of the row.
            seed: Seed.
            out: Folder of all results, for rows that start from another one.

        """
        path = Path(__file__).parent / 'recipes' / f'{self.name}.yaml'
        changes = {**self.changes, **self.rows[row].changes}
        changes |= {'seed': seed, 'name': f'{row}_{seed}'}
        if self.rows[row].after:
            changes['start'] = str(out / f'{self.rows[row].after}_0' / MODEL)
        return read_recipe(path, changes)

    def model(self, folder: Path) -> str:
        """Return the model of a folder, '<row>_<seed>'."""
        return self.rows[folder.name.rpartition('_')[0]].weights or str(folder / MODEL)

    def main(self) -> None:
        """Run the command line."""
        parser = argparse.ArgumentParser(
            formatter_class=argparse.RawDescriptionHelpFormatter,
            description=__doc__.partition('\n\n')[2],
        )
        parser.add_argument('command', choices=['train', 'score', 'time', 'table'])
        parser.add_argument('rows', nargs='*', help='rows to train; all if not given')
        parser.add_argument('--out', type=Path, default=Path('runs') / self.name)
        parser.add_argument('--seeds', type=int, default=3, help='maximum per row (%(default)s)')
        parser.add_argument('--threads', type=int, default=1, help='of torch (%(default)s)')
        add_change_option(parser)
        options = parser.parse_args()
        torch.set_num_threads(options.threads)
        replace(self, changes=changes_from(options)).run(options)

    def run(self, options: argparse.Namespace) -> None:
        """Run a command of `main()`."""
        if options.command == 'train':
            self.train(options.out, options.rows, options.seeds)
        elif options.command == 'score':
            self.score(options.out)
        elif options.command == 'time':
            measure(options.out, self)
        else:
            scores = json.loads((options.out / 'scores.json').read_text())
            print(markdown(scores, self.entries, self.tasks))
            self.draw(scores, self.entries, options.out / f'{self.name}.png', self.tasks)

    def train(self, out: Path, rows: list[str], seeds: int) -> None:
        """Train missing models, the first seed of all rows first.

        Args:
            out: Folder of all results.
            rows: Names of the rows to train; all if empty.
            seeds: Maximum number of seeds per row.

        """
        for seed in range(seeds):
            for row, config in self.rows.items():
                folder = out / f'{row}_{seed}'
                selected = seed < config.seeds and (not rows or row in rows)
                if selected and not (config.weights or (folder / MODEL).is_file()):
                    train(self.recipe(row, seed, out), folder)

    def score(self, out: Path) -> None:
        """Score models without scores, and collect all scores in one file."""
        for row, config in self.rows.items():
            for seed in range(config.seeds):
                folder = out / f'{row}_{seed}'
                exists = config.weights or (folder / MODEL).is_file()
                if exists and not (folder / 'scores.json').is_file():
                    print(f'scoring {folder.name}', flush=True)
                    folder.mkdir(parents=True, exist_ok=True)
                    found = score(self.recipe(row, seed), config, self.model(folder))
                    (folder / 'scores.json').write_text(json.dumps(found))
        paths = sorted(out.glob('*/scores.json'))
        known = [path for path in paths if path.parent.name.rpartition('_')[0] in self.rows]
        joined = {path.parent.name: json.loads(path.read_text()) for path in known}
        (out / 'scores.json').write_text(json.dumps(joined, indent=1))


def score(recipe: Recipe, row: StudyRow, model: str) -> dict[str, Any]:
    """Score a model at the budgets of its row, and a random policy if the row asks for one."""
    dataset = build_dataset(recipe.validation)
    engine = Engine(load_model(model), 'cpu')
    found = {str(e.budget): e for e in evaluate(engine, dataset, row.budgets, recipe.tasks)}
    if row.random:
        shares = found[str(TARGET)].shares
        share = float(shares.mean())
        engine.eager.predict = RandomBackend(engine.model.network, share, recipe.seed)
        found['random'] = evaluate(engine, dataset, (TARGET,))[0]
    trained = 0 if row.weights else count_trained_parameters(engine.model.network, recipe)
    return {
        name: {
            **e.to_dict(),
            'shares': e.shares.tolist(),
            'trained': trained,
            'difficulty': e.difficulty.tolist(),
        }
        for name, e in found.items()
    }


def measure(out: Path, study: Study) -> None:
    """Time all networks at all budgets in turns, and write the times into the scores."""
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
    for index in range(0, len(dataset), max(1, len(dataset) // TIMED_IMAGES)):
        image = dataset[index].image
        for name, run in runs.items():
            times[name].append(run(image).infer_ms)
    for (key, budget), values in times.items():
        scores[key][budget]['infer_ms'] = statistics.median(values)
        if budget == str(TARGET) and 'random' in scores[key]:
            scores[key]['random']['infer_ms'] = statistics.median(values)
    path.write_text(json.dumps(scores, indent=1))
