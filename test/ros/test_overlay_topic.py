# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Overlay of a real node: only while somebody looks, and only the tasks that it needs."""

import numpy as np
from adamtl_ros.msg import ComputeStats
from helpers.ros_images import RELIABLE, array, image, picture, send_until
from sensor_msgs.msg import CompressedImage, Image

from adamtl_ros.bags.images import decode_image


def test_overlay_has_size_and_header_of_the_image(graph):
    node = graph.perception(model='scenes_nano')
    stats = graph.listen(ComputeStats, '/adamtl/compute_stats')
    camera = graph.client.create_publisher(Image, 'image', RELIABLE)
    assert node.cameras[''].processor.active_tasks() == ()
    overlays = graph.listen(Image, '/adamtl/overlay/image')
    send_until(graph, camera, image(picture(240, 320), stamp=5, frame_id='eye'), lambda: overlays)
    assert (overlays[0].header.frame_id, overlays[0].header.stamp.sec) == ('eye', 5)
    assert overlays[0].encoding == 'rgb8'
    shown = array(overlays[0])
    assert shown.shape == (240, 320, 3)
    assert np.abs(shown.astype(int) - picture(240, 320)).mean() > 5
    graph.until(lambda: any(s.tasks for s in stats))
    assert {*next(s.tasks for s in stats if s.tasks)} == {'semseg', 'human_parts', 'edges'}


def test_overlay_as_jpeg_of_the_enabled_tasks_only(graph):
    node = graph.perception(model='scenes_nano', tasks=['edges', 'depth'])
    camera = graph.client.create_publisher(Image, 'image', RELIABLE)
    overlays = graph.listen(CompressedImage, '/adamtl/overlay/image/compressed')
    send_until(graph, camera, image(picture(240, 320)), lambda: overlays)
    assert node.cameras[''].processor.active_tasks() == ('edges',)
    assert overlays[0].format == 'rgb8; jpeg compressed bgr8'
    assert decode_image(overlays[0]).shape == (240, 320, 3)
