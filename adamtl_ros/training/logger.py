# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Log of a training as a CSV file, and curves drawn from it."""

from __future__ import annotations

import csv
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

COMMON_COLUMNS = ('stage', 'step', 'seconds', 'lr', 'loss')
"""First columns of every log."""


class CSVLogger:
    """CSV file with one row per logged step; missing values are empty.

    Not a subclass of Lightning's logger of this name: that one deletes the file of an interrupted
    run, keeps rows in memory until it is flushed, so that a kill loses them, sorts the columns
    and fixes the file name.
    """

    def __init__(self, path: Path, columns: tuple[str, ...], first_step: int = 0) -> None:
        """Open a log, or continue one: rows from `first_step` on are removed from it.

        Args:
            path: CSV file.
            columns: Names of the columns after `COMMON_COLUMNS`.
            first_step: Next step of the training, counted over all stages. An interrupted run
                goes on at its last checkpoint and logs the steps after it again.

        """
        self.path = path
        self.columns = (*COMMON_COLUMNS, *columns)
        rows = [row for row in read_log(path) if int(row['step']) < first_step]
        with path.open('w', newline='') as file:
            writer = csv.DictWriter(file, self.columns, restval='', extrasaction='ignore')
            writer.writeheader()
            writer.writerows(rows)

    def log_metrics(self, metrics: Mapping[str, float | str]) -> None:
        """Append a row.

        Args:
            metrics: Values by column name; floats are written with six digits.

        Raises:
            ValueError: A name that is not a column.

        """
        row = {k: f'{v:.6g}' if isinstance(v, float) else v for k, v in metrics.items()}
        with self.path.open('a', newline='') as file:
            csv.DictWriter(file, self.columns, restval='').writerow(row)


def read_log(path: Path) -> list[dict[str, str]]:
    """Return the rows of a log, as strings by column name; none if the file does not exist."""
    if not path.is_file():
        return []
    with path.open(newline='') as file:
        return list(csv.DictReader(file))


def plot_curves(path: Path, out: Path) -> None:
    """Draw the curves of a log, each column in a panel of its own.

    Args:
        path: CSV file written by a `CSVLogger`.
        out: PNG file to write.

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
        axes.plot(steps, _moving_average(values), lw=1.5)
        axes.set_ylim(*_value_range(values))
        for step in _stage_boundaries(rows):
            axes.axvline(step, color='0.7', lw=0.8, ls=':')
    figure.savefig(out, dpi=80)


def _moving_average(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the centered moving average; at the ends over fewer values."""
    half_width = len(values) // 25
    kernel = np.ones(2 * half_width + 1)
    return np.convolve(values, kernel, 'same') / np.convolve(np.ones(len(values)), kernel, 'same')


def _value_range(values: NDArray[np.float64]) -> tuple[float, float] | tuple[None, None]:
    """Return the limits of an axis, which leave out the first values where they are outliers.

    The loss of random weights is so large that it would flatten the rest of the curve.
    """
    later = values[-(-len(values) // 20) :]
    if not len(later) or later.min() == later.max():
        return None, None
    margin = 0.1 * (later.max() - later.min())
    return float(later.min() - margin), float(later.max() + margin)


def _stage_boundaries(rows: list[dict[str, str]]) -> list[int]:
    """Return the first step of each stage but the first."""
    return [int(b['step']) for a, b in pairwise(rows) if a['stage'] != b['stage']]
