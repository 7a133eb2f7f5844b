# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Flicker: what changes from frame to frame beyond the motion of camera and things.

Each result is compared with that of the frame before, warped to it by dense optical flow (DIS,
Kroeger et al. 2016) where the flow there and back agrees. It is computed in its slowest preset at
160x120, apart from the flow that a stream uses.
"""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from adamtl_ros.tasks import TASKS, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    Array = NDArray[Any]

FLOW_SIZE = (160, 120)
"""Width and height at which flow is computed [px]."""
MAX_ERROR = 1.0
"""Distance by which a pixel may miss itself, there and back, at that size [px]."""


def backward_flow(gray: Array, next_gray: Array) -> tuple[Array, Array]:
    """Return where each pixel of the next frame was, (H, W, 2), and whether it is known."""
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    back, there = dis.calc(next_gray, gray, None), dis.calc(gray, next_gray, None)
    rows, columns = np.mgrid[: gray.shape[0], : gray.shape[1]].astype(np.float32)
    places = np.dstack([columns, rows]) + back
    error = np.linalg.norm(back + cv2.remap(there, places, None, cv2.INTER_LINEAR), axis=-1)
    limits = np.array(gray.shape[::-1]) - 1
    inside = ((places >= 0) & (places <= limits)).all(-1)
    return places, inside & (error < MAX_ERROR)


def change(task: str, before: Array, after: Array) -> Array:
    """Return how much each pixel changes.

    Args:
        task: Name of the task.
        before: Result of the frame before, warped to the frame.
        after: Result of the frame.

    Returns:
        1 where classes differ and 0 elsewhere, difference of the logarithms of depth, angle
        between normals [degrees], or difference of probabilities, 0..1; NaN where one is unknown.

    """
    kind = TASKS[task].kind
    if kind is Kind.LABELS:
        return (before != after).astype(np.float32)
    if kind is Kind.DEPTH:
        return np.abs(np.log(before) - np.log(after))
    if kind is Kind.NORMALS:
        cosine = np.einsum('hwc,hwc->hw', before, after)
        return np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    return np.abs(before.astype(np.float32) - after.astype(np.float32)) / 255


class Flicker:
    """Mean changes from frame to frame of one recording, by task."""

    def __init__(self, tasks: Iterable[str]) -> None:
        """Start before the first frame.

        Args:
            tasks: Names of the tasks.

        """
        self._sums = {name: [0.0, 0.0] for name in tasks}
        self._before: dict[str, Array] = {}

    def restart(self) -> None:
        """Begin to add up anew, after the newest frame."""
        self._sums = {name: [0.0, 0.0] for name in self._sums}

    def add(self, results: Mapping[str, Array], flow: tuple[Array, Array] | None) -> None:
        """Add a frame.

        Args:
            results: Results by task.
            flow: Flow from the frame before, see `backward_flow()`; None if there is none.

        """
        small = {
            name: cv2.resize(one, FLOW_SIZE, interpolation=cv2.INTER_NEAREST)
            for name, one in results.items()
        }
        if flow is not None:
            places, seen = flow
            for name in small.keys() & self._before.keys():
                # The pixel at the rim stands for what was outside, which `seen` leaves out.
                warped = cv2.remap(
                    self._before[name], places, None, cv2.INTER_NEAREST, None, cv2.BORDER_REPLICATE
                )
                changes = change(name, warped, small[name])[seen]
                known = np.isfinite(changes)
                self._sums[name][0] += float(changes[known].sum())
                self._sums[name][1] += float(known.sum())
        self._before = small

    def compute(self) -> dict[str, float]:
        """Return the mean change of a pixel by task; NaN if nothing was compared."""
        return {
            name: total / count if count else nan for name, (total, count) in self._sums.items()
        }
