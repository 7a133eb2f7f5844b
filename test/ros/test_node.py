# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Images through the live node: what comes out, on which topics, at what cost."""

import math
import time

import numpy as np
import pytest
from adamtl_ros.msg import ComputeStats
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from helpers import BEST_EFFORT, RELIABLE, camera_info, compressed, image, picture
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from adamtl_ros.nn.checkpoint import load_model
from adamtl_ros.runtime.engine import Engine
from adamtl_ros.tasks import TASKS


def send_until(graph, publisher, message, done):
    """Publish again and again, as a camera does, until something has happened."""

    def attempt():
        if done():
            return True
        publisher.publish(message)
        return False

    graph.until(attempt)


def array(message):
    kind = np.float32 if message.encoding.startswith('32F') else np.uint8
    channels = 3 if message.encoding in ('32FC3', 'rgb8') else 1
    shape = (message.height, message.width, channels)
    return np.frombuffer(message.data, kind).reshape(shape if channels > 1 else shape[:2])


def test_six_tasks_with_one_stamp(graph):
    """T1, T2, T3, T15: header, encoding, step, size and values of every output."""
    graph.perception()
    results = {name: graph.listen(Image, f'/adamtl/{name}/image') for name in TASKS}
    infos = {name: graph.listen(CameraInfo, f'/adamtl/{name}/camera_info') for name in TASKS}
    stats = graph.listen(ComputeStats, '/adamtl/compute_stats')
    camera = graph.client.create_publisher(Image, 'image', RELIABLE)
    calibration = graph.client.create_publisher(CameraInfo, 'camera_info', RELIABLE)
    shot = image(picture(49, 65), stamp=3, frame_id='front_optical')

    def all_came():
        calibration.publish(camera_info(49, 65))
        return all(results.values()) and all(infos.values()) and any(s.tasks for s in stats)

    send_until(graph, camera, shot, all_came)
    expected = Engine(load_model('nano'), 'cpu').run(picture(49, 65)).results
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
    assert 0 < last.age_ms < 10_000
    assert last.age_ms >= last.infer_ms


@pytest.mark.parametrize('qos', [BEST_EFFORT, RELIABLE])
def test_any_camera_matches(graph, qos):
    """T18: best effort and reliable publishers both get through."""
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


@pytest.mark.parametrize('second', [-5, 2**31 - 1])
def test_strange_stamps_are_frames_like_others(graph, second):
    node = graph.perception()
    results = graph.listen(Image, '/adamtl/edges/image')
    stats = graph.listen(ComputeStats, '/adamtl/compute_stats')
    camera = graph.client.create_publisher(Image, 'image', RELIABLE)
    send_until(graph, camera, image(stamp=second), lambda: results and any(s.tasks for s in stats))
    assert results[0].header.stamp.sec == second
    assert math.isnan(next(s for s in stats if s.tasks).age_ms)
    assert node.reporter.statistics.counts.refused == 0


def test_damaged_message_is_refused(graph):
    """Bytes that are no image at all, as from a node of another version."""
    node = graph.perception()
    graph.listen(Image, '/adamtl/edges/image')
    camera = graph.client.create_publisher(Image, 'image', RELIABLE)
    send_until(
        graph, camera, b'\x00\x01\x00\x00rubbish',
        lambda: node.reporter.statistics.counts.refused,
    )  # fmt: skip


def test_statistics_that_fail_do_not_undo_a_result(graph, monkeypatch):
    node = graph.perception()

    def fail(_stats):
        raise RuntimeError('no statistics')

    monkeypatch.setattr(node.reporter, 'publish_stats', fail)
    results = graph.listen(Image, '/adamtl/edges/image')
    camera = graph.client.create_publisher(Image, 'image', RELIABLE)
    send_until(graph, camera, image(), lambda: len(results) >= 2)
    assert node.reporter.statistics.counts.refused == 0
    assert node.reporter.statistics.counts.processed >= 2


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


def test_health_is_reported_while_simulated_time_stands_still(graph):
    graph.perception(use_sim_time=True)
    reports = graph.listen(DiagnosticArray, '/diagnostics')
    graph.until(lambda: reports)


def test_rate_limit(graph):
    """A camera at full speed, five frames a second wanted; lifting the limit takes effect."""
    node = graph.perception(max_rate_hz=5.0)
    results = graph.listen(Image, '/adamtl/edges/image')
    camera = graph.client.create_publisher(Image, 'image', RELIABLE)
    send_until(graph, camera, image(), lambda: results)
    begun, first = time.monotonic(), len(results)
    send_until(graph, camera, image(), lambda: len(results) >= first + 5)
    assert time.monotonic() - begun > 0.7
    node.set_parameters([Parameter('max_rate_hz', value=0.0)])
    begun, first = time.monotonic(), len(results)
    send_until(graph, camera, image(), lambda: len(results) >= first + 20)
    assert time.monotonic() - begun < 3.5


def test_colour_pictures(graph):
    """The colour topic alone makes its task run, and shows what the result says."""
    graph.perception()
    pictures = graph.listen(Image, '/adamtl/saliency/color')
    camera = graph.client.create_publisher(Image, 'image', RELIABLE)
    send_until(graph, camera, image(), lambda: pictures)
    assert pictures[0].encoding == 'rgb8'
    expected = Engine(load_model('nano'), 'cpu').run(picture(), tasks=['saliency']).results
    difference = array(pictures[0]).astype(int) - expected['saliency'][..., None]
    assert np.abs(difference).max() <= 1


def test_labels_reach_a_late_joiner(graph):
    """T4, T5: the class names are latched, and no class has the id of unlabelled pixels."""
    label_info = pytest.importorskip('vision_msgs.msg', reason='needs vision_msgs').LabelInfo
    graph.perception()
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    for name in ('semseg', 'human_parts'):
        labels = graph.listen(label_info, f'/adamtl/{name}/label_info', latched)
        graph.until(lambda labels=labels: labels)
        classes = {c.class_id: c.class_name for c in labels[0].class_map}
        assert classes == dict(enumerate(TASKS[name].classes))
        assert 255 not in classes


def test_nobody_listens_nothing_runs(graph, monkeypatch):
    """T6: without a subscriber the engine is not called; with one, only that task runs."""
    node = graph.perception()
    wanted = []
    run = node.engine.run
    monkeypatch.setattr(node.engine, 'run', lambda *a: (wanted.append(tuple(a[2])), run(*a))[1])
    camera = graph.client.create_publisher(Image, 'image', RELIABLE)
    send_until(graph, camera, image(), lambda: node.reporter.statistics.counts.idle >= 5)
    assert not wanted
    assert node.reporter.statistics.counts.processed == 0
    results = graph.listen(Image, '/adamtl/depth/image')
    send_until(graph, camera, image(), lambda: results)
    assert set(wanted) == {('depth',)}


def test_statistics_while_idle(graph):
    """Somebody who only reads the statistics is told that nothing runs, each second."""
    graph.perception()
    stats = graph.listen(ComputeStats, '/adamtl/compute_stats')
    graph.until(lambda: len(stats) >= 2)
    assert stats[1].tasks == []
    assert stats[1].sequence == stats[0].sequence + 1
    assert math.isnan(stats[0].infer_ms)
    assert stats[0].requested_budget == 1


def test_slow_network_drops_old_frames(graph, monkeypatch):
    """T7: hundred frames faster than the work; all are accounted for and the last is done."""
    node = graph.perception()
    run = node.engine.run

    def slowly(*arguments):
        time.sleep(0.02)
        return run(*arguments)

    monkeypatch.setattr(node.engine, 'run', slowly)
    results = graph.listen(Image, '/adamtl/edges/image')
    camera = graph.client.create_publisher(Image, 'image', QoSProfile(depth=200))
    send_until(graph, camera, image(stamp=1), lambda: results)
    before = node.reporter.statistics.counts.received
    for index in range(100):
        camera.publish(image(stamp=100 + index))
    graph.until(lambda: results[-1].header.stamp.sec == 199)
    graph.until(lambda: node.reporter.statistics.counts.processed == len(results))
    counts = node.reporter.statistics.counts
    assert counts.processed + counts.dropped == counts.received
    # The input keeps one message, so a burst may overwrite some before they arrive.
    assert counts.received - before > 10
    assert counts.dropped > counts.processed
    # The newest frame waits for one that is in work at most: two times 20 ms and the network's.
    assert node.reporter.statistics.latency_percentiles()[1] < 500
    stamps = [result.header.stamp.sec for result in results]
    assert stamps == sorted(stamps)


BAD = {
    'unknown encoding': {'encoding': '32FC1'},
    'no pixels': {'height': 0},
    'short data': {'height': 1000},
    'short rows': {'step': 3},
}


@pytest.mark.parametrize('bad', BAD.values(), ids=BAD)
def test_bad_frames_are_refused_and_counted(graph, bad):
    """T14: the node says why, counts the frame, and takes the next one."""
    node = graph.perception()
    results = graph.listen(Image, '/adamtl/edges/image')
    reports = graph.listen(DiagnosticArray, '/diagnostics')
    camera = graph.client.create_publisher(Image, 'image', RELIABLE)
    wrong = image()
    for name, value in bad.items():
        setattr(wrong, name, value)
    send_until(graph, camera, wrong, lambda: node.reporter.statistics.counts.refused)

    def warned():
        return any(
            status.level == DiagnosticStatus.WARN and 'image refused' in status.message
            for report in reports
            for status in report.status
        )

    graph.until(warned)
    assert not results
    send_until(graph, camera, image(stamp=8), lambda: results)
    assert results[0].header.stamp.sec == 8


def test_a_failing_engine_does_not_end_the_node(graph, monkeypatch):
    node = graph.perception()
    run, fail = node.engine.run, [True]

    def flaky(*arguments):
        if fail[0]:
            raise RuntimeError('out of memory')
        return run(*arguments)

    monkeypatch.setattr(node.engine, 'run', flaky)
    results = graph.listen(Image, '/adamtl/edges/image')
    camera = graph.client.create_publisher(Image, 'image', RELIABLE)
    send_until(graph, camera, image(), lambda: node.reporter.statistics.counts.refused)
    assert node.reporter.refusal == 'RuntimeError: out of memory'
    fail[0] = False
    send_until(graph, camera, image(), lambda: results)


def test_diagnostics(graph):
    graph.perception()
    reports = graph.listen(DiagnosticArray, '/diagnostics')
    graph.until(lambda: reports)
    by_name = {status.name: status for status in reports[-1].status}
    assert set(by_name) == {'/adamtl: input', '/adamtl: inference', '/adamtl: model'}
    assert by_name['/adamtl: input'].level == DiagnosticStatus.STALE
    assert by_name['/adamtl: input'].message == 'no image on /image'
    assert by_name['/adamtl: model'].level == DiagnosticStatus.WARN
    assert 'random weights' in by_name['/adamtl: model'].message
    graph.listen(Image, '/adamtl/edges/image')
    camera = graph.client.create_publisher(Image, 'image', RELIABLE)

    def runs():
        latest = {status.name: status for status in reports[-1].status}
        return latest['/adamtl: inference'].message == 'running'

    send_until(graph, camera, image(), runs)
    status = {status.name: status for status in reports[-1].status}['/adamtl: inference']
    values = {pair.key: pair.value for pair in status.values}
    assert values['subscribed tasks'] == 'edges'
    assert float(values['latency p95 [ms]']) > 0


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
    graph.until(lambda: node.reporter.statistics.counts.late >= 1)


def test_topics_of_the_readme(graph):
    """Every topic in the README exists, and every topic of the node is in the README."""
    import re
    from pathlib import Path

    graph.perception()
    readme = (Path(__file__).parents[2] / 'README.md').read_text()
    section = readme.split('\n## Topics\n')[1].split('\n## ')[0]
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
