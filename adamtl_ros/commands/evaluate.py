# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The verb `adamtl evaluate`: score a model on the validation data of a recipe."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adamtl_ros.commands.options import (
    add_engine_options,
    add_model_option,
    add_recipe_options,
    join,
    parse_budgets,
    parse_names,
    recipe_from,
)
from adamtl_ros.files import write_file

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from adamtl_ros.evaluation.evaluate import Evaluation
    from adamtl_ros.evaluation.floors import Floors
    from adamtl_ros.evaluation.metrics import EvaluationProtocol
    from adamtl_ros.nn.io.checkpoint import Model
    from adamtl_ros.sample import Dataset
    from adamtl_ros.tasks import Task
    from adamtl_ros.training.recipe import DataConfig, Recipe

BUDGETS = (1.0, 0.75, 0.57, 0.5, 0.4)
"""Budgets of the table by default; 0.57 is the budget at which AdaMTL reports its results."""
MEDIAN = 'median'
"""Value of `--floors` for the median depth of the training data."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    add_recipe_options(parser)
    add_model_option(parser)
    add = parser.add_argument
    add('--adapter', type=Path, help='adapter file that `adamtl adapt` made for the model')
    add('--budgets', default=join(BUDGETS), help=f'separated by commas ({join(BUDGETS)})')
    add('--tasks', default='', help='separated by commas; all with labels if not given')
    add(
        '--protocol',
        default='standard',
        help="'nyud' adds the values that papers report on NYUv2 (standard)",
    )
    add(
        '--floors',
        nargs='?',
        const=MEDIAN,
        metavar='METERS',
        help='also score constant answers: a depth (median of the training data), and normals '
        'towards the camera',
    )
    add('--threads', type=int, default=1, help='CPU threads of the network (1)')
    add_engine_options(parser)
    add('--out', type=Path, help='JSON file for all values')


def run(options: argparse.Namespace) -> None:
    """Evaluate, and print tables."""
    budgets = parse_budgets(options.budgets, BUDGETS)
    recipe = recipe_from(options)
    print(
        run_evaluation(
            options.model,
            recipe,
            budgets,
            options.threads,
            options.out,
            options.adapter,
            parse_names(options.tasks),
            options.protocol,
            options.floors,
            options.engine,
            options.precision,
        )
    )


def run_evaluation(
    model: str,
    recipe: Recipe,
    budgets: Sequence[float],
    threads: int,
    out: Path | None,
    adapter: Path | None = None,
    tasks: Sequence[str] = (),
    protocol: str = 'standard',
    floors: str | None = None,
    engine: str = 'torch',
    precision: str = 'float32',
) -> str:
    """Score a model on the validation data of a recipe.

    Args:
        model: File or name of the model.
        recipe: Recipe with the validation data.
        budgets: Budgets, each in (0, 1].
        threads: Number of CPU threads of the network.
        out: JSON file for all values; none if not given.
        adapter: Adapter file for the model; none if not given.
        tasks: Names of the tasks to run; all of the model with labels if empty.
        protocol: Name of the protocol of the metrics.
        floors: Depth of the constant answers [m], or 'median' of the training data; no constant
            answers if not given.
        engine: Engine that runs the network.
        precision: Its precision.

    Returns:
        Human-readable tables: costs and main metrics, then all metrics of each task,
        and a note if depth of some images is of an unknown lens.

    Raises:
        ValueError: An unknown protocol, a depth that is no positive number, or tasks that the
            model or the data do not have.

    """
    import torch
    from tqdm import tqdm

    from adamtl_ros.data.lens import describe_unknown_lenses
    from adamtl_ros.evaluation.evaluate import evaluate
    from adamtl_ros.evaluation.metrics import protocol_named
    from adamtl_ros.nn.io.checkpoint import load_model
    from adamtl_ros.runtime.engine import Engine
    from adamtl_ros.training.build import build_dataset

    rules = protocol_named(protocol)
    torch.set_num_threads(threads)
    made = Engine(load_model(model, adapter), engine=engine, precision=precision)
    dataset = build_dataset(recipe.validation, workers=os.cpu_count() or 1)
    constant = None if floors is None else _floors(floors, recipe, dataset, tasks, rules)
    with tqdm(total=len(dataset), unit='image') as bar:
        rows = evaluate(made, dataset, budgets, tasks or None, bar.update, rules, constant)
    if out:
        about = {'protocol': protocol, 'data': _about(recipe.validation), 'threads': threads}
        about |= {'engine': made.backend.name, 'precision': made.backend.precision}
        _write(out, made.model, about, rows, constant)
    known = made.model.network.tasks
    lens = made.model.focal if 'depth' in rows[0].metrics else None
    unknown = describe_unknown_lenses(dataset, lens)
    parts = [_table(rows, known), *_details(rows, constant), *([unknown] if unknown else [])]
    return '\n\n'.join(parts)


def _floors(
    text: str, recipe: Recipe, dataset: Dataset, tasks: Sequence[str], rules: EvaluationProtocol
) -> Floors:
    """Return constant answers for the tasks that are evaluated."""
    from adamtl_ros.evaluation.floors import Floors, median_depth
    from adamtl_ros.training.build import build_dataset

    scored = [name for name in dataset.tasks if name in (tasks or dataset.tasks)]
    if 'depth' not in scored:
        return Floors(scored, None, rules)
    if text == MEDIAN:
        return Floors(scored, median_depth(build_dataset(recipe.data)), rules)
    try:
        depth = float(text)
    except ValueError as error:
        raise ValueError(f"--floors takes meters such as '2', got '{text}'") from error
    return Floors(scored, depth, rules)


def _about(data: DataConfig) -> dict[str, str]:
    """Return which data these are, without paths of this machine."""
    return {'kind': data.kind, 'name': Path(data.root).name, 'split': data.split}


def _write(
    path: Path,
    model: Model,
    about: Mapping[str, Any],
    rows: Sequence[Evaluation],
    floors: Floors | None,
) -> None:
    from adamtl_ros.config import json_value
    from adamtl_ros.evaluation.machine import machine

    values = {
        'model': model.name,
        'parameters': sum(weights.numel() for weights in model.network.parameters()),
        **about,
        'machine': machine(),
        'rows': [row.to_dict() for row in rows],
    }
    if floors:
        values['floors'] = {'depth': floors.depth, 'metrics': floors.compute()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, json.dumps(json_value(values), indent=1) + '\n')


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
    return _lines(heads, cells)


def _details(rows: Sequence[Evaluation], floors: Floors | None) -> list[str]:
    """Return a table of all metrics for each task that has more than one."""
    constant = floors.compute() if floors else {}
    tables = []
    for task, metrics in rows[0].metrics.items():
        cells = [[f'{row.budget:.2f}', *_numbers(row.metrics[task])] for row in rows]
        if task in constant:
            cells.append(['constant', *_numbers(constant[task])])
        if len(metrics) > 1:
            tables.append(_lines([task, *metrics], cells))
    return tables


def _lines(heads: list[str], cells: list[list[str]]) -> str:
    return '\n'.join(' | '.join(line) for line in (heads, *cells))


def _numbers(values: Mapping[str, float]) -> list[str]:
    return [f'{value:.4f}' for value in values.values()]


def metric_names(row: Evaluation, tasks: Mapping[str, Task]) -> list[str]:
    """Return the column titles of the tasks, such as 'depth rmse'."""
    return [f'{name} {tasks[name].metric}' for name in row.metrics]


def metric_values(row: Evaluation, tasks: Mapping[str, Task]) -> list[str]:
    """Return the main metric of each task, in the order of `metric_names()`."""
    values = row.headline(dict(tasks))
    return [f'{values[name]:.4f}' for name in row.metrics]
