# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Camera calibration for results of another size than the image."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sensor_msgs.msg import CameraInfo
    from std_msgs.msg import Header


def is_calibrated(info: CameraInfo) -> bool:
    """Tell whether the intrinsic matrix is known; REP-104 drivers send zeros when it is not."""
    return bool(info.k[0])


def scaled(info: CameraInfo, header: Header, height: int, width: int) -> CameraInfo:
    """Return the calibration of the same view at another size.

    As image_proc resizes: K, P and the region of interest scale, D and R stay.

    Args:
        info: Calibration of the input image.
        header: Header of the input image.
        height: Height of the result.
        width: Width of the result.

    """
    result = copy.deepcopy(info)
    result.header = header
    result.height, result.width = height, width
    if info.width and info.height:
        x, y = width / info.width, height / info.height
        _scale(result, x, y)
    return result


def _scale(info: CameraInfo, x: float, y: float) -> None:
    for matrix, columns in ((info.k, 3), (info.p, 4)):
        matrix[:columns] *= x
        matrix[columns : 2 * columns] *= y
    roi = info.roi
    roi.x_offset, roi.width = round(roi.x_offset * x), round(roi.width * x)
    roi.y_offset, roi.height = round(roi.y_offset * y), round(roi.height * y)
