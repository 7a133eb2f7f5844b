# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The process of the node, and what must not end it: parameters, files, clocks, signals."""

import fcntl
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from ament_index_python.packages import get_package_prefix
from builtin_interfaces.msg import Time
from helpers.ros_parameters import call, change
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterValue
from rcl_interfaces.srv import GetParameters, SetParameters, SetParametersAtomically
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from safetensors.torch import save_file

from adamtl_ros.ros.shared_memory import FOLDER, LOCK, remove_dead_segments

EXECUTABLE = Path(get_package_prefix('adamtl_ros')) / 'lib' / 'adamtl_ros' / 'perception_node'


class Process:
    """The node in a process of its own, and the lines that it prints."""

    def __init__(self, domain, *parameters):
        arguments = [part for one in parameters for part in ('-p', one)]
        self.process = subprocess.Popen(
            [sys.executable, str(EXECUTABLE), '--ros-args', *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, 'ROS_DOMAIN_ID': str(domain)},
        )  # fmt: skip
        self.lines = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)

    def stop(self):
        """Interrupt, and return the exit status; that of a process that has ended already."""
        if self.process.poll() is not None:
            return self.process.returncode
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(60)
        self._reader.join(60)
        return status


@pytest.fixture
def node(graph):
    """Start a process with the graph's client; end it, which must go well."""
    started = []

    def start(*parameters):
        started.append(Process(graph.context.get_domain_id(), *parameters))
        return started[-1]

    yield start
    for process in started:
        assert process.stop() == 0, ''.join(process.lines)
        assert 'Traceback' not in ''.join(process.lines)


def budget(graph):
    """Return what the node answers; it is alive if it does."""
    request = GetParameters.Request(names=['budget'])
    return call(graph, GetParameters, 'get_parameters', request).values[0].double_value


@pytest.mark.parametrize('kind', [10, 77, 255])
def test_parameters_of_an_unknown_type_are_refused(graph, node, kind):
    node('autostart:=false')
    message = ParameterMessage(name='budget', value=ParameterValue(type=kind))
    good = Parameter('budget', value=0.5).to_parameter_msg()
    both = SetParameters.Request(parameters=[message, good])
    results = call(graph, SetParameters, 'set_parameters', both).results
    assert [one.successful for one in results] == [False, True]
    assert str(kind) in results[0].reason
    atomic = SetParametersAtomically.Request(parameters=[good, message])
    answer = call(graph, SetParametersAtomically, 'set_parameters_atomically', atomic)
    assert not answer.result.successful
    assert budget(graph) == 0.5


def test_a_clock_before_the_epoch_is_survived_and_counted(graph, node):
    process = node('autostart:=false', 'use_sim_time:=true')
    assert budget(graph) == 1
    clock = graph.client.create_publisher(Clock, '/clock', 10)

    def said():
        clock.publish(Clock(clock=Time(sec=-5)))
        return any('A callback failed' in line for line in process.lines)

    graph.until(said)
    assert budget(graph) == 1


def test_adapter_files_that_nobody_expected_are_refused(graph, node, tmp_path):
    """Names that no file can have, closed folders, pipes, and headers that nest too deep."""
    closed = tmp_path / 'closed'
    closed.mkdir(mode=0)
    pipe = tmp_path / 'pipe.safetensors'
    os.mkfifo(pipe)
    deep = nested(tmp_path / 'deep.safetensors')
    node('model:=nano', 'autostart:=true')
    for path in (tmp_path / ('a' * 300), 'b' * 100_000, 'nul\0', closed / 'x', pipe, deep):
        result = change(graph, 'adapter', str(path))
        if os.geteuid() or path != closed / 'x':
            assert not result.successful, path
        assert len(result.reason) <= 400
    assert budget(graph) == 1
    closed.chmod(0o700)


def nested(path):
    """Write an adapter file whose header is a list in a list in a list, 200,000 deep."""
    text = '[' * 200_000 + ']' * 200_000
    save_file({'x': torch.zeros(1)}, path, {'adamtl_adapter': text})
    return path


def test_an_interrupt_during_the_imports_ends_without_a_traceback(own_domain):
    """As Ctrl-C right after the start, when torch is not loaded yet."""
    del own_domain
    code = (
        'import sys, signal, threading, time\n'
        'from adamtl_ros.ros import main\n'
        'def interrupt():\n'
        '    while "numpy" not in sys.modules: time.sleep(0.001)\n'
        '    signal.raise_signal(signal.SIGINT)\n'
        'threading.Thread(target=interrupt, daemon=True).start()\n'
        'sys.exit(main.main(["node"]))\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.returncode, done.stderr) == (0, '')


def test_what_a_killed_process_leaves_in_shared_memory_is_freed(graph):
    before = set(FOLDER.glob('fastdds_*_el'))
    process = Process(graph.context.get_domain_id(), 'autostart:=false')
    assert budget(graph) == 1
    locks = {path for path in FOLDER.glob('fast*_el') if LOCK.fullmatch(path.name)} - before
    assert locks, 'no shared memory is in use'
    for path in locks:  # old enough to be looked at; those of other processes are left alone
        os.utime(path, (1, 1))
    remove_dead_segments()
    assert all(path.exists() for path in locks)  # of the process, and of the client
    process.process.kill()
    process.process.wait(60)
    process.process.stdout.close()
    # Another process that starts at this moment may be faster.
    remove_dead_segments()
    assert any(not path.exists() for path in locks)


def test_segments_that_may_be_in_use_stay(tmp_path):
    """Young ones, locked ones and files of another name."""
    names = {'young': 'a' * 16, 'locked': 'b' * 16, 'dead': 'c' * 16, 'port': 'port7411'}
    for name in names.values():
        (tmp_path / f'fastdds_{name}').write_bytes(bytes(8192))
        (tmp_path / f'fastdds_{name}_el').touch()
        if name != names['young']:
            os.utime(tmp_path / f'fastdds_{name}_el', (1, 1))
    with (tmp_path / f'fastdds_{names["locked"]}_el').open('rb') as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert remove_dead_segments(tmp_path) == 8192
    left = {path.name.removesuffix('_el') for path in tmp_path.iterdir()}
    assert left == {f'fastdds_{name}' for what, name in names.items() if what != 'dead'}
    assert remove_dead_segments(tmp_path / 'nowhere') == 0
