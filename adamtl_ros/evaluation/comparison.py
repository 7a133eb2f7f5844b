# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The scores of many trainings as one table, and as plots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from adamtl_ros.evaluation.metrics import delta_m
from adamtl_ros.evaluation.ranks import rank_correlation
from adamtl_ros.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    Scores = Mapping[str, Mapping[str, Any]]

LABELS = {
    'static': 'static multi-task',
    'pico': 'smaller static multi-task',
    'adamtl_agnostic': 'AdaMTL, task-agnostic (blocks, tokens)',
    'adamtl_aware': 'AdaMTL, task-aware (blocks, tokens)',
    'ours': 'ours',
}


@dataclass(frozen=True)
class Row:
    """A line of the table: means over seeds.

    Attributes:
        label: What was trained.
        budget: What was asked for, '' where there is none.
        values: Headline value by task, (seeds,) each.
        macs: Of an image.
        milliseconds: Of the network on an image.
        delta: Relative gain over single-task networks by seed [%].

    """

    label: str
    budget: str
    values: dict[str, np.ndarray]
    macs: float
    milliseconds: float
    delta: np.ndarray


def rows(scores: Scores) -> list[Row]:
    """Return the lines of the table.

    Args:
        scores: By '<row>_<seed>' and budget, as `Evaluation.to_dict()` has them; of single-task
            networks by 'single_<task>_<seed>'.

    Raises:
        ValueError: No single-task networks, which all are compared with.

    """
    single = {task: _runs(scores, f'single_{task}', '1.0') for task in TASKS}
    missing = [task for task, runs in single.items() if not runs]
    if missing:
        raise ValueError(f'there are no scores of single-task networks for {", ".join(missing)}')
    base = {task: float(np.mean(_headline(runs, task))) for task, runs in single.items()}
    found = [_single_row(single)]
    for name, label in LABELS.items():
        budgets = list(dict.fromkeys(b for key in _keys(scores, name) for b in scores[key]))
        for budget in budgets:
            runs = _runs(scores, name, budget)
            found.append(_row(label, budget, runs, base, adaptive=name not in ('static', 'pico')))
    return found


def markdown(scores: Scores) -> str:
    """Return the table for a README."""
    head = ['network', 'budget', 'MMACs', 'ms', *(f'{n} {t.metric}' for n, t in TASKS.items())]
    lines = [_line([*head, 'Δm %']), _line(['---'] * (len(head) + 1))]
    for row in rows(scores):
        values = [_mean_and_spread(row.values[task], 2 if task == 'normals' else 3)
                  for task in TASKS]  # fmt: skip
        numbers = [f'{row.macs / 1e6:.0f}', f'{row.milliseconds:.1f}']
        delta = _mean_and_spread(row.delta, 2, sign='+')
        lines.append(_line([row.label, row.budget, *numbers, *values, delta]))
    return '\n'.join(lines)


def draw_plots(scores: Scores, folder: Path) -> None:
    """Draw relative gain against MACs, and MACs of each image against its difficulty."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout='constrained')
    FigureCanvasAgg(figure)
    gain, hard = figure.subplots(1, 2)
    lines = rows(scores)
    for label in dict.fromkeys(row.label for row in lines if 'random' not in row.label):
        some = [row for row in lines if row.label == label]
        macs = [row.macs / 1e6 for row in some]
        spread = [row.delta.std() for row in some]
        gain.errorbar(macs, [r.delta.mean() for r in some], spread, fmt='o-', ms=4, label=label)
    random = [row for row in lines if 'random' in row.label]
    gain.plot([r.macs / 1e6 for r in random], [r.delta.mean() for r in random], 'kx',
              label='ours, random blocks')  # fmt: skip
    gain.set(xlabel='MMACs of an image', ylabel='Δm over single-task networks [%]')
    gain.legend(fontsize=7)
    _plot_difficulty(hard, scores)
    figure.savefig(folder / 'comparison.png', dpi=100)


def _plot_difficulty(axes: Any, scores: Scores) -> None:  # noqa: ANN401
    run = scores[_keys(scores, 'ours')[0]]['0.57']
    difficulty, shares = np.array(run['difficulty']), np.array(run['shares'])
    axes.scatter(difficulty, shares, s=6, alpha=0.5)
    found = rank_correlation(difficulty, shares)
    axes.set(xlabel='difficulty of the scene', ylabel='share of the full MACs',
             title=f'ours at budget 0.57: rank correlation {found:.2f}')  # fmt: skip


def _row(
    label: str, budget: str, runs: list[Any], base: dict[str, float], *, adaptive: bool
) -> Row:  # fmt: skip
    values = {task: _headline(runs, task) for task in TASKS}
    seeds = range(len(runs))
    delta = [delta_m({t: float(values[t][s]) for t in TASKS}, base, TASKS) for s in seeds]
    if budget == 'random':
        label, budget = f'{label}, random blocks instead', '0.57'
    return Row(
        label, budget if adaptive else '', values, _mean(runs, 'macs'), _mean(runs, 'infer_ms'),
        np.array(delta),
    )  # fmt: skip


def _single_row(single: dict[str, list[Any]]) -> Row:
    """Return the single-task networks as one line: their MACs and times add up."""
    return Row(
        'six single-task networks', '', {t: _headline(runs, t) for t, runs in single.items()},
        sum(_mean(runs, 'macs') for runs in single.values()),
        sum(_mean(runs, 'infer_ms') for runs in single.values()), np.zeros(1),
    )  # fmt: skip


def _keys(scores: Scores, name: str) -> list[str]:
    return sorted(key for key in scores if key.rpartition('_')[0] == name)


def _runs(scores: Scores, name: str, budget: str) -> list[Any]:
    return [scores[key][budget] for key in _keys(scores, name) if budget in scores[key]]


def _headline(runs: list[Any], task: str) -> np.ndarray:
    return np.array([run['metrics'][task][TASKS[task].metric] for run in runs], float)


def _mean(runs: list[Any], name: str) -> float:
    return float(np.mean([run[name] for run in runs]))


def _mean_and_spread(values: np.ndarray, digits: int, sign: str = '') -> str:
    spread = f' ± {values.std(ddof=1):.{digits}f}' if len(values) > 1 else ''
    return f'{values.mean():{sign}.{digits}f}{spread}'


def _line(cells: list[str]) -> str:
    return f'| {" | ".join(cells)} |'
