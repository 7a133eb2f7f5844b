# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Plots of the scores of a study."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from comparison_table import rows
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from adamtl_ros.evaluation.metrics import rank_correlation
from adamtl_ros.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from comparison_table import Entry, Row, Scores

GAIN = 'Δm over single-task networks [%]'
TICKS = (100, 200, 400, 800, 1600)


def draw_comparison(
    scores: Scores,
    entries: Iterable[Entry],
    path: Path,
    tasks: Sequence[str] = tuple(TASKS),
    *,
    adaptive: str,
    budget: float,
) -> None:
    """Draw the relative gain by MACs, and the MACs of each image by its difficulty.

    Args:
        scores: Scores; see `rows()`.
        entries: Entries to show.
        path: PNG file to write.
        tasks: Names of the tasks of the study.
        adaptive: Name of the entry whose first run is in the second plot.
        budget: Budget of the second plot.

    """
    figure, (gain, hard) = _figure()
    lines = rows(scores, entries, tasks)
    for label in dict.fromkeys(row.label for row in lines if not row.random):
        _points(gain, [row for row in lines if row.label == label], label)
    random = [row for row in lines if row.random]
    macs, gains = [row.macs / 1e6 for row in random], [row.delta.mean() for row in random]
    gain.plot(macs, gains, 'kx', label='random blocks instead')
    gain.set(xlabel='MMACs of an image', ylabel=GAIN)
    gain.legend(fontsize=7)
    _plot_difficulty(hard, scores[f'{adaptive}_0'][str(budget)], f'{adaptive} at budget {budget}')
    figure.savefig(path, dpi=100)


def draw_gains(
    scores: Scores, entries: Iterable[Entry], path: Path, tasks: Sequence[str] = tuple(TASKS)
) -> None:
    """Draw the relative gain by MACs and by time.

    Args:
        scores: Scores; see `rows()`.
        entries: Entries to show.
        path: PNG file to write.
        tasks: Names of the tasks of the study.

    """
    figure, (macs, times) = _figure()
    lines = rows(scores, entries, tasks)
    for label in dict.fromkeys(row.label for row in lines):
        some = [row for row in lines if row.label == label]
        _points(macs, some, label)
        milliseconds, gains = [row.milliseconds for row in some], [row.delta.mean() for row in some]
        times.errorbar(milliseconds, gains, [_spread(row) for row in some], fmt='o-', ms=4)
    macs.set(xlabel='MMACs of an image', ylabel=GAIN)
    times.set(xlabel='ms of an image, one thread')
    macs.legend(fontsize=7)
    figure.savefig(path, dpi=100)


def draw_adaptation(
    scores: Scores, entries: Iterable[Entry], path: Path, tasks: Sequence[str] = tuple(TASKS)
) -> None:
    """Draw the relative gain by trained parameters, at full budget, and by MACs.

    Args:
        scores: Scores; see `rows()`.
        entries: Entries to show.
        path: PNG file to write.
        tasks: Names of the tasks of the study.

    """
    figure, (trained, macs) = _figure()
    lines = [row for row in rows(scores, entries, tasks) if row.trained]
    for label in dict.fromkeys(row.label for row in lines):
        some = [row for row in lines if row.label == label]
        full = max(some, key=lambda row: row.macs)
        trained.errorbar(full.trained, full.delta.mean(), _spread(full), fmt='o', label=label)
        _points(macs, some, label)
    trained.set(xscale='log', xlabel='trained parameters', ylabel=GAIN)
    macs.set(xscale='log', xlabel='MMACs of an image')
    macs.set_xticks(TICKS, map(str, TICKS))
    macs.minorticks_off()
    trained.legend(fontsize=7)
    figure.savefig(path, dpi=100)


def _figure() -> tuple[Figure, Any]:
    figure = Figure(figsize=(11, 4.2), layout='constrained')
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, 2)


def _points(axes: Any, lines: list[Row], label: str) -> None:
    macs, gains = [row.macs / 1e6 for row in lines], [row.delta.mean() for row in lines]
    axes.errorbar(macs, gains, [_spread(row) for row in lines], fmt='o-', ms=4, label=label)


def _spread(row: Row) -> float:
    return float(row.delta.std())


def _plot_difficulty(axes: Any, run: Any, label: str) -> None:
    difficulty, shares = np.array(run['difficulty']), np.array(run['shares'])
    axes.scatter(difficulty, shares, s=6, alpha=0.5)
    correlation = rank_correlation(difficulty, shares)
    axes.set(
        xlabel='difficulty of the scene',
        ylabel='fraction of the full MACs',
        title=f'{label}: rank correlation {correlation:.2f}',
    )
