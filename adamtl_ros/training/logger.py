# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What a training says of itself: a CSV file, and curves."""

from __future__ import annotations

import csv
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    Row = Mapping[str, float | str]

LEADING = ('stage', 'step', 'seconds', 'lr', 'loss')


class CSVLogger:
    """A table with one row for every few steps; missing values are empty."""

    def __init__(self, path: Path, columns: tuple[str, ...], total: int) -> None:
        """Open it; what was written at or after a step that will be done again is dropped.

        Args:
            path: CSV file.
            columns: Names beside `LEADING`.
            total: Steps that have been done.

        """
        self.path = path
        self.columns = (*LEADING, *columns)
        rows = [row for row in read_log(path) if int(row['step']) < total]
        with path.open('w', newline='') as file:
            writer = csv.DictWriter(file, self.columns, restval='', extrasaction='ignore')
            writer.writeheader()
            writer.writerows(rows)

    def write(self, row: Row) -> None:
        """Add a row."""
        with self.path.open('a', newline='') as file:
            shown = {k: f'{v:.6g}' if isinstance(v, float) else v for k, v in row.items()}
            csv.DictWriter(file, self.columns, restval='').writerow(shown)


def read_log(path: Path) -> list[dict[str, str]]:
    """Return the rows of a journal; none if there is no such file."""
    if not path.is_file():
        return []
    with path.open(newline='') as file:
        return list(csv.DictReader(file))


def plot_curves(path: Path, out: Path) -> None:
    """Draw the curves of a journal, each loss in a panel of its own.

    Args:
        path: CSV file that a `CSVLogger` wrote.
        out: PNG file.

    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = read_log(path)
    names = [n for n in rows[0] if n not in ('stage', 'step', 'seconds', 'budget')] if rows else []
    names = [name for name in names if any(row[name] for row in rows)]
    columns = 3
    lines = max(1, -(-len(names) // columns))
    figure = Figure(figsize=(4.2 * columns, 2.6 * lines), layout='constrained')
    FigureCanvasAgg(figure)
    for index, name in enumerate(names):
        axes = figure.add_subplot(lines, columns, index + 1, title=name)
        points = [(int(row['step']), float(row[name])) for row in rows if row[name]]
        steps, values = np.array(points).T
        axes.plot(steps, values, lw=0.6, alpha=0.5)
        axes.plot(steps, _smoothed(values), lw=1.5)
        for boundary in _boundaries(rows):
            axes.axvline(boundary, color='0.7', lw=0.8, ls=':')
    figure.savefig(out, dpi=80)


def _smoothed(values: np.ndarray) -> np.ndarray:
    """Return the mean over neighbours, fewer at the ends."""
    width = len(values) // 25
    kernel = np.ones(2 * width + 1)
    return np.convolve(values, kernel, 'same') / np.convolve(np.ones(len(values)), kernel, 'same')


def _boundaries(rows: list[dict[str, str]]) -> list[int]:
    """Return the steps at which another stage begins."""
    return [int(b['step']) for a, b in pairwise(rows) if a['stage'] != b['stage']]
