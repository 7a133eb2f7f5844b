# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Results to messages, the scaled calibration, and images that the node refuses."""

import sys

import numpy as np
import pytest
from helpers.ros_images import RELIABLE, camera_info, compressed, image, send_until
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from adamtl_ros.bags.images import ImageError, decode_image
from adamtl_ros.ros.topics import is_calibrated, scale_camera_info, to_message


def test_result_is_read_back_bit_for_bit():
    header = image(stamp=7, frame_id='left').header
    for array, encoding in (
        (np.arange(12, dtype=np.uint8).reshape(3, 4), 'mono8'),
        (np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32), '32FC1'),
        (np.random.default_rng(0).normal(size=(3, 4, 3)).astype(np.float32)[:, ::-1], '32FC3'),
    ):
        message = to_message(array, encoding, header)
        assert (message.height, message.width, message.encoding) == (3, 4, encoding)
        assert message.step == 4 * array.itemsize * (array.size // 12)
        assert message.is_bigendian == (sys.byteorder == 'big')
        assert message.header == header
        back = np.frombuffer(message.data, array.dtype).reshape(array.shape)
        np.testing.assert_array_equal(back, array)


def test_scaled_by_hand():
    info, header = camera_info(), image(stamp=9, frame_id='left').header
    half = scale_camera_info(info, header, 2.0, 0.5)
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
    same = scale_camera_info(info, image().header, 1.0, 1.0)
    same.header = info.header
    assert same == info


def test_uncalibrated_camera():
    info = CameraInfo(height=0, width=0)
    assert not is_calibrated(info)
    assert is_calibrated(camera_info())
    assert scale_camera_info(info, image().header, 2.0, 2.0).width == 0


def test_region_and_binning_of_the_sensor_are_kept():
    """A driver that sends a part of its sensor names the full size; nothing was resized here."""
    info = camera_info(480, 640, focal=500.0)
    info.binning_x = info.binning_y = 2
    same = scale_camera_info(info, image().header, 1.0, 1.0)
    assert (same.k[0], same.width, same.binning_x, same.roi.width) == (500, 640, 2, 32)


def test_a_cut_off_jpeg_is_refused_as_in_offline_evaluation(graph):
    """OpenCV alone would fill the rest of the image with grey."""
    node = graph.perception(image_transport='compressed')
    results = graph.listen(Image, '/adamtl/edges/image')
    camera = graph.client.create_publisher(CompressedImage, 'image/compressed', RELIABLE)
    whole = compressed(stamp=4)
    cut = CompressedImage(format=whole.format, data=bytes(whole.data)[: len(whole.data) // 2])
    with pytest.raises(ImageError, match='cut off'):
        decode_image(cut)
    reporter = node.cameras[''].reporter
    send_until(graph, camera, cut, lambda: reporter.counters.counts.refused)
    assert 'of JPEG are cut off' in reporter.refusal
    assert not results
    send_until(graph, camera, whole, lambda: results)
    assert results[0].header.stamp.sec == 4
