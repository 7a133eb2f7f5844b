# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The life of the node: transitions, failures, its process."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from ament_index_python.packages import get_package_prefix
from helpers.ros_images import RELIABLE, image
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.lifecycle import TransitionCallbackReturn
from sensor_msgs.msg import Image

from adamtl_ros.nn.io.checkpoint import load_model, save_model

EXECUTABLE = Path(get_package_prefix('adamtl_ros')) / 'lib' / 'adamtl_ros' / 'perception_node'


def all_accounted_for(counts):
    return counts.received == counts.processed + counts.dropped + counts.idle + counts.refused


def offered(graph):
    """Return the topics that the client sees the node publish."""
    names = graph.client.get_node_names_and_namespaces()
    if ('adamtl', '/') not in names:
        return []
    return [n for n, _ in graph.client.get_publisher_names_and_types_by_node('adamtl', '/')]


def test_three_full_cycles(graph):
    """Topics and threads come and go, and frames come through each time."""
    node = graph.perception(activate=False)
    camera = graph.client.create_publisher(Image, 'image', RELIABLE)
    graph.until(lambda: '/rosout' in offered(graph))
    publishers = offered(graph)
    for _ in range(3):
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        results = graph.listen(Image, '/adamtl/edges/image')

        def came(results=results):
            camera.publish(image())
            return results

        graph.until(came)
        assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
        graph.until(lambda: all_accounted_for(node.cameras[''].reporter.counters.counts))
        assert node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
        assert len(node._managed_entities) == 0
    assert node.trigger_shutdown() == TransitionCallbackReturn.SUCCESS
    assert not [t for t in threading.enumerate() if t.name == 'adamtl-worker']
    graph.until(lambda: offered(graph) == publishers)


def test_inactive_node_does_not_subscribe(graph):
    node = graph.perception()
    assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    graph.until(lambda: graph.client.count_subscribers('image') == 0)
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    graph.until(lambda: graph.client.count_subscribers('image') == 1)


@pytest.mark.parametrize(
    ('parameters', 'text'),
    [
        ({'model': '/nowhere/kitchen.safetensors'}, '/nowhere/kitchen.safetensors'),
        ({'adapter': '/nowhere/a.safetensors'}, "adapter '/nowhere/a.safetensors': no such file"),
        ({'device': 'toaster'}, "device 'toaster' cannot be used"),
    ],
)
def test_failure_to_configure_says_why(graph, monkeypatch, parameters, text):
    """The node stays unconfigured and names what is wrong."""
    node = graph.perception(activate=False, **parameters)
    said = []
    logger = node.get_logger()
    monkeypatch.setattr(type(logger), 'error', lambda _self, message, **_: said.append(message))
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert text in said[0]


def test_failure_while_advertising_leaves_nothing(graph, monkeypatch):
    """Publishers of a configure that failed half way are gone, and the next one works."""
    node = graph.perception(activate=False)
    graph.until(lambda: '/rosout' in offered(graph))
    before = offered(graph)
    create, left = node.create_lifecycle_publisher, [9]

    def limited(*arguments, **options):
        left[0] -= 1
        if left[0] < 0:
            raise TypeError('no more')
        return create(*arguments, **options)

    monkeypatch.setattr(node, 'create_lifecycle_publisher', limited)
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert not node._managed_entities
    graph.until(lambda: offered(graph) == before)
    monkeypatch.undo()
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS


def test_model_with_fewer_tasks(graph, tmp_path):
    """The node offers what the checkpoint has; naming another task is a failure."""
    from adamtl_ros.nn.io.checkpoint import Model
    from adamtl_ros.nn.network import AdaptiveNetwork
    from adamtl_ros.tasks import TASKS

    arch = load_model('nano').network.arch
    network = AdaptiveNetwork(arch, {'depth': TASKS['depth']})
    save_model(Model(network, 'deep'), tmp_path / 'deep.safetensors')
    path = str(tmp_path / 'deep.safetensors')
    node = graph.perception(activate=False, model=path)
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    node = graph.perception(model=path, tasks=['depth'], namespace='deep')
    names = [n for n, _ in node.get_publisher_names_and_types_by_node('adamtl', '/deep')]
    assert '/deep/adamtl/depth/image' in names
    assert '/deep/adamtl/edges/image' not in names


def test_transitions_by_service(graph):
    """As `ros2 lifecycle set /adamtl activate` asks for them."""
    graph.perception(activate=False)

    def call(kind, name, request):
        client = graph.client.create_client(kind, f'/adamtl/{name}')
        assert client.wait_for_service(30)
        future = client.call_async(request)
        graph.until(future.done)
        return future.result()

    for label, state in (('configure', 'inactive'), ('activate', 'active')):
        request = ChangeState.Request()
        request.transition.label = label
        assert call(ChangeState, 'change_state', request).success
        got = call(GetState, 'get_state', GetState.Request())
        assert got.current_state.label == state


def start(*arguments, before=()):
    return subprocess.Popen(
        [sys.executable, str(EXECUTABLE), *before, '--ros-args', *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


@pytest.mark.usefixtures('own_domain')
@pytest.mark.parametrize('stop', [signal.SIGINT, signal.SIGTERM])
def test_process_ends_without_a_traceback(stop):
    """Ctrl-C in the middle of the work."""
    process = start('-p', 'budget:=1', '-p', 'model:=nano')
    lines = []
    for line in process.stdout:
        lines.append(line)
        if 'not trained' in line:
            process.send_signal(stop)
    assert process.wait(60) == 0
    assert 'Traceback' not in ''.join(lines)


@pytest.mark.usefixtures('own_domain')
def test_process_with_an_impossible_parameter():
    process = start('-p', 'budget:=7.0')
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert output.strip() == (
        "perception_node: parameter 'budget' must lie in [0.01, 1.0], got 7.0"
    )


@pytest.mark.usefixtures('own_domain')
def test_process_with_arguments_that_are_not_ros():
    process = start(before=['--budget', '0.5'])
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert output.startswith('perception_node takes no --budget; usage: perception_node')


@pytest.mark.usefixtures('own_domain')
def test_process_with_a_missing_parameter_file():
    process = start('--params-file', '/nowhere.yaml')
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert '/nowhere.yaml' in output
    assert 'Traceback' not in output


@pytest.mark.usefixtures('own_domain')
def test_mistyped_parameter_is_pointed_out():
    process = start('-p', 'bugdet:=0.5', '-p', 'autostart:=false')
    for line in process.stdout:
        if 'bugdet' in line:
            assert "There is no parameter 'bugdet'; did you mean 'budget'?" in line
            break
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0


@pytest.mark.usefixtures('own_domain')
def test_process_with_a_missing_model_stays_and_can_be_asked():
    """Autostart fails, but a manager may still look at the node and try again."""
    process = start('-p', 'model:=/nowhere.safetensors')
    for line in process.stdout:
        if 'Cannot configure' in line:
            assert '/nowhere.safetensors' in line
            break
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
