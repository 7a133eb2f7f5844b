# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Parameter `adapter` of the live node: changes while frames arrive, and bad files."""

import itertools
import threading
from pathlib import Path

import numpy as np
import pytest
from adamtl_ros.msg import ComputeStats
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from helpers import made_adapters as made
from helpers.ros_images import RELIABLE, array, image, picture
from helpers.ros_parameters import change
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from adamtl_ros.nn.io.checkpoint import load_adapted, load_model
from adamtl_ros.runtime.engine import Engine

SHOTS = [picture(seed=seed) for seed in range(3)]
RATE_HZ, SWAPS = 30, 12
DEEP = QoSProfile(depth=1000)


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    return made.two(tmp_path_factory.mktemp('adapters'))


@pytest.fixture(scope='module')
def offline(files):
    """Return the depth of each shot by the model's name."""
    found = {}
    for path in ('', *files):
        base = load_model('scenes_nano')
        model = load_adapted(base, Path(path)) if path else base
        engine = Engine(model, 'cpu')
        found[model.name] = [engine.run(s, tasks=['depth']).results['depth'] for s in SHOTS]
    return found


def stream(graph, topic='image'):
    """Send the shots in turn, each frame with a stamp of its own, at a camera's rate."""
    camera, numbers = graph.client.create_publisher(Image, topic, RELIABLE), itertools.count(1)

    def send():
        number = next(numbers)
        camera.publish(image(SHOTS[number % len(SHOTS)], stamp=number))

    return graph.client.create_timer(1 / RATE_HZ, send)


def models(stats):
    return [s.model for s in stats if s.tasks]


def wait_for(graph, stats, model):
    """Wait until one more frame is of a model."""
    seen = len(stats)
    graph.until(lambda: model in models(stats[seen:]))


def model_name(path):
    return f'scenes_nano+{Path(path).name.split(".")[0]}' if path else 'scenes_nano'


def test_swaps_while_frames_arrive(graph, files, offline):
    """Every frame is accounted for, and is of the one adapter that its statistics name."""
    node = graph.perception(model='scenes_nano', tasks=['depth'])
    results = graph.listen(Image, '/adamtl/depth/image', DEEP)
    stats = graph.listen(ComputeStats, '/adamtl/compute_stats', DEEP)
    timer = stream(graph)
    wait_for(graph, stats, 'scenes_nano')
    for path in itertools.islice(itertools.cycle([*files, '']), SWAPS):
        assert change(graph, 'adapter', path).successful
        wait_for(graph, stats, model_name(path))
    timer.cancel()
    assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    counts = node.cameras[''].reporter.counters.counts
    assert counts.received == counts.processed + counts.dropped + counts.idle

    def last(found):
        return max(message.header.stamp.sec for message in found)

    # A burst may overwrite a message before it is sent, but never the last one.
    graph.until(lambda: last(results) == last(s for s in stats if s.tasks))
    made_by = {s.header.stamp.sec: s.model for s in stats if s.tasks}
    assert SWAPS < len(made_by) <= counts.processed
    assert set(made_by.values()) == set(offline)
    for message in results:
        number = message.header.stamp.sec
        of = {name: shots[number % len(SHOTS)] for name, shots in offline.items()}
        same = [name for name, depth in of.items() if np.allclose(array(message), depth, atol=1e-4)]
        assert same == [made_by.get(number, *same)]


def test_a_change_holds_for_all_cameras(graph, files):
    graph.perception(
        model='scenes_nano', tasks=['depth'], cameras=['front', 'left'], adapter=files[0]
    )
    found = {}
    for name in ('front', 'left'):
        graph.listen(Image, f'/adamtl/{name}/depth/image')
        found[name] = graph.listen(ComputeStats, f'/adamtl/{name}/compute_stats')
        stream(graph, f'{name}/image')
    for path in (files[0], files[1]):
        assert change(graph, 'adapter', path).successful
        for stats in found.values():
            wait_for(graph, stats, model_name(path))
    assert all(set(models(stats)) == set(map(model_name, files)) for stats in found.values())


def test_the_last_of_several_requests_takes_effect(graph, files):
    node = graph.perception(model='scenes_nano', tasks=['depth'])
    graph.listen(Image, '/adamtl/depth/image')
    stats = graph.listen(ComputeStats, '/adamtl/compute_stats')
    stream(graph)
    for path in (*files, '', *files):
        assert change(graph, 'adapter', path).successful
    wait_for(graph, stats, model_name(files[1]))
    assert node.parameters['adapter'] == files[1]


def test_a_file_that_cannot_be_used_is_refused(graph, files, tmp_path):
    """`ros2 param set` shows the reason, and the current adapter stays."""
    node = graph.perception(model='scenes_nano', tasks=['depth'], adapter=files[0])
    engine = node.engine
    other = made.write(tmp_path / 'other.safetensors', base='nano')
    damaged = tmp_path / 'damaged.safetensors'
    damaged.write_bytes(Path(files[1]).read_bytes()[:-9])
    for path, text in (
        ('/nowhere.safetensors', "adapter '/nowhere.safetensors': no such file"),
        (other, "made for the base 'nano (random weights)'"),
        (str(damaged), 'not a complete safetensors file'),
        (7, ''),
    ):
        result = change(graph, 'adapter', path)
        assert not result.successful
        assert text in result.reason
        assert node.parameters['adapter'] == files[0]
    assert node.engine is engine


def test_a_file_that_fails_to_load(graph, files, tmp_path):
    """The current adapter stays, the parameter is reset, and diagnostics show the reason."""
    node = graph.perception(model='scenes_nano', tasks=['depth'], adapter=files[0])
    health = graph.listen(DiagnosticArray, '/diagnostics')
    engine, bad = node.engine, made.bad(files[1], tmp_path / 'bad.safetensors')
    assert change(graph, 'adapter', bad).successful
    graph.until(lambda: any('is missing' in s.message for s in _models_of(health)))
    warned = next(s for s in _models_of(health) if 'is missing' in s.message)
    assert warned.level == DiagnosticStatus.WARN
    assert warned.message.startswith(f'adapter not changed: {bad}')
    assert {v.key: v.value for v in warned.values}['name'] == model_name(files[0])
    graph.until(lambda: node.parameters['adapter'] == files[0])
    assert node.engine is engine
    assert change(graph, 'adapter', '').successful
    seen = len(health)
    graph.until(lambda: any(s.level == DiagnosticStatus.OK for s in _models_of(health[seen:])))
    assert node.engine.model.name == 'scenes_nano'


def _models_of(health):
    return [s for message in health for s in message.status if s.name.endswith(' model')]


def test_cleanup_during_loading(graph, files):
    """No thread is left, and the next configuration uses the requested adapter."""
    node = graph.perception(model='scenes_nano')
    for path in files:
        assert change(graph, 'adapter', path).successful
        assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
        assert node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
        assert not [t for t in threading.enumerate() if t.name == 'adamtl-adapter']
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert node.engine.model.name == model_name(path)
        assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    assert change(graph, 'adapter', '').successful
    assert node.trigger_shutdown() == TransitionCallbackReturn.SUCCESS


def test_any_path_is_accepted_before_configuration(graph, files):
    node = graph.perception(activate=False, model='scenes_nano')
    assert change(graph, 'adapter', '/nowhere.safetensors').successful
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert change(graph, 'adapter', files[0]).successful
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.engine.model.name == model_name(files[0])
