# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Sources played as a ROS camera: what arrives, unchanged or converted, and calibrations."""

import csv
import itertools
import threading

import numpy as np
import pytest
from helpers.ros_images import array, picture
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from adamtl_ros.bags.images import decode_image
from adamtl_ros.bags.reader import find_camera, open_bag, read_images
from adamtl_ros.commands.main import main
from adamtl_ros.data.synthetic import write_synthetic_bag
from adamtl_ros.ros.player import CameraPublisher, info_message, play
from adamtl_ros.ros.topics import to_message
from adamtl_ros.sources.calibration import from_field_of_view
from adamtl_ros.sources.find import open_source
from adamtl_ros.sources.frame import Frame, Source


class Once(Source):
    """Images in memory."""

    def __init__(self, *images):
        super().__init__('memory')
        self._images = images

    def frames(self):
        """Yield them at 50 Hz."""
        for index, one in enumerate(self._images):
            yield Frame(one, 20_000_000 * index)


def matched(graph, *publishers):
    graph.until(lambda: all(p.get_subscription_count() for p in publishers))


def test_images_arrive_raw_and_compressed_with_the_lens(graph):
    camera = CameraPublisher(graph.client, '/eye/image', 'eye')
    raw = graph.listen(Image, '/eye/image')
    jpeg = graph.listen(CompressedImage, '/eye/image/compressed')
    infos = graph.listen(CameraInfo, '/eye/camera_info')
    matched(graph, camera.raw, camera.jpeg, camera.info)
    source = Once(*(picture(seed=seed) for seed in range(3)))
    source.fov_deg = 90.0
    assert play(source, camera) == 3
    graph.until(lambda: len(raw) == len(jpeg) == len(infos) == 3)
    for seed, (one, other, info) in enumerate(zip(raw, jpeg, infos, strict=True)):
        np.testing.assert_array_equal(array(one), picture(seed=seed))
        assert one.header == other.header == info.header
        assert one.header.frame_id == 'eye'
        assert one.header.stamp.sec > 0
        assert np.abs(decode_image(other).astype(int) - picture(seed=seed)).mean() < 4
        assert info.k.tolist() == pytest.approx([32, 0, 32, 0, 32, 24, 0, 0, 1])
        assert info.p.tolist() == pytest.approx([32, 0, 32, 0, 0, 32, 24, 0, 0, 0, 1, 0])


def test_an_unknown_lens_has_no_k():
    info = info_message(None, 48, 64, Header())
    assert (info.height, info.width, set(info.k)) == (48, 64, {0.0})
    known = info_message(from_field_of_view(60.0, 48, 64), 48, 64, Header())
    assert known.distortion_model == 'plumb_bob'
    assert known.r.tolist() == [1, 0, 0, 0, 1, 0, 0, 0, 1]


def test_messages_of_a_bag_are_unchanged_and_converted_on_demand(graph, tmp_path):
    write_synthetic_bag(tmp_path / 'room', frames=4)
    topics = find_camera(tmp_path / 'room')
    camera = CameraPublisher(graph.client, '/eye/image')
    jpeg = graph.listen(CompressedImage, '/eye/image/compressed')
    raw = graph.listen(Image, '/eye/image')
    matched(graph, camera.raw, camera.jpeg)
    log = tmp_path / 'sent.csv'
    assert play(open_source(str(tmp_path / 'room')), camera, log=log) == 4
    graph.until(lambda: len(jpeg) == len(raw) == 4)
    with open_bag(tmp_path / 'room') as reader:
        connections = [c for c in reader.connections if c.topic == topics.image]
        recorded = [reader.deserialize(r, c.msgtype) for c, _, r in reader.messages(connections)]
    decoded = dict(read_images(tmp_path / 'room', topics))
    with log.open(newline='') as file:
        stamps = [int(row['stamp_ns']) for row in csv.DictReader(file)]
    assert stamps == list(decoded)
    for sent, kept, other in zip(jpeg, recorded, raw, strict=True):
        assert bytes(sent.data) == kept.data.tobytes()
        assert sent.header.stamp.sec == kept.header.stamp.sec
        stamp = 1_000_000_000 * other.header.stamp.sec + other.header.stamp.nanosec
        np.testing.assert_array_equal(array(other), decoded[stamp])


def test_damaged_messages_do_not_end_the_player(graph):
    camera = CameraPublisher(graph.client, '/eye/image')
    raw = graph.listen(Image, '/eye/image')
    jpeg = graph.listen(CompressedImage, '/eye/image/compressed')
    matched(graph, camera.raw, camera.jpeg)
    damaged = CompressedImage(format='jpeg', data=b'\xff\xd8nothing')
    camera.publish_serialized(serialize_message(damaged), compressed=True)
    whole = to_message(picture(), 'rgb8', Header())
    camera.publish_serialized(serialize_message(whole), compressed=False)
    graph.until(lambda: len(raw) == 1 and len(jpeg) == 2)
    assert jpeg[0].data == damaged.data


def test_a_loop_stamps_messages_with_now(graph, tmp_path):
    write_synthetic_bag(tmp_path / 'room', frames=2)
    camera = CameraPublisher(graph.client, '/eye/image')
    jpeg = graph.listen(CompressedImage, '/eye/image/compressed')
    matched(graph, camera.jpeg)
    began = graph.client.get_clock().now().nanoseconds // 1_000_000_000
    source = open_source(str(tmp_path / 'room'))
    threading.Thread(target=lambda: play(source, camera, now=True)).start()
    graph.until(lambda: len(jpeg) == 2)
    assert all(message.header.stamp.sec >= began for message in jpeg)
    times = [m.header.stamp.sec + m.header.stamp.nanosec / 1e9 for m in jpeg]
    assert all(a < b for a, b in itertools.pairwise(times))


@pytest.mark.usefixtures('own_domain')
def test_a_recording_waits_for_a_subscriber(tmp_path, capsys):
    write_synthetic_bag(tmp_path / 'room', frames=2)
    assert main(['play', str(tmp_path / 'room'), '--wait', '0.2', '--image', '/eye/image']) == 1
    message = 'nobody subscribed to /eye/image[/compressed] within 0.2 s'
    assert message in capsys.readouterr().err
