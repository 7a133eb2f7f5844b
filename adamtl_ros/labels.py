# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Helpers for label arrays: sizes, units, and unknown pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from adamtl_ros.sample import DataError
from adamtl_ros.tasks import UNLABELLED

if TYPE_CHECKING:
    from numpy.typing import NDArray


NO_DEPTH = 65535
"""Value of 16-bit depth images that is no distance: the sensor or its recorder had none."""
MAX_DEPTH_M = 20.0
"""Greatest depth that is believed unless the user says otherwise [m].

Depth cameras are specified for less: structured light and time of flight to 4 to 8 m, stereo to 6
to 20 m, where its error, which grows with the square of the distance, is already meters. Beyond
are reflections, mismatches and values that mean something else. Only lidars measure farther.
"""


def resize_nearest(label: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Resize a label to the size of its image by nearest neighbor.

    Args:
        label: (H, W) or (H, W, C).
        height: Height of the result [px].
        width: Width of the result [px].

    """
    if label.shape[:2] == (height, width):
        return label
    rows = ((np.arange(height) + 0.5) * label.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * label.shape[1] / width).astype(int)
    return label[rows[:, None], columns]


def unit_vectors(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """Normalize (H, W, 3) vectors; NaN where the length is not between 0.5 and 1.5.

    Grey and black pixels of an image of normals have other lengths: they mark unknown normals.
    """
    # By component: sums along a short axis take numpy ten times longer.
    x, y, z = (vectors[..., axis].astype(np.float32) for axis in range(3))
    length = np.sqrt(x * x + y * y + z * z)
    length[~((length > 0.5) & (length < 1.5))] = np.nan
    return np.stack([x / length, y / length, z / length], axis=-1)


def valid_depth(depth: NDArray[Any]) -> NDArray[np.float32]:
    """Return a depth map as float32 with NaN where it is 0, negative or infinite."""
    known = (depth > 0) & (depth < np.inf)
    return np.where(known, depth.astype(np.float32), np.float32(np.nan))


def depth_from_millimeters(stored: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return a 16-bit depth image in meters, with NaN where it is 0 or 65535.

    REP-118 has 0 for no measurement. Recordings made with OpenNI, such as those of 7-Scenes, also
    have 65535, the largest value, which would count as 65.5 m.
    """
    # In single precision the quotient of whole numbers is still the nearest one.
    meters = np.divide(stored, 1000, dtype=np.float32)
    meters[(stored == 0) | (stored == NO_DEPTH)] = np.nan
    return meters


def soft_mask(stored: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return 0..1 of 8-bit pixels, whose scale is 0..255 if a value is above 1, else 0..1."""
    scale = 255 if stored.max(initial=0) > 1 else 1
    return np.multiply(stored, np.float32(1 / scale), dtype=np.float32)


def soft(label: NDArray[Any]) -> NDArray[np.float32]:
    """Return a label of saliency or edges as 0..1, NaN where unknown, whichever its form is."""
    if label.dtype.kind == 'f':
        return label
    return np.where(label == UNLABELLED, np.float32(np.nan), label.astype(np.float32))


def hard(label: NDArray[Any], threshold: float) -> NDArray[np.uint8]:
    """Return a label of saliency or edges as 0 or 1, 255 where unknown.

    Args:
        label: (H, W), soft or hard.
        threshold: Smallest soft value that becomes 1.

    """
    if label.dtype.kind != 'f':
        return label
    return np.where(np.isnan(label), UNLABELLED, label >= threshold).astype(np.uint8)


def binary_mask(mask: NDArray[Any]) -> NDArray[np.uint8]:
    """Return 1 above half of the scale, which is 0..255 if a value is above 1, else 0..1."""
    middle = 127.5 if mask.max(initial=0) > 1 else 0.5
    return (mask > middle).astype(np.uint8)


def class_ids(label: NDArray[Any], count: int, source: object) -> NDArray[np.uint8]:
    """Return (H, W) class ids as uint8.

    Args:
        label: (H, W) integers.
        count: Number of classes.
        source: File or topic, for errors.

    Raises:
        DataError: Not one channel, or ids that are neither below `count` nor 255.

    """
    if label.ndim != 2:
        raise DataError(f'{source}: class ids are (height, width), not {label.shape}')
    invalid = np.unique(label[(label >= count) & (label != UNLABELLED) | (label < 0)])
    if invalid.size:
        raise DataError(
            f'{source}: class id {invalid[0]}, but there are {count} classes, '
            f'0 to {count - 1} and {UNLABELLED} for unlabelled'
        )
    return label.astype(np.uint8)
