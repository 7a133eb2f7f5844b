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

MIDDLE_M = 2.0
"""Depth in the middle of the colors [m].

Red is near, blue is far: the place in the colors is 1 / (1 + (2 m / depth)^1.5), a logistic
function of the logarithm of the depth. Between 0.5 and 4 m lie 63 % of the colors (a logarithmic
scale from 0.3 to 20 m has 50 % there), and no depth is beyond the scale.
"""


def colorize(task: Task, result: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Render a task result.

    Args:
        task: The task.
        result: Result of the engine, in the form that the node publishes.

    Returns:
        (H, W, 3) uint8, RGB. Labels as `class_colors()` says. Normals with
        x right as red, y up as green and z towards the camera as blue. Depth from near (red)
        to far (blue), unknown black. Saliency and edges bright on dark.

    """
    if task.kind is Kind.LABELS:
        # As a color map of OpenCV: ten times faster than indexing with the image.
        return cv2.applyColorMap(result, class_colors(task.classes)[:, None])
    if task.kind is Kind.NORMALS:
        return _normals(result.astype(np.float32, copy=False))
    if task.kind is Kind.DEPTH:
        return _depth(result.astype(np.float32, copy=False))
    return cv2.cvtColor(result, cv2.COLOR_GRAY2RGB)


@lru_cache(maxsize=16)
def class_colors(classes: tuple[str, ...]) -> NDArray[np.uint8]:
    """Return the colors of class ids, (256, 3) RGB.

    They are those of PASCAL VOC, where black is the background. Where the first class is
    something else, such as a wall, the classes have the colors from 1 on.
    """
    first = 0 if classes[:1] == ('background',) else 1
    return label_palette(len(classes), first)


def _normals(vectors: NDArray[np.float32]) -> NDArray[np.uint8]:
    # Optical frame: y points down and z away from the camera, so both are negated.
    flip = np.array([[127.5, 0, 0], [0, -127.5, 0], [0, 0, -127.5]], np.float32)
    shift = np.full((3, 1), 127.5, np.float32)
    shown = cv2.transform(vectors, np.hstack([flip, shift]))
    return cv2.convertScaleAbs(np.nan_to_num(shown, copy=False))


def _depth(depth: NDArray[np.float32]) -> NDArray[np.uint8]:
    known = np.isfinite(depth) & (depth > 0)
    relative = np.where(known, depth, np.float32(MIDDLE_M)) / np.float32(MIDDLE_M)
    shade = (255 / (1 + relative * np.sqrt(relative))).astype(np.uint8)
    image = cv2.cvtColor(cv2.applyColorMap(shade, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    image[~known] = 0
    return image
