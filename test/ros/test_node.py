# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Images through the live node: what comes out, on which topics, at what cost."""

import math

import numpy as np
import pytest
from adamtl_ros.msg import ComputeStats
from helpers.ros_images import (
    BEST_EFFORT,
    RELIABLE,
    array,
    camera_info,
    compressed,
    image,
    picture,
    send_until,
)
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from adamtl_ros.focal import relative_focal
from adamtl_ros.nn.io.checkpoint import load_model
from adamtl_ros.runtime.engine import Engine
from adamtl_ros.tasks import TASKS


def test_six_tasks_with_one_stamp(graph):
    """Header, encoding, step, size and values of every output."""
    graph.perception()
    results = {name: graph.listen(Image, f'/adamtl/{name}/image') for name in TASKS}
    infos = {name: graph.listen(CameraInfo, f'/adamtl/{name}/camera_info') for name in TASKS}
    stats = graph.listen(ComputeStats, '/adamtl/compute_stats')
    camera = graph.client.create_publisher(Image, 'image', RELIABLE)
    calibration = graph.client.create_publisher(CameraInfo, 'camera_info', RELIABLE)
    shot = image(picture(49, 65), stamp=3, frame_id='front_optical')

    def all_came():
        calibration.publish(camera_info(49, 65))
        # From the second calibration on, a depth of that lens has come.
        known = all(infos.values()) and len(infos['depth']) > 1
        return all(results.values()) and known and any(s.tasks for s in stats)

    send_until(graph, camera, shot, all_came)
    focal = relative_focal(50, 50, 24, 32)  # of the region of interest
    expected = Engine(load_model(), 'cpu').run(picture(49, 65), focal=focal).results
    for name, task in TASKS.items():
        message = results[name][-1]
        assert message.header == shot.header
        assert (message.encoding, message.height, message.width) == (task.encoding, 49, 65)
        assert message.step * message.height == len(message.data)
        np.testing.assert_allclose(
            array(message), expected[name], atol=1 if '8' in task.encoding else 1e-4
        )
        info = infos[name][-1]
        assert info.header == shot.header
        assert (info.height, info.width, info.k[0]) == (49, 65, 50)
    assert np.abs(np.linalg.norm(array(results['normals'][-1]), axis=-1) - 1).max() < 1e-5
    assert (array(results['depth'][-1]) > 0).all()
    last = [s for s in stats if s.tasks][-1]
    assert last.header == shot.header
    assert last.tasks == list(TASKS)
    assert last.macs == last.macs_full > 0
    assert last.limit_reason == ComputeStats.USER
    assert math.isnan(last.age_ms)  # the stamp is of 1970
    assert math.isnan(last.battery)
    stages = (
        last.decode_ms,
        last.preprocess_ms,
        last.infer_ms,
        last.postprocess_ms,
        last.publish_ms,
    )
    assert all(stage > 0 for stage in stages)
    assert last.latency_ms >= sum(stages)


def test_result_of_a_fresh_stamp_has_an_age(graph):
    graph.perception()
    graph.listen(Image, '/adamtl/depth/image')
    stats = graph.listen(ComputeStats, '/adamtl/compute_stats')
    camera = graph.client.create_publisher(Image, 'image', RELIABLE)

    def attempt():
        message = image()
        message.header.stamp = graph.client.get_clock().now().to_msg()
        camera.publish(message)
        return any(s.tasks for s in stats)

    graph.until(attempt)
    last = [s for s in stats if s.tasks][-1]
    assert last.age_ms > 0
    assert last.age_ms >= last.infer_ms


@pytest.mark.parametrize('qos', [BEST_EFFORT, RELIABLE])
def test_best_effort_and_reliable_cameras_match(graph, qos):
    """Best effort and reliable publishers both get through."""
    graph.perception()
    results = graph.listen(Image, '/adamtl/edges/image')
    camera = graph.client.create_publisher(Image, 'image', qos)
    send_until(graph, camera, image(), lambda: results)


def test_compressed_input(graph):
    graph.perception(image_transport='compressed')
    results = graph.listen(Image, '/adamtl/edges/image')
    camera = graph.client.create_publisher(CompressedImage, 'image/compressed', RELIABLE)
    send_until(graph, camera, compressed(stamp=4), lambda: results)
    assert results[0].header.stamp.sec == 4


def test_overrides_of_one_topic_stay_there(graph):
    """Also when the node was cleaned up and configured again."""
    name = 'qos_overrides./adamtl/semseg/image.publisher.reliability'
    node = graph.perception(**{name: 'best_effort'})
    for _ in range(2):
        for topic, reliability in (
            ('semseg/image', ReliabilityPolicy.BEST_EFFORT),
            ('depth/image', ReliabilityPolicy.RELIABLE),
            ('semseg/color', ReliabilityPolicy.RELIABLE),
            ('compute_stats', ReliabilityPolicy.RELIABLE),
        ):
            infos = node.get_publishers_info_by_topic(f'/adamtl/{topic}')
            assert [i.qos_profile.reliability for i in infos] == [reliability], topic
        node.trigger_deactivate()
        node.trigger_cleanup()
        node.trigger_configure()
        node.trigger_activate()


def test_color_images(graph):
    """A subscriber of the color topic alone makes its task run; the image shows the result."""
    graph.perception()
    pictures = graph.listen(Image, '/adamtl/saliency/color')
    camera = graph.client.create_publisher(Image, 'image', RELIABLE)
    send_until(graph, camera, image(), lambda: pictures)
    assert pictures[0].encoding == 'rgb8'
    expected = Engine(load_model(), 'cpu').run(picture(), tasks=['saliency']).results
    difference = array(pictures[0]).astype(int) - expected['saliency'][..., None]
    assert np.abs(difference).max() <= 1


def test_labels_reach_a_late_joiner(graph):
    """The class names are latched, and no class has the id of unlabelled pixels."""
    label_info = pytest.importorskip('vision_msgs.msg', reason='needs vision_msgs').LabelInfo
    graph.perception()
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    for name in ('semseg', 'human_parts'):
        labels = graph.listen(label_info, f'/adamtl/{name}/label_info', latched)
        graph.until(lambda labels=labels: labels)
        classes = {c.class_id: c.class_name for c in labels[0].class_map}
        assert classes == dict(enumerate(load_model().network.tasks[name].classes))
        assert 255 not in classes


def test_output_at_network_size_scales_the_calibration(graph):
    graph.perception(output_size='network')
    results = graph.listen(Image, '/adamtl/depth/image')
    infos = graph.listen(CameraInfo, '/adamtl/depth/camera_info')
    camera = graph.client.create_publisher(Image, 'image', RELIABLE)
    calibration = graph.client.create_publisher(CameraInfo, 'camera_info', RELIABLE)

    def both():
        calibration.publish(camera_info())
        return results and infos

    send_until(graph, camera, image(), both)
    assert (results[0].height, results[0].width) == (192, 256)
    assert (infos[0].height, infos[0].width, infos[0].k[0]) == (192, 256, 200)


def test_namespace_and_late_deadline(graph):
    node = graph.perception(namespace='left', deadline_ms=0.001)
    results = graph.listen(Image, '/left/adamtl/edges/image')
    camera = graph.client.create_publisher(Image, '/left/image', RELIABLE)
    send_until(graph, camera, image(), lambda: results)
    graph.until(lambda: node.cameras[''].reporter.counters.counts.late >= 1)


def test_topics_of_the_documentation(graph):
    """Every topic in docs/ros.md exists, and every topic of the node is there."""
    import re
    from pathlib import Path

    graph.perception()
    page = (Path(__file__).parents[2] / 'docs' / 'ros.md').read_text()
    section = page.split('\n## Topics\n')[1].split('\n## ')[0]
    patterns = [
        topic.replace('~', '/adamtl').replace('<label task>', r'\w+').replace('<task>', r'\w+')
        for topic in re.findall(r'^\| `([^`]+)`', section, re.MULTILINE)
    ]
    node = graph.nodes[0]
    offered = [t for t, _ in node.get_publisher_names_and_types_by_node('adamtl', '/')]
    own = {t for t in offered if t.startswith('/adamtl/') or t == '/diagnostics'}
    own.discard('/adamtl/transition_event')  # of every lifecycle node
    assert own
    for topic in own:
        assert any(re.fullmatch(pattern, topic) for pattern in patterns), topic
    for pattern in patterns:
        inputs = [t for t, _ in node.get_subscriber_names_and_types_by_node('adamtl', '/')]
        known = {*offered, *(topic.removeprefix('/') for topic in inputs)}
        optional = 'label_info' in pattern
        assert optional or any(re.fullmatch(pattern, topic) for topic in known), pattern
