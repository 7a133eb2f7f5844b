# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The scores of many trainings as one table."""

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
"""Name of the entry that all are compared with: a network for each task."""


@dataclass(frozen=True)
class Entry:
    """What was trained, and what its scores are called.

    Attributes:
        name: Scores are at '<name>_<seed>'; see `alone`.
        label: For people.
        alone: A network for each task, '<name>_<task>_<seed>', whose MACs, times and parameters
            add up.
        adaptive: Its budgets are shown.

    """

    name: str
    label: str
    alone: bool = False
    adaptive: bool = False


@dataclass(frozen=True)
class Row:
    """A line of the table: means over seeds.

    Attributes:
        label: What was trained.
        budget: What was asked for, '' where there is none.
        values: Headline value by task, (seeds,) each.
        macs: Of an image.
        milliseconds: Of the network on an image.
        trained: Parameters that learned; NaN where nobody counted them.
        delta: Relative gain over single-task networks by seed [%].

    """

    label: str
    budget: str
    values: dict[str, np.ndarray]
    macs: float
    milliseconds: float
    trained: float
    delta: np.ndarray


def rows(scores: Scores, entries: Iterable[Entry]) -> list[Row]:
    """Return the lines of the table.

    Args:
        scores: By '<row>_<seed>' and budget, as `Evaluation.to_dict()` has them, and maybe with
            the number of parameters that learned, as 'trained'.
        entries: What to show, in this order; those without scores are left out.

    Raises:
        ValueError: No single-task networks, which all are compared with.

    """
    single = _alone(scores, BASELINE)
    missing = [task for task, runs in single.items() if not runs]
    if missing:
        raise ValueError(f'there are no scores of single-task networks for {", ".join(missing)}')
    base = {task: float(np.mean(_headline(runs, task))) for task, runs in single.items()}
    return [row for entry in entries for row in _rows_of(entry, scores, base)]


def markdown(scores: Scores, entries: Iterable[Entry]) -> str:
    """Return the table for a README."""
    found = rows(scores, entries)
    counted = all(np.isfinite(row.trained) for row in found)
    head = ['network', 'budget', *['trained'] * counted, 'MMACs', 'ms',
            *(f'{n} {t.metric}' for n, t in TASKS.items()), 'Δm %']  # fmt: skip
    lines = [_line(head), _line(['---'] * len(head))]
    for row in found:
        values = [_mean_and_spread(row.values[task], 2 if task == 'normals' else 3)
                  for task in TASKS]  # fmt: skip
        trained = [f'{row.trained:,.0f}'] * counted
        numbers = [*trained, f'{row.macs / 1e6:.0f}', f'{row.milliseconds:.1f}']
        delta = _mean_and_spread(row.delta, 2, sign='+')
        lines.append(_line([row.label, row.budget, *numbers, *values, delta]))
    return '\n'.join(lines)


def _rows_of(entry: Entry, scores: Scores, base: dict[str, float]) -> list[Row]:
    """Return the lines of an entry, one for each budget."""
    if entry.alone:
        runs = _alone(scores, entry.name)
        return [_summed(entry, runs, base)] if all(runs.values()) else []
    budgets = dict.fromkeys(b for key in _keys(scores, entry.name) for b in scores[key])
    return [_row(entry, b, _runs(scores, entry.name, b), base) for b in budgets]


def _row(entry: Entry, budget: str, runs: list[Any], base: dict[str, float]) -> Row:
    label = entry.label
    if budget == 'random':
        label, budget = f'{label}, random blocks instead', '0.57'
    values = {task: _headline(runs, task) for task in TASKS}
    return Row(
        label, budget if entry.adaptive else '', values, _mean(runs, 'macs'),
        _mean(runs, 'infer_ms'), _mean(runs, 'trained'), _gains(values, base),
    )  # fmt: skip


def _summed(entry: Entry, runs: dict[str, list[Any]], base: dict[str, float]) -> Row:
    """Return networks for one task each as one line: their MACs, times and parameters add up."""
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
        delta_m({t: float(values[t][s]) for t in TASKS}, base, TASKS) for s in seeds
    ])  # fmt: skip


def _alone(scores: Scores, name: str) -> dict[str, list[Any]]:
    return {task: _runs(scores, f'{name}_{task}', '1.0') for task in TASKS}


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
