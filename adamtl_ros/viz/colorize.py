# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Task results as color images."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from adamtl_ros.tasks import Kind, Task, label_palette

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEAREST_M, FARTHEST_M = 0.3, 20.0
"""Range of the depth colors [m]: red is near, blue is far, on a logarithmic scale."""


def colorize(task: Task, result: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Render a task result.

    Args:
        task: The task.
        result: Result of the engine, in the form that the node publishes.

    Returns:
        (H, W, 3) uint8, RGB. Labels in the PASCAL VOC colors, unlabelled gray. Normals with
        x right as red, y up as green and z towards the camera as blue. Depth from near (red)
        to far (blue), unknown black. Saliency and edges bright on dark.

    """
    if task.kind is Kind.LABELS:
        return cv2.applyColorMap(result, _palette(len(task.classes)))
    if task.kind is Kind.NORMALS:
        return _normals(result.astype(np.float32, copy=False))
    if task.kind is Kind.DEPTH:
        return _depth(result.astype(np.float32, copy=False))
    return cv2.cvtColor(result, cv2.COLOR_GRAY2RGB)


@lru_cache(maxsize=16)
def _palette(classes: int) -> NDArray[np.uint8]:
    # As a color map of OpenCV: ten times faster than indexing with the image.
    return label_palette(classes)[:, None]


def _normals(vectors: NDArray[np.float32]) -> NDArray[np.uint8]:
    # Optical frame: y points down and z away from the camera, so both are negated.
    flip = np.array([[127.5, 0, 0], [0, -127.5, 0], [0, 0, -127.5]], np.float32)
    shift = np.full((3, 1), 127.5, np.float32)
    shown = cv2.transform(vectors, np.hstack([flip, shift]))
    return cv2.convertScaleAbs(np.nan_to_num(shown, copy=False))


def _depth(depth: NDArray[np.float32]) -> NDArray[np.uint8]:
    known = np.isfinite(depth) & (depth > 0)
    span = np.log(FARTHEST_M / NEAREST_M)
    nearness = 1 - np.log(np.where(known, depth, 1) / NEAREST_M) / span
    shade = np.clip(255 * nearness, 0, 255).astype(np.uint8)
    image = cv2.cvtColor(cv2.applyColorMap(shade, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    image[~known] = 0
    return image
