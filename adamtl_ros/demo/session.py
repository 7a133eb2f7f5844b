# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Demo session: node and player as processes, and a recorder of all outputs of the node.

`record()` starts both processes, changes the budget while the bag plays, and writes the bag of
what the `Recorder` received.
"""

from __future__ import annotations

import contextlib
import csv
import os
import re
import signal
import struct
import subprocess
import sys
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rclpy
from ament_index_python.packages import get_package_prefix, get_package_share_directory
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.executors import ExternalShutdownException
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from sensor_msgs.msg import CameraInfo, Image
from tqdm import tqdm

from adamtl_ros.bags.reader import header_stamp
from adamtl_ros.bags.writer import own_typestore
from adamtl_ros.demo.device import BUDGETS, BudgetSweep, SimulatedDevice
from adamtl_ros.msg import ComputeStats
from adamtl_ros.ros.topics import LabelInfo, latched_qos
from adamtl_ros.runtime.threads import keep_freed_memory
from adamtl_ros.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rclpy.node import Node

    from adamtl_ros.bags.reader import CameraTopics
    from adamtl_ros.governor.simulation import Scenario

NODE = 'adamtl'
NAMESPACE = '/demo'
START_TIMEOUT_S = 120.0
POLL_S = 0.1
DRAIN_S = 1.5
"""Time without new results after which the session ends, once all images are played [s]."""


class DemoError(RuntimeError):
    """Failure of a demo."""


@dataclass(frozen=True)
class DemoRun:
    """Times and statistics of a session.

    Attributes:
        sent: Steady clock when each image left the player [ns], by stamp [ns].
        arrivals: Steady clock when each result arrived [ns], by topic and stamp [ns].
        stats: Compute statistics in order.

    """

    sent: dict[int, int]
    arrivals: dict[str, dict[int, int]]
    stats: list[ComputeStats]


def record(
    bag: Path,
    camera: CameraTopics,
    out: Path,
    overrides: dict[str, str],
    *,
    color: bool,
    scenario: Scenario | None = None,
) -> DemoRun:
    """Play the camera of a bag to a node and record what the node publishes.

    Args:
        bag: Bag to play.
        camera: Camera of the bag.
        out: Folder for the recorded bag and the logs.
        overrides: Parameters of the node by name; without a budget among them the budget is
            lowered in steps, see `BudgetSweep`.
        color: Whether to record the `color` topics too.
        scenario: Scenario of a simulated device that takes the place of the budget sweep, see
            `SimulatedDevice`.

    Raises:
        DemoError: A process did not start or ended early; has the last line of its log.

    """
    _isolate()
    keep_freed_memory()
    overrides = {**overrides, 'image_transport': 'compressed' if camera.compressed else 'raw'}
    rclpy.init(args=[])  # the arguments of the demo are not for ROS
    node = rclpy.create_node('demo_recorder')
    recorder = Recorder(node, f'{NAMESPACE}/{NODE}', out / 'spool', color=color)
    driver, overrides = _budget_driver(node, camera, overrides, scenario)
    spinner = threading.Thread(target=_spin, args=[node], daemon=True)
    spinner.start()
    processes: list[subprocess.Popen[bytes]] = []
    try:
        processes.append(_start(_node_command(overrides), out / 'logs' / 'node.log'))
        _await_active(recorder, processes[0], out / 'logs' / 'node.log')
        processes.append(_start(_player_command(bag, camera, out), out / 'logs' / 'player.log'))
        _watch(recorder, driver, processes, camera.frames, out)
    finally:
        for process in reversed(processes):
            _end(process)
        rclpy.try_shutdown()
        spinner.join()
        node.destroy_node()
    recorder.write_bag(out / 'bag')
    return DemoRun(_read_log(out / 'logs' / 'sent.csv'), dict(recorder.arrivals), recorder.stats)


def _budget_driver(
    node: Node, camera: CameraTopics, overrides: dict[str, str], scenario: Scenario | None
) -> tuple[BudgetSweep | SimulatedDevice | None, dict[str, str]]:
    """Return what changes the budget while the bag plays, and the initial parameters."""
    if scenario is not None:
        device = SimulatedDevice(node, NAMESPACE, scenario, camera.duration_s)
        return device, {**device.parameters(), **overrides}
    if 'budget' in overrides:
        return None, overrides
    return BudgetSweep(node, f'{NAMESPACE}/{NODE}'), {**overrides, 'budget': str(BUDGETS[0])}


def _isolate() -> None:
    """Set up DDS: this machine only, a separate domain unless one is set, and large messages."""
    os.environ.setdefault('ROS_DOMAIN_ID', '42')
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    profile = Path(get_package_share_directory('adamtl_ros')) / 'config' / 'fastdds.xml'
    os.environ.setdefault('FASTDDS_DEFAULT_PROFILES_FILE', str(profile))


def _node_command(overrides: dict[str, str]) -> list[str]:
    executable = Path(get_package_prefix('adamtl_ros')) / 'lib' / 'adamtl_ros' / 'perception_node'
    command = [sys.executable, str(executable), '--ros-args', '-r', f'__ns:={NAMESPACE}']
    for name, value in overrides.items():
        command += ['-p', f'{name}:={value}']
    return command


def _player_command(bag: Path, camera: CameraTopics, out: Path) -> list[str]:
    command = [sys.executable, '-m', 'adamtl_ros.commands.main', 'play', str(bag)]
    command += ['--topic', camera.image, '--log', str(out / 'logs' / 'sent.csv')]
    return [*command, '--image', f'{NAMESPACE}/image']


def _start(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open('wb') as file:
        return subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_active(recorder: Recorder, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the node is active and sees a subscriber of every task."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while not recorder.ready.wait(0.1):
        if process.poll() is not None:
            raise DemoError(f'the node ended: {_last_line(log)}')
        problem = re.search(r'Cannot (configure|activate): .*', log.read_text(errors='replace'))
        if problem:
            raise DemoError(f'the node failed: {problem[0]}')
        if time.monotonic() > deadline:
            raise DemoError(f'the node was not active within {START_TIMEOUT_S:g} s; see {log}')


def _watch(
    recorder: Recorder,
    driver: BudgetSweep | SimulatedDevice | None,
    processes: list[subprocess.Popen[bytes]],
    frames: int,
    out: Path,
) -> None:
    """Show the progress until the bag is played and no more results arrive."""
    node, player = processes
    with tqdm(total=frames, unit='frame', desc='playing') as bar:
        while player.poll() is None or time.monotonic_ns() - recorder.latest_ns < DRAIN_S * 1e9:
            if node.poll() is not None:
                raise DemoError(f'the node ended: {_last_line(out / "logs" / "node.log")}')
            if recorder.stats and bar.n < frames:
                latest = recorder.stats[-1]
                bar.n = int(latest.frames_received)
                bar.set_postfix(processed=latest.frames_processed, refresh=True)
            if driver and recorder.stats:
                progress = _sent(out / 'logs' / 'sent.csv') / frames
                driver.update(progress, recorder.stats[-1].effective_budget)
            time.sleep(POLL_S)
    if player.returncode:
        raise DemoError(f'the player ended: {_last_line(out / "logs" / "player.log")}')


def _last_line(log: Path) -> str:
    lines = log.read_text(errors='replace').split('\n')
    return next((line for line in reversed(lines) if line.strip()), f'see {log}')


def _sent(log: Path) -> int:
    """Return the number of images that the player has sent."""
    return max(0, log.read_bytes().count(b'\n') - 1) if log.exists() else 0


def _read_log(path: Path) -> dict[int, int]:
    with path.open(newline='') as file:
        return {int(row['stamp_ns']): int(row['sent_ns']) for row in csv.DictReader(file)}


def _spin(node: Node) -> None:
    with contextlib.suppress(ExternalShutdownException):
        rclpy.spin(node)


QOS = QoSProfile(depth=30, reliability=ReliabilityPolicy.RELIABLE)
MESSAGE_TYPES = {
    Image: 'sensor_msgs/msg/Image',
    CameraInfo: 'sensor_msgs/msg/CameraInfo',
    DiagnosticArray: 'diagnostic_msgs/msg/DiagnosticArray',
    ComputeStats: 'adamtl_ros/msg/ComputeStats',
    LabelInfo: 'vision_msgs/msg/LabelInfo',
}
RECORD = struct.Struct('<HqI')
"""Header of a spooled message: index of the topic, arrival [ns since 1970], size [bytes]."""


class Recorder:
    """Recorder of all topics of a node.

    While the node runs, messages are spooled to a plain file, because writing a bag copies each
    message five times, and the node would lack that time on a small machine. `write_bag()`
    converts the spool afterwards.

    Attributes:
        arrivals: Steady clock at arrival [ns], by topic and header stamp [ns].
        stats: Compute statistics in order.
        latest_ns: Steady clock at the arrival of the latest statistics of a frame [ns].
        ready: Event that is set once the node is active and sees a subscriber of each task.

    """

    def __init__(self, node: Node, name: str, spool: Path, *, color: bool) -> None:
        """Subscribe.

        Args:
            node: Node to subscribe with; another thread spins it.
            name: Full name of the node to record.
            spool: Temporary file for the messages.
            color: Whether to record the color images too, which doubles the data.

        """
        self.arrivals: dict[str, dict[int, int]] = defaultdict(dict)
        self.stats: list[ComputeStats] = []
        self.latest_ns = time.monotonic_ns()
        self.ready = threading.Event()
        self._name = name
        self._spool = spool
        self._file = spool.open('wb')
        self._topics = dict(_topics(name, color=color))
        self._matched: set[str] = set()
        for index, (topic, kind) in enumerate(self._topics.items()):
            self._subscribe(node, index, topic, kind)

    def write_bag(self, path: Path) -> None:
        """Write the recorded messages to a compressed MCAP bag and remove the spool.

        Args:
            path: Folder of the bag; must not exist.

        """
        self._file.close()
        store = own_typestore()
        writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
        writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        with writer, self._spool.open('rb') as file:
            connections = [
                writer.add_connection(topic, MESSAGE_TYPES[kind], typestore=store)
                for topic, kind in self._topics.items()
            ]
            while head := file.read(RECORD.size):
                index, arrived, size = RECORD.unpack(head)
                writer.write(connections[index], arrived, file.read(size))
        self._spool.unlink()

    def _subscribe(self, node: Node, index: int, topic: str, kind: type) -> None:
        node.create_subscription(
            kind,
            topic,
            lambda raw: self._receive(index, topic, kind, raw),
            latched_qos() if kind is LabelInfo else QOS,
            raw=True,
            event_callbacks=SubscriptionEventCallbacks(matched=lambda _: self._matched.add(topic)),
        )

    def _receive(self, index: int, topic: str, kind: type, raw: bytes) -> None:
        now = time.monotonic_ns()
        self.arrivals[topic][header_stamp(raw)] = now
        self._file.write(RECORD.pack(index, time.time_ns(), len(raw)))
        self._file.write(raw)
        if kind is ComputeStats:
            message: ComputeStats = deserialize_message(raw, ComputeStats)
            self.stats.append(message)
            self.latest_ns = now if message.tasks else self.latest_ns
        elif kind is DiagnosticArray and not self.ready.is_set():
            self._check_ready(deserialize_message(raw, DiagnosticArray))

    def _check_ready(self, message: DiagnosticArray) -> None:
        values = {pair.key: pair.value for status in message.status for pair in status.values}
        tasks = values.get('tasks', '').split()
        node_matched = bool(tasks) and values['subscribed tasks'].split() == tasks
        # Both ends must have matched: messages sent before that are lost.
        recorder_matched = all(f'{self._name}/{task}/image' in self._matched for task in tasks)
        if node_matched and recorder_matched:
            self.ready.set()


def _topics(name: str, *, color: bool) -> Iterator[tuple[str, Any]]:
    yield f'{name}/compute_stats', ComputeStats
    yield '/diagnostics', DiagnosticArray
    for task in TASKS.values():
        yield f'{name}/{task.name}/image', Image
        yield f'{name}/{task.name}/camera_info', CameraInfo
        if color:
            yield f'{name}/{task.name}/color', Image
        if task.classes and LabelInfo:
            yield f'{name}/{task.name}/label_info', LabelInfo
