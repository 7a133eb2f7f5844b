# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The scores of many trainings as plots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from comparison_table import rows
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from adamtl_ros.evaluation.metrics import rank_correlation

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from comparison_table import Entry, Row, Scores

GAIN = 'Δm over single-task networks [%]'
TICKS = (100, 200, 400, 800, 1600)


def draw_comparison(scores: Scores, entries: Iterable[Entry], path: Path) -> None:
    """Draw relative gain against MACs, and MACs of each image against its difficulty.

    The second one is of the first run of 'ours' at budget 0.57.
    """
    figure, (gain, hard) = _figure()
    lines = rows(scores, entries)
    for label in dict.fromkeys(row.label for row in lines if 'random' not in row.label):
        _points(gain, [row for row in lines if row.label == label], label)
    random = [row for row in lines if 'random' in row.label]
    gain.plot([r.macs / 1e6 for r in random], [r.delta.mean() for r in random], 'kx',
              label='ours, random blocks')  # fmt: skip
    gain.set(xlabel='MMACs of an image', ylabel=GAIN)
    gain.legend(fontsize=7)
    _plot_difficulty(hard, scores['ours_0']['0.57'])
    figure.savefig(path, dpi=100)


def draw_adaptation(scores: Scores, entries: Iterable[Entry], path: Path) -> None:
    """Draw relative gain against the parameters that learned, at full budget, and against MACs."""
    figure, (learned, macs) = _figure()
    lines = [row for row in rows(scores, entries) if row.trained]
    for label in dict.fromkeys(row.label for row in lines):
        some = [row for row in lines if row.label == label]
        full = max(some, key=lambda row: row.macs)
        learned.errorbar(full.trained, full.delta.mean(), _spread(full), fmt='o', label=label)
        _points(macs, some, label)
    learned.set(xscale='log', xlabel='parameters that learned', ylabel=GAIN)
    macs.set(xscale='log', xlabel='MMACs of an image')
    macs.set_xticks(TICKS, map(str, TICKS))
    macs.minorticks_off()
    learned.legend(fontsize=7)
    figure.savefig(path, dpi=100)


def _figure() -> tuple[Figure, Any]:
    figure = Figure(figsize=(11, 4.2), layout='constrained')
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, 2)


def _points(axes: Any, some: list[Row], label: str) -> None:  # noqa: ANN401
    macs, gains = [row.macs / 1e6 for row in some], [row.delta.mean() for row in some]
    axes.errorbar(macs, gains, [_spread(row) for row in some], fmt='o-', ms=4, label=label)


def _spread(row: Row) -> float:
    return float(row.delta.std())


def _plot_difficulty(axes: Any, run: Any) -> None:  # noqa: ANN401
    difficulty, shares = np.array(run['difficulty']), np.array(run['shares'])
    axes.scatter(difficulty, shares, s=6, alpha=0.5)
    found = rank_correlation(difficulty, shares)
    axes.set(xlabel='difficulty of the scene', ylabel='share of the full MACs',
             title=f'ours at budget 0.57: rank correlation {found:.2f}')  # fmt: skip
