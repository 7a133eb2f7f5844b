# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The verb `adamtl evaluate`: score a model on the validation data of a recipe."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from adamtl_ros.commands.options import (
    add_model_option,
    add_recipe_options,
    join,
    parse_budgets,
    recipe_from,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from adamtl_ros.evaluation.evaluate import Evaluation
    from adamtl_ros.tasks import Task
    from adamtl_ros.training.recipe import Recipe

BUDGETS = (1.0, 0.75, 0.57, 0.5, 0.4)
"""Budgets of the table by default; 0.57 is the budget at which AdaMTL reports its results."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    add_recipe_options(parser)
    add_model_option(parser)
    add = parser.add_argument
    add('--adapter', type=Path, help='adapter file that `adamtl adapt` made for the model')
    add('--budgets', default=join(BUDGETS), help=f'separated by commas ({join(BUDGETS)})')
    add('--threads', type=int, default=1, help='CPU threads of the network (1)')
    add('--out', type=Path, help='JSON file for all values')


def run(options: argparse.Namespace) -> None:
    """Evaluate, and print a table."""
    budgets = parse_budgets(options.budgets, BUDGETS)
    recipe = recipe_from(options)
    print(
        run_evaluation(
            options.model, recipe, budgets, options.threads, options.out, options.adapter
        )
    )


def run_evaluation(
    model: str,
    recipe: Recipe,
    budgets: Sequence[float],
    threads: int,
    out: Path | None,
    adapter: Path | None = None,
) -> str:
    """Score a model on the validation data of a recipe.

    Args:
        model: File or name of the model.
        recipe: Recipe with the validation data.
        budgets: Budgets, each in (0, 1].
        threads: Number of CPU threads of the network.
        out: JSON file for all values; none if not given.
        adapter: Adapter file for the model; none if not given.

    Returns:
        A human-readable table, and a note if depth of some images is of an unknown lens.

    """
    import torch
    from tqdm import tqdm

    from adamtl_ros.data.lens import describe_unknown_lenses
    from adamtl_ros.evaluation.evaluate import evaluate
    from adamtl_ros.nn.io.checkpoint import load_model
    from adamtl_ros.runtime.engine import Engine
    from adamtl_ros.training.build import build_dataset

    torch.set_num_threads(threads)
    engine = Engine(load_model(model, adapter))
    dataset = build_dataset(recipe.validation, workers=os.cpu_count() or 1)
    with tqdm(total=len(dataset), unit='image') as bar:
        rows = evaluate(engine, dataset, budgets, progress=bar.update)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        values = {'model': engine.model.name, 'rows': [row.to_dict() for row in rows]}
        out.write_text(json.dumps(values, indent=1))
    lens = engine.model.focal if 'depth' in rows[0].metrics else None
    unknown = describe_unknown_lenses(dataset, lens)
    table = _table(rows, engine.model.network.tasks)
    return f'{table}\n{unknown}' if unknown else table


def _table(rows: Sequence[Evaluation], tasks: Mapping[str, Task]) -> str:
    heads = ['budget', 'share', 'MMACs', 'ms', *metric_names(rows[0], tasks)]
    cells = [
        [
            f'{row.budget:.2f}',
            f'{row.share:.3f}',
            f'{row.macs / 1e6:.0f}',
            f'{row.infer_ms:.1f}',
            *metric_values(row, tasks),
        ]
        for row in rows
    ]
    return '\n'.join(' | '.join(line) for line in (heads, *cells))


def metric_names(row: Evaluation, tasks: Mapping[str, Task]) -> list[str]:
    """Return the column titles of the tasks, such as 'depth rmse'."""
    return [f'{name} {tasks[name].metric}' for name in row.metrics]


def metric_values(row: Evaluation, tasks: Mapping[str, Task]) -> list[str]:
    """Return the main metric of each task, in the order of `metric_names()`."""
    values = row.headline(dict(tasks))
    return [f'{values[name]:.4f}' for name in row.metrics]
