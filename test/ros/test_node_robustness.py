# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The live node under load, with bad or missing input, and without subscribers."""

import math
import threading
import time
from contextlib import suppress

import pytest
import rclpy
from adamtl_ros.msg import ComputeStats
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from helpers.ros_images import RELIABLE, compressed, image, picture, send_until
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image, Temperature

from adamtl_ros.governor.limiters.thermal import MAX_SENSORS
from adamtl_ros.ros import camera_channel, processor
from adamtl_ros.ros.failures import SteadyExecutor


@pytest.mark.parametrize('second', [-5, 2**31 - 1])
def test_strange_stamps_are_frames_like_others(graph, second):
    node = graph.perception()
    results = graph.listen(Image, '/adamtl/edges/image')
    stats = graph.listen(ComputeStats, '/adamtl/compute_stats')
    camera = graph.client.create_publisher(Image, 'image', RELIABLE)
    send_until(graph, camera, image(stamp=second), lambda: results and any(s.tasks for s in stats))
    assert results[0].header.stamp.sec == second
    assert math.isnan(next(s for s in stats if s.tasks).age_ms)
    assert node.cameras[''].reporter.counters.counts.refused == 0


def test_damaged_message_is_refused(graph):
    """Bytes that are not an image, as from a node of another version."""
    node = graph.perception()
    graph.listen(Image, '/adamtl/edges/image')
    camera = graph.client.create_publisher(Image, 'image', RELIABLE)
    send_until(
        graph, camera, b'\x00\x01\x00\x00rubbish',
        lambda: node.cameras[''].reporter.counters.counts.refused,
    )  # fmt: skip


def test_statistics_that_fail_do_not_undo_a_result(graph, monkeypatch):
    node = graph.perception()

    def fail(_stats):
        raise RuntimeError('no statistics')

    monkeypatch.setattr(node.cameras[''].reporter, 'publish_stats', fail)
    results = graph.listen(Image, '/adamtl/edges/image')
    camera = graph.client.create_publisher(Image, 'image', RELIABLE)
    send_until(graph, camera, image(), lambda: len(results) >= 2)
    assert node.cameras[''].reporter.counters.counts.refused == 0
    assert node.cameras[''].reporter.counters.counts.processed >= 2


def test_health_is_reported_while_simulated_time_stands_still(graph):
    graph.perception(use_sim_time=True)
    reports = graph.listen(DiagnosticArray, '/diagnostics')
    graph.until(lambda: reports)


def test_rate_limit(graph):
    """A camera at full speed, limited to five frames per second; lifting the limit takes effect."""
    node = graph.perception(max_rate_hz=5.0)
    results = graph.listen(Image, '/adamtl/edges/image')
    camera = graph.client.create_publisher(Image, 'image', RELIABLE)
    begun = time.monotonic()
    send_until(graph, camera, image(), lambda: len(results) >= 6)
    assert time.monotonic() - begun >= (len(results) - 1) / 5.0
    # One in 1000 s: without the change that comes after it, the rest would not come in time.
    node.set_parameters([Parameter('max_rate_hz', value=0.001)])
    node.set_parameters([Parameter('max_rate_hz', value=0.0)])
    first = len(results)
    send_until(graph, camera, image(), lambda: len(results) >= first + 20)


def test_nothing_runs_without_subscribers(graph, monkeypatch):
    """Without a subscriber the engine is not called; with one, only that task runs."""
    node = graph.perception()
    computed = []
    run = node.engine.run
    monkeypatch.setattr(node.engine, 'run', lambda *a: (computed.append(tuple(a[2])), run(*a))[1])
    camera = graph.client.create_publisher(Image, 'image', RELIABLE)
    send_until(graph, camera, image(), lambda: node.cameras[''].reporter.counters.counts.idle >= 5)
    assert not computed
    assert node.cameras[''].reporter.counters.counts.processed == 0
    results = graph.listen(Image, '/adamtl/depth/image')
    send_until(graph, camera, image(), lambda: results)
    assert set(computed) == {('depth',)}


def test_statistics_while_idle(graph):
    """Statistics without tasks are published every second while nothing runs."""
    graph.perception()
    stats = graph.listen(ComputeStats, '/adamtl/compute_stats')
    graph.until(lambda: len(stats) >= 2)
    assert stats[1].tasks == []
    assert stats[1].sequence == stats[0].sequence + 1
    assert math.isnan(stats[0].infer_ms)
    assert stats[0].requested_budget == 1


@pytest.fixture
def log(graph, monkeypatch):
    """Return a function that records the log messages of a node by severity."""
    monkeypatch.setattr(camera_channel, 'NO_IMAGE_AFTER_S', 0.2)

    def record(node):
        found, kind = {'warning': [], 'info': []}, type(node.get_logger())
        for severity, messages in found.items():
            monkeypatch.setattr(
                kind, severity, lambda _self, text, to=messages, **_: to.append(text)
            )
        return found

    return record


def test_missing_images_are_logged_with_what_to_check(graph, log):
    """The warning is not repeated every second; arriving images are logged, then a new gap."""
    node = graph.perception(
        activate=False, **{'qos_overrides./image.subscription.reliability': 'reliable'}
    )
    messages = log(node)
    node.trigger_configure()
    node.trigger_activate()
    reports = graph.listen(DiagnosticArray, '/diagnostics')
    graph.until(lambda: len(reports) >= 3)
    (warning,) = messages['warning']
    assert warning.startswith('No image on /image (Image, reliable, volatile) for ')
    assert 'the topic has no publisher: check that the camera runs' in warning
    camera = graph.client.create_publisher(Image, 'image', RELIABLE)
    send_until(graph, camera, image(), lambda: 'Images arrive on /image' in messages['info'])
    camera.publish(image())
    graph.until(lambda: len(messages['warning']) == 2)
    assert 'published as (Image, reliable, volatile, from client)' in messages['warning'][1]
    assert messages['info'].count('Images arrive on /image') == 1
    send_until(
        graph, camera, image(), lambda: messages['info'].count('Images arrive on /image') == 2
    )


@pytest.fixture
def camera_process(graph):
    """Return a node of another DDS participant, whose topics may have other types."""
    context = Context()
    rclpy.init(context=context, domain_id=graph.context.get_domain_id())
    node = rclpy.create_node('camera', context=context)
    yield node
    node.destroy_node()
    context.try_shutdown()


def test_a_publisher_of_another_type_is_logged(graph, log, camera_process):
    node = graph.perception(activate=False, image_transport='compressed')
    messages = log(node)
    camera_process.create_publisher(Image, 'image/compressed', RELIABLE)
    graph.until(lambda: node.count_publishers('/image/compressed'))
    node.trigger_configure()
    node.trigger_activate()
    graph.until(lambda: messages['warning'])
    assert 'No image on /image/compressed (CompressedImage, best effort' in messages['warning'][0]
    assert '(Image, reliable, volatile, from camera)' in messages['warning'][0]


def test_slow_network_drops_old_frames(graph, monkeypatch):
    """Hundred frames faster than the work; all are accounted for and the last is done."""
    node = graph.perception()
    run, turns, taken = node.engine.run, threading.Semaphore(0), []

    def slowly(*arguments):
        taken.append(True)
        turns.acquire(timeout=60)
        return run(*arguments)

    results = graph.listen(Image, '/adamtl/edges/image')
    camera = graph.client.create_publisher(Image, 'image', QoSProfile(depth=200))
    send_until(graph, camera, image(stamp=1), lambda: results)
    camera.publish(image(stamp=50))
    graph.until(lambda: results[-1].header.stamp.sec == 50)  # nothing is on its way any more
    monkeypatch.setattr(node.engine, 'run', slowly)
    statistics = node.cameras[''].reporter.counters

    def all_done():
        counts = statistics.counts
        return counts.processed + counts.dropped + counts.idle == counts.received

    graph.until(all_done)
    before = statistics.counts
    for index in range(100):
        if index % 25 == 1:  # one frame is in work while 25 arrive
            graph.until(lambda n=index: len(taken) > n // 25)
        camera.publish(image(stamp=100 + index))
        # The input keeps few messages, so that a burst would overwrite most before they arrive.
        arrived = before.received + index + 1
        graph.until(lambda n=arrived: statistics.counts.received >= n)
        if index % 25 == 0 and index:
            turns.release()
    turns.release(100)
    graph.until(lambda: results[-1].header.stamp.sec == 199)
    graph.until(all_done)
    counts = statistics.counts
    assert counts.received == before.received + 100
    # The first, the newest each time one was done, and the last, after one in work at most.
    assert 5 <= len(taken) <= 6
    assert counts.processed == before.processed + len(taken)
    assert counts.dropped == before.dropped + 100 - len(taken)
    stamps = [result.header.stamp.sec for result in results]
    assert stamps == sorted(stamps)


def test_images_that_arrive_while_the_node_is_busy_are_counted(graph):
    """The executor is held up, as by another thread with Python's lock: the queue keeps them."""
    node = graph.perception()
    results = graph.listen(Image, '/adamtl/edges/image')
    camera = graph.client.create_publisher(Image, 'image', RELIABLE)
    send_until(graph, camera, image(stamp=1), lambda: results)
    camera.publish(image(stamp=50))
    graph.until(lambda: results[-1].header.stamp.sec == 50)  # nothing is on its way any more
    before = node.cameras[''].reporter.counters.counts.received
    held, free = threading.Event(), threading.Event()

    def hold():
        held.set()
        free.wait(30)

    node.executor.create_task(hold)
    assert held.wait(30)
    for index in range(4):
        camera.publish(image(stamp=100 + index))
    free.set()
    graph.until(lambda: node.cameras[''].reporter.counters.counts.received == before + 4)
    graph.until(lambda: results[-1].header.stamp.sec == 103)


BAD = {
    'unknown encoding': {'encoding': '32FC1'},
    'no pixels': {'height': 0},
    'short data': {'height': 1000},
    'short rows': {'step': 3},
}


@pytest.mark.parametrize('bad', BAD.values(), ids=BAD)
def test_bad_frames_are_refused_and_counted(graph, bad):
    """The node logs the reason, counts the frame, and processes the next one."""
    node = graph.perception()
    results = graph.listen(Image, '/adamtl/edges/image')
    reports = graph.listen(DiagnosticArray, '/diagnostics')
    camera = graph.client.create_publisher(Image, 'image', RELIABLE)
    wrong = image()
    for name, value in bad.items():
        setattr(wrong, name, value)
    send_until(graph, camera, wrong, lambda: node.cameras[''].reporter.counters.counts.refused)

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
    send_until(graph, camera, image(), lambda: node.cameras[''].reporter.counters.counts.refused)
    assert node.cameras[''].reporter.refusal == 'RuntimeError: out of memory'
    fail[0] = False
    send_until(graph, camera, image(), lambda: results)


def test_diagnostics(graph):
    graph.perception(model='nano')
    reports = graph.listen(DiagnosticArray, '/diagnostics')
    graph.until(lambda: reports)
    by_name = {status.name: status for status in reports[-1].status}
    assert set(by_name) == {
        f'/adamtl: {part}' for part in ('input', 'inference', 'governor', 'model')
    }
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


def test_images_of_too_many_pixels_are_refused_and_counted(graph):
    """By their header; the limit holds for raw images too, and can be changed."""
    node = graph.perception(image_transport='compressed', max_megapixels=0.01)
    results = graph.listen(Image, '/adamtl/edges/image')
    reports = graph.listen(DiagnosticArray, '/diagnostics')
    camera = graph.client.create_publisher(CompressedImage, 'image/compressed', RELIABLE)
    large = compressed(picture(120, 160), extension='.png')
    counts = node.cameras[''].reporter.counters
    send_until(graph, camera, large, lambda: counts.counts.refused)

    def reported():
        return any('160x120 pixels' in status.message for one in reports for status in one.status)

    graph.until(reported)
    send_until(graph, camera, compressed(), lambda: results)
    assert results[0].height == 48
    node.set_parameters([Parameter('max_megapixels', value=1.0)])
    send_until(graph, camera, large, lambda: results[-1].height == 120)


def test_foreign_text_cannot_forge_or_fill_the_log(graph, monkeypatch):
    """An encoding of two megabytes, with a line of its own and a sequence of a terminal."""
    node = graph.perception()
    lines = []
    monkeypatch.setattr(
        type(node.get_logger()), 'warning', lambda _self, text, **_: lines.append(text)
    )
    graph.listen(Image, '/adamtl/edges/image')
    reports = graph.listen(DiagnosticArray, '/diagnostics')
    camera = graph.client.create_publisher(Image, 'image', RELIABLE)
    wild = image()
    wild.encoding = '\n[ERROR] [adamtl]: on fire \x1b[2J' + 'x' * 2_000_000
    send_until(graph, camera, wild, lambda: node.cameras[''].reporter.counters.counts.refused)
    graph.until(lambda: any('refused' in s.message for one in reports for s in one.status))
    said = [s.message for one in reports for s in one.status if 'refused' in s.message] + lines
    assert all(text.isprintable() and len(text) < 600 for text in said)
    assert any(r'\n[ERROR] [adamtl]: on fire \x1b[2J' in text for text in said)


def test_names_of_thermometers_are_capped(graph):
    node = graph.perception()
    heat = graph.client.create_publisher(Temperature, 'temperature', QoSProfile(depth=1000))
    graph.until(heat.get_subscription_count)
    sent = iter(range(100_000))

    def full():
        for _ in range(20):
            message = Temperature(temperature=20.0)
            message.header.frame_id = f'{next(sent)}\n' + 'x' * 10_000
            heat.publish(message)
        return len(node.governor._governor.thermal._readings) >= MAX_SENSORS

    graph.until(full)
    full()
    names = node.governor._governor.thermal._readings
    assert len(names) <= MAX_SENSORS + 1
    assert all(len(name) <= 80 and name.isprintable() for name in names)


def test_a_failing_callback_is_counted_in_the_diagnostics(graph):
    node = graph.perception()
    reports = graph.listen(DiagnosticArray, '/diagnostics')
    node.failures.add(ValueError('Seconds value must not be negative'))

    def statuses():
        return [s for one in reports for s in one.status if s.name == '/adamtl: input']

    graph.until(lambda: any(s.level == DiagnosticStatus.WARN for s in statuses()))
    warned = next(s for s in statuses() if s.level == DiagnosticStatus.WARN)
    assert warned.message == 'a callback failed: Seconds value must not be negative'
    assert {v.key: v.value for v in warned.values}['failed callbacks'] == '1'


def test_the_executor_goes_on_after_a_failure(graph):
    """Two callbacks in turn; the first fails each time."""
    failures, done = [], threading.Event()
    executor = SteadyExecutor(failures.append, context=graph.context)
    executor.create_task(lambda: 1 / 0)
    executor.create_task(done.set)
    while not (done.is_set() and failures):
        executor.spin_once(60)
    assert [type(one) for one in failures] == [ZeroDivisionError]
    executor.shutdown()


def test_the_executor_sees_a_shutdown_that_did_not_wake_it():
    """As by a signal that falls between two waits: no callback of the context is called."""
    context = Context()
    context.init([])
    executor = SteadyExecutor(print, context=context)
    waiting = threading.Event()
    executor.create_task(waiting.set)

    def spin():
        with suppress(ExternalShutdownException):
            executor.spin()

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    assert waiting.wait(60)
    with context.handle:
        context.handle.shutdown()
    thread.join(60)
    assert not thread.is_alive()


def test_a_model_of_another_digest_is_not_loaded(graph):
    node = graph.perception(activate=False, model_sha256='0' * 64)
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE


def test_the_memory_of_a_much_larger_frame_is_returned(graph, monkeypatch):
    returned = []
    monkeypatch.setattr(processor, 'return_freed_memory', lambda: returned.append(True))
    graph.perception()
    results = graph.listen(Image, '/adamtl/edges/image')
    camera = graph.client.create_publisher(Image, 'image', RELIABLE)
    for height, width, times in ((96, 128, 0), (60, 80, 0), (30, 40, 1), (30, 40, 1), (96, 128, 1)):
        send_until(
            graph, camera, image(picture(height, width)),
            lambda height=height: results and results[-1].height == height,
        )  # fmt: skip
        assert len(returned) == times
