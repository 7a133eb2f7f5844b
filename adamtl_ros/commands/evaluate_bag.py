# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The verb `adamtl evaluate-bag`: score a model on recordings."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from adamtl_ros.bags.ground_truth import ClassMap
from adamtl_ros.bags.reader import bag_name, find_camera
from adamtl_ros.commands.options import (
    add_engine_options,
    add_model_option,
    add_topic_options,
    join,
    parse_budgets,
    parse_names,
    parse_truth,
)
from adamtl_ros.evaluation.bags.fleet import (
    Job,
    evaluate_in_processes,
    evaluate_on_ray,
    evaluate_serially,
)
from adamtl_ros.evaluation.bags.recorded_node import evaluate_recorded_node
from adamtl_ros.evaluation.bags.report import write_report
from adamtl_ros.evaluation.bags.result import EvaluationSettings
from adamtl_ros.evaluation.bags.summary import build_summary, write_summary
from adamtl_ros.nn.io.checkpoint import load_model
from adamtl_ros.tasks import select

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from adamtl_ros.evaluation.bags.result import BagResult
    from adamtl_ros.tasks import Task

OVERSPENT = 0.03
"""Fraction of the full MACs above the budget from which the table has a note."""
NUMBER_COLUMNS = 4
"""Number of narrow columns at the left of the table."""
TEMPORAL_BUDGETS = (0.25, 0.125)
"""Mean budgets at which streams are compared unless others are given."""


def evaluate_bags(
    bags: Sequence[Path],
    settings: EvaluationSettings,
    workers: int = 1,
    ray: str = '',
    recorded: Path | None = None,
) -> tuple[str, bool]:
    """Evaluate recordings, and write `report.html` and `metrics.json`.

    Args:
        bags: Folders of bags, or single .mcap files.
        settings: Settings of the evaluation, with the output folder.
        workers: Number of processes on this machine.
        ray: Address of a Ray cluster; empty for none.
        recorded: Bag with the results that a live node published while the only bag was played;
            these are scored in place of new ones.

    Returns:
        Human-readable table, and whether every bag could be evaluated.

    Raises:
        ValueError: Unknown tasks or classes, a bag given twice, a bag that would contain the
            output folder, or no bag could be evaluated.

    """
    started = time.perf_counter()
    network = load_model(settings.model, settings.adapter).network
    known = network.tasks
    tasks = {name: known[name] for name in select(settings.tasks or known, known)}
    settings.classes.check(known)
    if recorded:
        if len(bags) > 1:
            raise ValueError(f'--recorded belongs to one bag, got {len(bags)}')
        results = [evaluate_recorded_node(bags[0], recorded, settings, tasks, network.arch)]
    else:
        results = _evaluate(_jobs(bags, settings.out), settings, workers, ray)
    summary = build_summary(results, settings, tasks, time.perf_counter() - started)
    lines = _problems(results)
    if settings.out:
        write_summary(summary, settings.out / 'metrics.json')
        write_report(summary, results, tasks, settings.out / 'report.html')
        drawn = summary['frames'] and not recorded
        more = ', and for each bag predictions and video.mp4' if drawn else ''
        lines += ['', f'in {settings.out}: report.html, metrics.json{more}']
    if not summary['frames']:
        raise ValueError('\n'.join(['no frame could be evaluated', *lines]))
    tables = [table(summary, tasks), *temporal_tables(summary, tasks)]
    return '\n'.join([*tables, *lines]), not any(r.failure for r in results)


def _evaluate(
    jobs: list[Job], settings: EvaluationSettings, workers: int, ray: str
) -> list[BagResult]:
    if ray or workers > 1:
        with tqdm(total=len(jobs), unit='bag') as bar:
            if ray:
                return evaluate_on_ray(jobs, settings, ray, bar.update)
            return evaluate_in_processes(jobs, settings, workers, bar.update)
    with tqdm(total=_images(jobs, settings.camera), unit='frame') as bar:
        return evaluate_serially(jobs, settings, bar.update)


def _images(jobs: Sequence[Job], topic: str) -> int:
    """Return the number of images according to the bags, for the progress bar."""
    count = 0
    for job in jobs:
        with suppress(ValueError, OSError):  # the evaluation reports it
            count += find_camera(job.path, topic).frames
    return count


def _jobs(bags: Sequence[Path], out: Path | None) -> list[Job]:
    """Return a job for each recording; equal names get a number.

    Raises:
        ValueError: A bag is given twice, or would contain the output folder.

    """
    paths = [bag.resolve() for bag in bags]
    twice = [str(path) for path, count in Counter(paths).items() if count > 1]
    if twice:
        raise ValueError(f'given twice: {", ".join(twice)}')
    jobs, seen = [], Counter[str]()
    for path in paths:
        name = bag_name(path)
        seen[name] += 1
        job = Job(path, name if seen[name] == 1 else f'{name}_{seen[name]}')
        if out and _is_inside(out.resolve() / job.name, path):
            raise ValueError(
                f'the results would be written into {path}; choose an --out outside of it'
            )
        jobs.append(job)
    return jobs


def _is_inside(target: Path, bag: Path) -> bool:
    """Return whether a folder for results is the folder of a bag or inside of it."""
    folder = bag if bag.is_dir() else bag.parent
    whole = bag.is_dir() or (folder / 'metadata.yaml').exists()
    return target == folder or (whole and folder in target.parents)


def table(summary: Mapping[str, Any], tasks: Mapping[str, Task]) -> str:
    """Return the main numbers, a line for each budget."""
    truth = {task for row in summary['results'] for task in row['truth']}
    heads = [f'{name} {tasks[name].metric}' for name in tasks if name in truth]
    lines = [_line(['budget', 'MACs', 'p50 ms', 'p95 ms', *heads, 'differs'])]
    for row, times in zip(summary['results'], summary['timing']['results'], strict=True):
        values = [_value(row, name, tasks[name].metric) for name in tasks if name in truth]
        differing = [entry['pixels'] for entry in row['differs_from_full'].values()]
        known = [fraction for fraction in differing if fraction is not None]
        lines.append(
            _line(
                [
                    f'{row["budget"]:g}',
                    f'{100 * row["share"]:.1f} %',
                    f'{times["latency_ms"]["p50"]:.1f}',
                    f'{times["latency_ms"]["p95"]:.1f}',
                    *values,
                    f'{100 * sum(known) / len(known):.1f} %' if known else '-',
                ]
            )
        )
    lines.append('differs: pixels that differ visibly from those at full budget, mean over tasks')
    over = [row for row in summary['results'] if row['share'] > row['budget'] + OVERSPENT]
    if over and not over[0]['live']:
        budgets = ', '.join(f'{row["budget"]:g}' for row in over)
        lines.append(
            f'MACs above the budget at {budgets}: these images are unlike those that the '
            "model's budgets were fitted to; adamtl calibrate fits them to yours"
        )
    return '\n'.join(lines)


def temporal_tables(summary: Mapping[str, Any], tasks: Mapping[str, Task]) -> list[str]:
    """Return a table for each recording of the ways to answer its frames, if they were compared."""
    lines = []
    for entry in summary['temporal']:
        known = [name for name in tasks if name in entry['ways'][0]['truth']]
        heads = [f'{name} {tasks[name].metric}' for name in known]
        flickers = [f'{name} flicker' for name in tasks]
        lines += ['', f'{entry["bag"]}, over time:']
        columns = ['', 'budget', 'spent', 'age s', *heads, *flickers]
        lines.append(_way_line(columns, columns))
        for way in entry['ways']:
            values = [way['truth'][name][tasks[name].metric] for name in known]
            values += [way['flicker'][name] for name in tasks]
            numbers = [way['budget'], way['share'], way['age_s'], *values]
            cells = ['-' if value is None else f'{value:.4g}' for value in numbers]
            lines.append(_way_line([way['name'], *cells], columns))
    return lines


def _way_line(cells: Sequence[str], heads: Sequence[str]) -> str:
    widths = [28, *(max(8, len(head) + 2) for head in heads[1:])]
    return ''.join(f'{cell:<{width}}' for cell, width in zip(cells, widths, strict=True)).rstrip()


def _value(row: Mapping[str, Any], task: str, metric: str) -> str:
    entry = row['truth'].get(task)
    value = entry['values'][metric] if entry else None
    if value is None:
        return '-'
    error = entry['errors'].get(metric)
    return f'{value:.3g}' + ('' if error is None else f' ±{error:.1g}')


def _line(cells: Sequence[str]) -> str:
    numbers = [f'{cell:<{max(10, len(cell) + 2)}}' for cell in cells[:NUMBER_COLUMNS]]
    return ''.join([*numbers, *(f'{cell:<22}' for cell in cells[NUMBER_COLUMNS:])]).rstrip()


def _problems(results: Sequence[BagResult]) -> list[str]:
    """Return a line for each issue and failure of a recording."""
    lines = []
    for result in results:
        if result.failure:
            lines.append(f'{result.name}: NOT EVALUATED: {result.failure}')
        lines += [f'{result.name}: {issue}' for issue in result.issues]
    return ['', *lines] if lines else []


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    budgets = join(EvaluationSettings.budgets)
    add = parser.add_argument
    add('bags', type=Path, nargs='+', metavar='BAG', help='folders, or single .mcap files')
    add_model_option(parser)
    add('--adapter', type=Path, help='adapter file that `adamtl adapt` made for the model')
    add('--budgets', default=budgets, help=f'separated by commas ({budgets}); 1.0 is added')
    add('--tasks', default='', help='separated by commas; all of the model if not given')
    add_topic_options(parser)
    add('--realtime', action='store_true', help='also emulate which frames a live node would drop')
    add(
        '--temporal',
        nargs='?',
        const=join(TEMPORAL_BUDGETS),
        default='',
        metavar='BUDGETS',
        help='also compare the stream with simple ways to spend as much, at these mean budgets '
        f'({join(TEMPORAL_BUDGETS)})',
    )
    add('--shown', type=float, help='budget whose results are written and drawn (the lowest)')
    add('--threads', type=int, default=1, help='CPU threads of the network (1)')
    add_engine_options(parser)
    add('--workers', type=int, default=1, help='number of processes; each takes whole bags (1)')
    add('--ray', default='', metavar='ADDRESS', help="Ray cluster, such as 'auto'; 'local': here")
    add(
        '--recorded',
        type=Path,
        metavar='BAG',
        help='outputs of a live node to which the bag was played; see replay.launch.py',
    )
    add('--out', type=Path, default=Path('evaluation'), help='folder for the results (evaluation)')


def run(options: argparse.Namespace) -> int:
    """Evaluate, and print a table.

    Returns:
        0, or 1 if some bag could not be evaluated.

    Raises:
        ValueError: An option that cannot be used.

    """
    if options.workers < 1:
        raise ValueError(f'--workers takes 1 or more, got {options.workers}')
    given = parse_budgets(options.budgets, EvaluationSettings.budgets)
    budgets = tuple(sorted({1.0, *given}, reverse=True))
    settings = EvaluationSettings(
        model=options.model,
        adapter=options.adapter,
        budgets=budgets,
        tasks=parse_names(options.tasks),
        camera=options.camera,
        truth=parse_truth(options.truth),
        classes=ClassMap.read(options.classes) if options.classes else ClassMap(),
        threads=options.threads,
        engine=options.engine,
        precision=options.precision,
        realtime=options.realtime,
        out=options.out,
        shown=budgets[-1] if options.shown is None else options.shown,
        max_depth=options.max_depth,
        temporal=tuple(parse_budgets(options.temporal, TEMPORAL_BUDGETS))
        if options.temporal
        else (),
    )
    text, complete = evaluate_bags(
        options.bags, settings, options.workers, options.ray, options.recorded
    )
    print(text)
    return 0 if complete else 1
