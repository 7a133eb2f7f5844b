# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What `adamtl evaluate-bag` does."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from adamtl_ros.bags.reader import bag_name, find_camera
from adamtl_ros.evaluation.bags.fleet import (
    Job,
    evaluate_here,
    evaluate_in_processes,
    evaluate_on_ray,
)
from adamtl_ros.evaluation.bags.live import evaluate_live
from adamtl_ros.evaluation.bags.report import write_report
from adamtl_ros.evaluation.bags.summary import summarise, write_summary
from adamtl_ros.nn.io.checkpoint import load_model
from adamtl_ros.tasks import TASKS, select

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from adamtl_ros.evaluation.bags.result import BagResult, EvaluationSettings
    from adamtl_ros.tasks import Task

OVERSPENT = 0.03
"""Share of the full MACs above the budget that is worth a word."""


def evaluate_bags(
    bags: Sequence[Path],
    settings: EvaluationSettings,
    workers: int = 1,
    ray: str = '',
    recorded: Path | None = None,
) -> tuple[str, bool]:
    """Evaluate recordings, and write report and numbers.

    Args:
        bags: Folders, or single .mcap files.
        settings: What to evaluate; with a folder for what is written.
        workers: Processes on this machine.
        ray: Address of a Ray cluster; none if empty.
        recorded: What a live node published while the only bag was played to it; then nothing
            is computed.

    Returns:
        A table for people, and whether every bag could be evaluated.

    Raises:
        ValueError: Tasks or classes that are not there, a bag that is named twice or would get
            its own results, or nothing could be evaluated.

    """
    begun = time.perf_counter()
    network = load_model(settings.model, settings.adapter).network
    known = network.tasks
    tasks = {name: known[name] for name in select(settings.tasks or known, known)}
    settings.classes.check(known)
    if recorded:
        if len(bags) > 1:
            raise ValueError(f'--recorded belongs to one bag, got {len(bags)}')
        results = [evaluate_live(bags[0], recorded, settings, tasks, network.arch)]
    else:
        results = _evaluate(_jobs(bags, settings.out), settings, workers, ray)
    summary = summarise(results, settings, tasks, time.perf_counter() - begun)
    lines = _problems(results)
    if settings.out:
        write_summary(summary, settings.out / 'metrics.json')
        write_report(summary, results, tasks, settings.out / 'report.html')
        drawn = summary['frames'] and not recorded
        more = ', and for each bag predictions and video.mp4' if drawn else ''
        lines += ['', f'in {settings.out}: report.html, metrics.json{more}']
    if not summary['frames']:
        raise ValueError('\n'.join(['no frame could be evaluated', *lines]))
    return '\n'.join([table(summary, tasks), *lines]), not any(r.failure for r in results)


def _evaluate(
    jobs: list[Job], settings: EvaluationSettings, workers: int, ray: str
) -> list[BagResult]:
    if ray or workers > 1:
        with tqdm(total=len(jobs), unit='bag') as bar:
            if ray:
                return evaluate_on_ray(jobs, settings, ray, bar.update)
            return evaluate_in_processes(jobs, settings, workers, bar.update)
    with tqdm(total=_images(jobs, settings.camera), unit='frame') as bar:
        return evaluate_here(jobs, settings, bar.update)


def _images(jobs: Sequence[Job], topic: str) -> int:
    """Return how many images the bags say they hold, for the progress bar."""
    count = 0
    for job in jobs:
        with suppress(ValueError, OSError):  # the evaluation says what is wrong
            count += find_camera(job.path, topic).frames
    return count


def _jobs(bags: Sequence[Path], out: Path | None) -> list[Job]:
    """Name each recording; where two have the same name, by number too.

    Raises:
        ValueError: A bag is named twice, or would get its own results.

    """
    paths = [bag.resolve() for bag in bags]
    twice = [str(path) for path, count in Counter(paths).items() if count > 1]
    if twice:
        raise ValueError(f'named twice: {", ".join(twice)}')
    jobs, seen = [], Counter[str]()
    for path in paths:
        name = bag_name(path)
        seen[name] += 1
        job = Job(path, name if seen[name] == 1 else f'{name}_{seen[name]}')
        if out and _is_inside(out.resolve() / job.name, path):
            raise ValueError(f'{path} would get its own results; choose an --out outside of it')
        jobs.append(job)
    return jobs


def _is_inside(target: Path, bag: Path) -> bool:
    """Return whether a folder for results is that of a bag, or lies in it."""
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
        known = [share for share in differing if share is not None]
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
            f'spent more than asked for at {budgets}: these images are unlike those that the '
            "model's budgets were fitted to; adamtl calibrate fits them to yours"
        )
    return '\n'.join(lines)


def _value(row: Mapping[str, Any], task: str, metric: str) -> str:
    entry = row['truth'].get(task)
    value = entry['values'][metric] if entry else None
    if value is None:
        return '-'
    error = entry['errors'].get(metric)
    return f'{value:.3g}' + ('' if error is None else f' ±{error:.1g}')


def _line(cells: Sequence[str]) -> str:
    return ''.join(f'{cell:<{max(10, len(cell) + 2)}}' if i < 4 else f'{cell:<22}'
                   for i, cell in enumerate(cells)).rstrip()  # fmt: skip


def _problems(results: Sequence[BagResult]) -> list[str]:
    """Return a line for each thing that was wrong with a recording."""
    lines = []
    for result in results:
        if result.failure:
            lines.append(f'{result.name}: NOT EVALUATED: {result.failure}')
        lines += [f'{result.name}: {note}' for note in result.notes]
    return ['', *lines] if lines else []


def read_truth(texts: Sequence[str]) -> dict[str, str]:
    """Return topics by task from texts such as 'depth=/camera/depth/image_raw'.

    Raises:
        ValueError: A text of another form, or an unknown task.

    """
    topics = {}
    for text in texts:
        task, equals, topic = text.partition('=')
        if not (equals and topic):
            raise ValueError(f"--truth takes TASK=TOPIC, got '{text}'")
        topics[task] = topic
    select(topics, TASKS)
    return topics
