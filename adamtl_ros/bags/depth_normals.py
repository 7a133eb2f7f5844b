# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Surface normals from the image of a depth camera."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Planes = NDArray[np.float32]

REACH = 4
"""Distance from a pixel to the neighbors that span its surface [px]; more is less noisy."""
FAR = np.float32(1e6)
"""Value of unknown depths when the minimum is taken [m]."""
JUMP = 0.05
"""Relative difference of depths that separates two surfaces."""


def normals_from_depth(
    depth: NDArray[np.generic], matrix: NDArray[np.generic]
) -> NDArray[np.float32]:
    """Return the surface normals of a depth image.

    A normal is the cross product of the vectors between the left and right, and the upper and
    lower neighbors of a point of the smoothed depth, oriented towards the camera.

    Args:
        depth: (H, W) meters along the optical axis, NaN = unknown.
        matrix: (3, 3) camera matrix K for this image, without distortion.

    Returns:
        (H, W, 3) float32 unit vectors in the camera optical frame. NaN at the border, and where
        a depth nearby is unknown or belongs to another surface.

    """
    meters = depth.astype(np.float32)
    known = np.isfinite(meters) & (meters > 0)
    smooth = _smooth(np.where(known, meters, 0), known)
    height, width = meters.shape
    x = (np.arange(width, dtype=np.float32) - np.float32(matrix[0, 2])) / np.float32(matrix[0, 0])
    y = (np.arange(height, dtype=np.float32) - np.float32(matrix[1, 2])) / np.float32(matrix[1, 1])
    points = np.stack([x * smooth, y[:, None] * smooth, smooth])
    far, inner = 2 * REACH, slice(REACH, -REACH)
    down = points[:, far:, inner] - points[:, :-far, inner]
    across = points[:, inner, far:] - points[:, inner, :-far]
    found = _cross(down, across)
    # The second factor is the sign that orients the normal towards the camera.
    length = np.sqrt(_dot(found, found)) * -np.sign(_dot(found, points[:, inner, inner]))
    valid = _one_surface(meters, known)[inner, inner] & (length != 0)
    with np.errstate(divide='ignore', invalid='ignore'):
        scale = np.where(valid, 1 / length, np.float32(np.nan))
    normals = np.full((height, width, 3), np.nan, np.float32)
    normals[inner, inner] = np.moveaxis(found * scale, 0, -1)
    return normals


def _cross(one: Planes, other: Planes) -> Planes:
    """Return the cross products of vectors whose coordinates are the first axis."""
    (a, b, c), (u, v, w) = one, other
    return np.stack([b * w - c * v, c * u - a * w, a * v - b * u])


def _dot(one: Planes, other: Planes) -> Planes:
    (a, b, c), (u, v, w) = one, other
    return a * u + b * v + c * w


def _smooth(meters: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the mean of the known depths around each pixel."""
    size = (REACH + 1, REACH + 1)
    total = cv2.boxFilter(meters, -1, size, normalize=False)
    count = cv2.boxFilter(known.astype(np.float32), -1, size, normalize=False)
    return total / np.maximum(count, 1)


def _one_surface(meters: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the mask of pixels whose surroundings are known and on one surface.

    A slope changes the depth evenly, so only the change between adjacent pixels counts.
    """
    block = np.ones((3, 3), np.uint8)
    low = cv2.erode(np.where(known, meters, FAR), block)
    high = cv2.dilate(np.where(known, meters, 0), block)
    smooth = known & (high - low <= JUMP * low)
    size = 2 * (REACH + REACH // 2) + 1
    # Beyond the border nothing is known.
    near = np.ones((size, size), np.uint8)
    border = {'borderType': cv2.BORDER_CONSTANT, 'borderValue': 0}
    return cv2.erode(smooth.astype(np.uint8), near, **border).astype(bool)
