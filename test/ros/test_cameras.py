# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Several cameras that share one model."""

import itertools
import threading

import pytest
from adamtl_ros.msg import ComputeStats
from diagnostic_msgs.msg import DiagnosticArray
from helpers.ros_images import RELIABLE, array, camera_info, image, picture
from helpers.ros_parameters import change
from sensor_msgs.msg import CameraInfo, Image

from adamtl_ros.nn.io.checkpoint import load_model
from adamtl_ros.runtime.engine import Engine

SHOTS = {'front': picture(48, 64, seed=1), 'left': picture(36, 80, seed=2)}


def cameras(graph):
    """Return what sends an image of each camera, and what comes back, by camera."""
    publishers = {n: graph.client.create_publisher(Image, f'{n}/image', RELIABLE) for n in SHOTS}
    results = {n: graph.listen(Image, f'/adamtl/{n}/edges/image') for n in SHOTS}
    stats = {n: graph.listen(ComputeStats, f'/adamtl/{n}/compute_stats') for n in SHOTS}

    def send():
        for name, publisher in publishers.items():
            publisher.publish(image(SHOTS[name], frame_id=name))

    return send, results, stats


def test_each_camera_has_its_own_topics(graph):
    graph.perception(cameras=list(SHOTS), tasks=['edges'])
    send, results, stats = cameras(graph)
    infos = graph.listen(CameraInfo, '/adamtl/left/edges/camera_info')
    calibration = graph.client.create_publisher(CameraInfo, 'left/camera_info', RELIABLE)
    health = graph.listen(DiagnosticArray, '/diagnostics')

    def all_came():
        send()
        calibration.publish(camera_info(36, 80))
        return infos and all(len(found) > 2 for found in results.values())

    graph.until(all_came)
    engine = Engine(load_model(), 'cpu')
    for name, found in results.items():
        expected = engine.run(SHOTS[name], 1.0, ['edges']).results['edges']
        assert all(message.header.frame_id == name for message in found)
        assert all(abs(array(m).astype(int) - expected.astype(int)).max() <= 1 for m in found)
    assert (infos[0].height, infos[0].width) == (36, 80)
    graph.until(lambda: all(any(s.tasks for s in found) for found in stats.values()))
    for name, found in stats.items():
        assert {s.header.frame_id for s in found if s.tasks} == {name}
    graph.until(lambda: len(health) >= 2)
    names = {status.name for message in health for status in message.status}
    assert {'/adamtl: front input', '/adamtl: left input'} <= names


def test_the_budget_and_the_turns_hold_for_all(graph, monkeypatch):
    """Both wait whenever a frame is done; each is served in turn."""
    node = graph.perception(cameras=list(SHOTS), tasks=['edges'])
    send, _, stats = cameras(graph)
    run, turns, taken = node.engine.run, threading.Semaphore(0), []

    def in_turn(*arguments):
        taken.append(arguments[0].shape[:2])
        turns.acquire(timeout=60)
        return run(*arguments)

    assert change(graph, 'budget', 0.5).successful
    monkeypatch.setattr(node.engine, 'run', in_turn)
    of = [camera.reporter.counters for camera in node.cameras.values()]

    def begun():
        send()
        return taken and all(statistics.counts.received for statistics in of)

    graph.until(begun)
    for number in range(1, 9):
        before = [statistics.counts.received for statistics in of]

        def both_wait(before=before):
            send()
            return all(s.counts.received >= b + 2 for s, b in zip(of, before, strict=True))

        graph.until(both_wait)
        turns.release()
        graph.until(lambda n=number: len(taken) > n)
    turns.release(1000)
    # Which camera came first is chance.
    assert all(one != other for one, other in itertools.pairwise(taken[1:9]))
    assert all(statistics.counts.dropped > 0 for statistics in of)
    graph.until(lambda: all(any(s.tasks for s in found) for found in stats.values()))
    for found in stats.values():
        shares = [s.macs / s.macs_full for s in found if s.tasks]
        assert all(share <= 0.61 for share in shares)


def test_every_image_of_every_camera_is_accounted_for(graph):
    node = graph.perception(cameras=list(SHOTS), tasks=['edges'])
    send, results, _ = cameras(graph)

    def enough():
        send()
        return all(len(found) > 5 for found in results.values())

    graph.until(enough)
    assert node.trigger_deactivate() is not None
    for camera in node.cameras.values():
        c = camera.reporter.counters.counts
        assert c.received == c.processed + c.dropped + c.idle + c.refused


@pytest.mark.parametrize(
    ('names', 'text'),
    [
        ([], 'each camera once'),
        (['front', 'front'], 'each camera once'),
        (['front', ''], "camera '' cannot begin topics"),
        (['2nd'], "camera '2nd' cannot begin topics"),
        (['a b'], "camera 'a b' cannot begin topics"),
        (['fränt'], "camera 'fränt' cannot begin topics"),
        (['front', 'depth'], "camera 'depth' has the name of a task"),
    ],
)
def test_invalid_names_are_refused(graph, names, text):
    with pytest.raises(ValueError, match=text):
        graph.perception(activate=False, cameras=names)
