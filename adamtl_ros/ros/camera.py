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


def scaled(info: CameraInfo, header: Header, y: float, x: float) -> CameraInfo:
    """Return the calibration of an image that was resized.

    As image_proc resizes: the size, K, P and the region of interest scale, D and R stay.
    Binning and the region say how the driver made its image of the sensor's; they stay true.

    Args:
        info: Calibration of the input image.
        header: Header of the input image.
        y: Height of the result over the height of the image.
        x: Width of the result over the width of the image.

    """
    result = copy.deepcopy(info)
    result.header = header
    if (y, x) != (1, 1):
        _scale(result, y, x)
    return result


def _scale(info: CameraInfo, y: float, x: float) -> None:
    info.height, info.width = round(info.height * y), round(info.width * x)
    for matrix, columns in ((info.k, 3), (info.p, 4)):
        matrix[:columns] *= x
        matrix[columns : 2 * columns] *= y
    roi = info.roi
    roi.x_offset, roi.width = round(roi.x_offset * x), round(roi.width * x)
    roi.y_offset, roi.height = round(roi.y_offset * y), round(roi.height * y)
