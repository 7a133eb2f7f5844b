# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Relative focal length of a camera, on which the scale of metric depth depends.

A network sees pixels: a thing of half the size in pixels is twice as far away, or the lens has
half the focal length. Depth times canonical over real focal length has no such ambiguity (the
canonical camera with transformed labels of Metric3D, Yin et al., ICCV 2023, section 3.2), so that
is what a network learns where its model has a canonical focal length; `Engine` undoes it.

Focal lengths are relative: the geometric mean of fx and fy [px] over the square root of the area
of the image [px], both of the same image. Resizing does not change it, not even to another aspect
ratio. It is 0.936 for the Kinect of NYUv2, whose field of view is 63 by 50 degrees.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

ASPECT_TOLERANCE = 0.05
"""Relative difference of aspect ratios above which a calibration is of another image; encoders
that pad to multiples of 16 change them by 1 %."""


def relative_focal(fx: float, fy: float, height: float, width: float) -> float:
    """Return the relative focal length of an image; NaN unless all values are positive.

    Args:
        fx: Horizontal focal length [px].
        fy: Vertical focal length [px].
        height: Height of the image [px].
        width: Width of the image [px].

    """
    values = (fx, fy, height, width)
    if not all(math.isfinite(value) and value > 0 for value in values):
        return math.nan
    return math.sqrt(fx * fy / (height * width))


def info_focal(info: Any, size: Sequence[int]) -> float:
    """Return the relative focal length of an image by its `sensor_msgs/CameraInfo`.

    K is for the full resolution of the sensor, of which the image shows the region of interest;
    binning changes focal length and size alike (comments of CameraInfo.msg). An image that was
    resized without its calibration has the same relative focal length.

    Args:
        info: Message, of rclpy or of rosbags. Without a size it is taken to be for the image.
        size: Height and width of the image [px].

    Returns:
        NaN if K is zero (REP-104: uncalibrated) or the calibration does not fit the image.

    """
    height, width = _visible_size(info, size)
    if not fits_image(info, size):
        return math.nan
    return relative_focal(float(info.k[0]), float(info.k[4]), height, width)


def fits_image(info: Any, size: Sequence[int]) -> bool:
    """Return whether a `CameraInfo` has the aspect ratio of an image, height and width [px]."""
    height, width = _visible_size(info, size)
    rows, columns = height / max(info.binning_y, 1), width / max(info.binning_x, 1)
    ratio = (columns * size[0]) / (rows * size[1])
    return abs(math.log(ratio)) <= ASPECT_TOLERANCE


def _visible_size(info: Any, size: Sequence[int]) -> tuple[int, int]:
    """Return height and width of what the image shows, at the full resolution of the sensor."""
    roi = info.roi
    if roi.height and roi.width:
        return roi.height, roi.width
    if info.height and info.width:
        return info.height, info.width
    return size[0] * max(info.binning_y, 1), size[1] * max(info.binning_x, 1)


def check_focal(focal: float | None) -> float | None:
    """Return a relative focal length, None if not given.

    Raises:
        ValueError: Not a positive finite number.

    """
    if focal is not None and not (math.isfinite(focal) and focal > 0):
        raise ValueError(
            f'focal must be a positive relative focal length, focal length over the square root '
            f'of the area of the image, both in pixels (such as 0.94), got {focal}'
        )
    return focal
