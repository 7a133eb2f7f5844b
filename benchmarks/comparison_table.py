# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Table of the scores of a study: means over seeds, and gains over single-task networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from adamtl_ros.evaluation.metrics import delta_m
from adamtl_ros.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Scores = Mapping[str, Mapping[str, Any]]

BASELINE = 'single'
"""Name of the entry that others are compared with: one network per task."""


@dataclass(frozen=True)
class Entry:
    """Training method in a table.

    Attributes:
        name: Name; its scores have the keys '<name>_<seed>', or see `single_task`.
        label: Human-readable label.
        single_task: One network per task, with the keys '<name>_<task>_<seed>'; their MACs, times
            and parameters are summed.
        adaptive: Show the budgets.

    """

    name: str
    label: str
    single_task: bool = False
    adaptive: bool = False


@dataclass(frozen=True)
class Row:
    """Row of a table: means over seeds.

    Attributes:
        label: Human-readable label.
        budget: Requested budget; empty for networks that are not adaptive.
        values: Headline metric by task, (seeds,) each.
        macs: MACs per image.
        milliseconds: Inference time per image [ms].
        trained: Number of trained parameters; NaN where unknown.
        delta: Relative gain over single-task networks, (seeds,) [%].
        random: Whether a random policy took the place of its own.

    """

    label: str
    budget: str
    values: dict[str, np.ndarray]
    macs: float
    milliseconds: float
    trained: float
    delta: np.ndarray
    random: bool = False


def rows(
    scores: Scores, entries: Iterable[Entry], tasks: Iterable[str] = tuple(TASKS)
) -> list[Row]:
    """Return the rows of the table.

    Args:
        scores: Scores by '<entry>_<seed>' and budget, as `Evaluation.to_dict()` has them, with the
            number of trained parameters as 'trained' where known. The budget 'random' stands for
            a random policy of the same MACs as the trained one at its 'budget'.
        entries: Entries to show, in this order; those without scores are left out.
        tasks: Names of the tasks of the study.

    Raises:
        ValueError: No scores of the single-task networks that others are compared with.

    """
    single = _per_task(scores, BASELINE, tasks)
    missing = [task for task, runs in single.items() if not runs]
    if missing:
        raise ValueError(f'there are no scores of single-task networks for {", ".join(missing)}')
    base = {task: float(np.mean(_headline(runs, task))) for task, runs in single.items()}
    return [row for entry in entries for row in _rows_of(entry, scores, base)]


def markdown(scores: Scores, entries: Iterable[Entry], tasks: Iterable[str] = tuple(TASKS)) -> str:
    """Return the table in Markdown; see `rows()`."""
    found, names = rows(scores, entries, tasks), list(tasks)
    counted = all(np.isfinite(row.trained) for row in found)
    head = ['network', 'budget', *['trained'] * counted, 'MMACs', 'ms',
            *(f'{name} {TASKS[name].metric}' for name in names), 'Δm %']  # fmt: skip
    lines = [_line(head), _line(['---'] * len(head))]
    for row in found:
        values = [_mean_and_spread(row.values[task], 2 if task == 'normals' else 3)
                  for task in names]  # fmt: skip
        trained = [f'{row.trained:,.0f}'] * counted
        numbers = [*trained, f'{row.macs / 1e6:.0f}', f'{row.milliseconds:.1f}']
        delta = _mean_and_spread(row.delta, 2, sign='+')
        lines.append(_line([row.label, row.budget, *numbers, *values, delta]))
    return '\n'.join(lines)


def _rows_of(entry: Entry, scores: Scores, base: dict[str, float]) -> list[Row]:
    """Return the rows of an entry, one per budget."""
    if entry.single_task:
        runs = _per_task(scores, entry.name, base)
        return [_summed(entry, runs, base)] if all(runs.values()) else []
    budgets = dict.fromkeys(b for key in _keys(scores, entry.name) for b in scores[key])
    return [_row(entry, b, _runs(scores, entry.name, b), base) for b in budgets]


def _row(entry: Entry, budget: str, runs: list[Any], base: dict[str, float]) -> Row:
    label, random = entry.label, budget == 'random'
    if random:
        label, budget = f'{label}, random blocks instead', str(runs[0]['budget'])
    values = {task: _headline(runs, task) for task in base}
    return Row(
        label,
        budget if entry.adaptive else '',
        values,
        _mean(runs, 'macs'),
        _mean(runs, 'infer_ms'),
        _mean(runs, 'trained'),
        _gains(values, base),
        random,
    )


def _summed(entry: Entry, runs: dict[str, list[Any]], base: dict[str, float]) -> Row:
    """Return single-task networks as one row, with the sum of MACs, times and parameters."""
    values = {task: _headline(some, task) for task, some in runs.items()}
    macs, milliseconds, trained = (
        sum(_mean(some, name) for some in runs.values()) for name in ('macs', 'infer_ms', 'trained')
    )
    own = entry.name == BASELINE
    delta = np.zeros(1) if own else _gains(values, base)
    return Row(entry.label, '', values, macs, milliseconds, trained, delta)


def _gains(values: dict[str, np.ndarray], base: dict[str, float]) -> np.ndarray:
    seeds = range(min(map(len, values.values())))
    return np.array([
        delta_m({t: float(values[t][s]) for t in base}, base, base) for s in seeds
    ])  # fmt: skip


def _per_task(scores: Scores, name: str, tasks: Iterable[str]) -> dict[str, list[Any]]:
    return {task: _runs(scores, f'{name}_{task}', '1.0') for task in tasks}


def _keys(scores: Scores, name: str) -> list[str]:
    return sorted(key for key in scores if key.rpartition('_')[0] == name)


def _runs(scores: Scores, name: str, budget: str) -> list[Any]:
    return [scores[key][budget] for key in _keys(scores, name) if budget in scores[key]]


def _headline(runs: list[Any], task: str) -> np.ndarray:
    return np.array([run['metrics'][task][TASKS[task].metric] for run in runs], float)


def _mean(runs: list[Any], name: str) -> float:
    return float(np.mean([run.get(name, np.nan) for run in runs]))


def _mean_and_spread(values: np.ndarray, digits: int, sign: str = '') -> str:
    spread = f' ± {values.std(ddof=1):.{digits}f}' if len(values) > 1 else ''
    return f'{values.mean():{sign}.{digits}f}{spread}'


def _line(cells: list[str]) -> str:
    return f'| {" | ".join(cells)} |'
