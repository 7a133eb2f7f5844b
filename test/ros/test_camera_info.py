# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Scaling of the calibration, by hand."""

from helpers.ros_images import camera_info, image
from sensor_msgs.msg import CameraInfo

from adamtl_ros.ros.images import is_calibrated, scaled


def test_scaled_by_hand():
    info, header = camera_info(), image(stamp=9, frame_id='left').header
    half = scaled(info, header, 2.0, 0.5)
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
    same = scaled(info, image().header, 1.0, 1.0)
    same.header = info.header
    assert same == info


def test_uncalibrated_camera():
    info = CameraInfo(height=0, width=0)
    assert not is_calibrated(info)
    assert is_calibrated(camera_info())
    assert scaled(info, image().header, 2.0, 2.0).width == 0


def test_region_and_binning_of_the_sensor_stay_true():
    """A driver that sends a part of its sensor names the full size; nothing was resized here."""
    info = camera_info(480, 640, focal=500.0)
    info.binning_x = info.binning_y = 2
    same = scaled(info, image().header, 1.0, 1.0)
    assert (same.k[0], same.width, same.binning_x, same.roi.width) == (500, 640, 2, 32)
