# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Where two results of a task differ so that one sees it, and how often that is so."""

from __future__ import annotations

from math import cos, nan, radians
from typing import TYPE_CHECKING, Any

import numpy as np

from adamtl_ros.tasks import TASKS, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Self

    from numpy.typing import NDArray

    Array = NDArray[Any]

STEP = 4
"""Every so many pixels are compared, in both directions: as many as the network puts out."""

ANGLE = 11.25
"""Normals differ above this angle [degrees]; the strictest of the published thresholds."""

RATIO = 1.25
"""Depths differ above this ratio; delta-1's threshold."""

STRENGTH = 64
"""Probabilities differ above this, of 255."""

VISIBLE = 0.05
"""A frame differs visibly if more than this share of its pixels does."""


def thinned_out(results: Mapping[str, Array]) -> dict[str, Array]:
    """Return the pixels of results that are compared."""
    return {task: np.ascontiguousarray(one[::STEP, ::STEP]) for task, one in results.items()}


def differing(task: str, one: Array, other: Array) -> float:
    """Return the share of pixels that differ visibly, 0..1; NaN for other shapes.

    Args:
        task: Name of the task.
        one: A result, as the engine gives it.
        other: Another one; where both are unknown they agree.

    """
    if one.shape != other.shape:
        return nan
    kind = TASKS[task].kind
    if kind is Kind.LABELS:
        return float(np.mean(one != other))
    if kind is Kind.PROBABILITY:
        return float(np.mean(np.abs(one.astype(np.int16) - other.astype(np.int16)) > STRENGTH))
    if kind is Kind.NORMALS:
        # Plane by plane: sums along a short axis take numpy ten times longer.
        (a, b, c), (x, y, z) = (np.moveaxis(normals, -1, 0) for normals in (one, other))
        same = a * x + b * y + c * z >= cos(radians(ANGLE))
        unknown = np.isnan(a + b + c) & np.isnan(x + y + z)
    else:
        with np.errstate(invalid='ignore', divide='ignore'):
            same = np.maximum(one / other, other / one) <= RATIO
        unknown = np.isnan(one) & np.isnan(other)
    return float(np.mean(~(same | unknown)))


class Differences:
    """Adds up, by task, how much results differ from others."""

    def __init__(self, tasks: Iterable[str]) -> None:
        """Begin with nothing for some tasks."""
        self._frames = dict.fromkeys(tasks, 0)
        self._sums = dict.fromkeys(self._frames, 0.0)
        self._visible = dict.fromkeys(self._frames, 0)

    def add(self, task: str, share: float) -> None:
        """Add a frame of which such a share of the pixels differs; NaN is left out."""
        if share == share:  # noqa: PLR0124  false for NaN
            self._frames[task] += 1
            self._sums[task] += share
            self._visible[task] += share > VISIBLE

    def merge(self, other: Self) -> None:
        """Add the sums of another one."""
        for task in other._frames:
            self._frames[task] += other._frames[task]
            self._sums[task] += other._sums[task]
            self._visible[task] += other._visible[task]

    def compute(self) -> dict[str, dict[str, float]]:
        """Return by task 'pixels' and 'frames' that differ, shares 0..1; NaN for none at all."""
        return {
            task: {
                'pixels': self._sums[task] / count if count else nan,
                'frames': self._visible[task] / count if count else nan,
            }
            for task, count in self._frames.items()
        }
