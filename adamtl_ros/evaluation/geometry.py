# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Errors of normals and depth, added up image by image."""

from __future__ import annotations

from math import nan, pi, sqrt
from typing import TYPE_CHECKING

import numpy as np

from adamtl_ros.evaluation.counting import check_shapes, share

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from numpy.typing import NDArray

    Array = NDArray[np.generic]

BIN = 0.01  # degrees
CLOSE = (11.25, 22.5, 30.0)  # degrees
PIECE = 1 << 15  # pixels
NEAREST = 1e-3  # metres; the least that the network can say


class AngularError:
    """Angles between normals, in degrees, over all known pixels of the data set.

    Lengths do not matter. A result without a direction (NaN, infinite or zero) counts as 180.
    Published tables call the mean 'rmse'.
    """

    def __init__(self) -> None:
        self._sum = 0.0
        self._close = np.zeros(len(CLOSE), np.int64)
        self._histogram = np.zeros(round(180 / BIN) + 1, np.int64)

    def update(self, result: Array, label: Array) -> None:
        """Add an image; both (H, W, 3) float32, a label that is not finite is unknown.

        Raises:
            ValueError: Shapes that differ.

        """
        check_shapes(result, label)
        for guess, truth in _pieces(result.reshape(-1, 3), label.reshape(-1, 3)):
            angles = _angles(guess, truth)
            self._sum += float(angles.sum(dtype=np.float64))
            self._close += [np.count_nonzero(angles < limit) for limit in CLOSE]
            bins = (angles / BIN).astype(np.intp)
            self._histogram += np.bincount(bins, minlength=len(self._histogram))

    def merge(self, other: Self) -> None:
        """Add the sums of another one."""
        self._sum += other._sum
        self._close += other._close
        self._histogram += other._histogram

    def compute(self) -> dict[str, float]:
        """Return 'mean_angle', 'median_angle' (to 0.01 degrees), 'within_11.25' and so on."""
        count = int(self._histogram.sum())
        shares = share(self._close, np.full(len(CLOSE), count))
        return {
            'mean_angle': self._sum / count if count else nan,
            'median_angle': self._median(count),
            **{f'within_{limit:g}': float(x) for limit, x in zip(CLOSE, shares, strict=True)},
        }

    def _median(self, count: int) -> float:
        if not count:
            return nan
        middle = [(count - 1) // 2, count // 2]
        return float(np.searchsorted(self._histogram.cumsum(), middle, 'right').mean() * BIN)


class DepthError:
    """Errors of depth over all known pixels of the data set (as in Eigen et al., 2014).

    A label is known where it is finite and positive. A result that is neither, or nearer than a
    millimetre, counts as a millimetre.
    """

    def __init__(self) -> None:
        # Pixels; sums of squared, squared logarithmic, relative errors; pixels within 1.25.
        self._sums = np.zeros(5)

    def update(self, result: Array, label: Array) -> None:
        """Add an image; both (H, W) float32 metres, NaN = unknown.

        Raises:
            ValueError: Shapes that differ.

        """
        check_shapes(result, label)
        for guess, truth in _pieces(result.ravel(), label.ravel()):
            self._sums += _depth_sums(guess, truth)

    def merge(self, other: Self) -> None:
        """Add the sums of another one."""
        self._sums += other._sums

    def compute(self) -> dict[str, float]:
        """Return 'rmse' in metres, 'log_rmse' (natural), 'abs_rel' and 'delta_1'."""
        square, log, relative, close = share(self._sums[1:], np.full(4, self._sums[0]))
        return {
            'rmse': sqrt(square),
            'log_rmse': sqrt(log),
            'abs_rel': float(relative),
            'delta_1': float(close),
        }


def _pieces(result: Array, label: Array) -> Iterator[tuple[Array, Array]]:
    """Cut both into pieces; what is computed from one stays in the cache of a core."""
    for start in range(0, len(label), PIECE):
        piece = slice(start, start + PIECE)
        yield result[piece], label[piece]


def _depth_sums(result: Array, label: Array) -> list[float]:
    metres = label.astype(np.float64)
    known = (metres > 0) & (metres < np.inf)
    truth, guess = metres[known], result[known].astype(np.float64)
    guess[~(guess >= NEAREST) | (guess == np.inf)] = NEAREST
    error, log = guess - truth, np.log(guess / truth)
    close = np.count_nonzero(np.abs(log) < np.log(1.25))
    relative = (np.abs(error) / truth).sum()
    return [len(truth), _squares(error), _squares(log), relative, close]


def _angles(result: Array, label: Array) -> NDArray[np.float32]:
    guess, truth = _planes(result), _planes(label)
    known = _directed(truth)
    with np.errstate(invalid='ignore', over='ignore'):
        angles = _between(guess, truth)
    angles[~_directed(guess)] = 180
    return angles if known.all() else angles[known]


def _between(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the angles between vectors, both (3, n), in degrees."""
    (a, b, c), (x, y, z) = one, other
    # Unlike the arc cosine of the product, this is exact at 0 and for vectors of any length.
    sine = np.sqrt((b * z - c * y) ** 2 + (c * x - a * z) ** 2 + (a * y - b * x) ** 2)
    angles: NDArray[np.float32] = np.arctan2(sine, a * x + b * y + c * z)
    angles *= np.float32(180 / pi)
    return angles


def _squares(values: NDArray[np.float64]) -> float:
    return float(np.einsum('i,i', values, values))


def _directed(planes: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return where vectors are finite and not zero."""
    # Much faster than reducing along the short axis.
    x, y, z = planes
    finite = np.isfinite(x) & np.isfinite(y) & np.isfinite(z)
    return finite & ((x != 0) | (y != 0) | (z != 0))


def _planes(vectors: Array) -> NDArray[np.float32]:
    # Sums over three neighbouring numbers take numpy ten times longer than over three planes.
    planes: NDArray[np.float32] = np.empty((3, vectors.size // 3), np.float32)
    planes[:] = vectors.reshape(-1, 3).T
    return planes
