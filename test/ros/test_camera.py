# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Scaling of the calibration, by hand."""

from helpers import camera_info, image
from sensor_msgs.msg import CameraInfo

from adamtl_ros.ros.camera import is_calibrated, scaled


def test_scaled_by_hand():
    info, header = camera_info(), image(stamp=9, frame_id='left').header
    half = scaled(info, header, 96, 32)
    assert (half.height, half.width, half.header) == (96, 32, header)
    assert half.k.tolist() == [25, 0, 15.75, 0, 100, 47, 0, 0, 1]
    assert half.p.tolist() == [25, 0, 15.75, -1, 0, 100, 47, 0, 0, 0, 1, 0]
    assert half.r.tolist() == info.r.tolist()
    assert list(half.d) == list(info.d)
    roi = half.roi
    assert (roi.x_offset, roi.y_offset, roi.width, roi.height) == (4, 8, 16, 48)
    assert info.k[0] == 50  # the original stays


def test_same_size_changes_the_header_only():
    info = camera_info()
    same = scaled(info, image().header, 48, 64)
    same.header = info.header
    assert same == info


def test_uncalibrated_camera():
    info = CameraInfo(height=0, width=0)
    assert not is_calibrated(info)
    assert is_calibrated(camera_info())
    assert scaled(info, image().header, 10, 20).width == 20
