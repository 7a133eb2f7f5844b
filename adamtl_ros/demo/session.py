# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""One run: the node and the player as processes, everything that comes out recorded."""

from __future__ import annotations

import contextlib
import csv
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import rclpy
from ament_index_python.packages import get_package_prefix, get_package_share_directory
from rclpy.executors import ExternalShutdownException
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from tqdm import tqdm

from adamtl_ros.demo.device import SimulatedDevice
from adamtl_ros.demo.recorder import Recorder
from adamtl_ros.runtime.threads import keep_freed_memory

if TYPE_CHECKING:
    from rcl_interfaces.srv import SetParameters
    from rclpy.node import Node
    from rclpy.task import Future

    from adamtl_ros.bags.reader import CameraTopics
    from adamtl_ros.governor.simulation import Scenario
    from adamtl_ros.msg import ComputeStats

BUDGETS = (1.0, 0.75, 0.5, 0.35)
"""Each for an equal part of the recording."""


class BudgetSweep:
    """Sets the budget that belongs to how much of the recording has been played.

    Attributes:
        problem: What the node said when it refused a budget; empty so far as it did not.

    """

    def __init__(self, node: Node, remote: str) -> None:
        """Prepare.

        Args:
            node: Node to call from; somebody else spins it.
            remote: Full name of the node whose budget it is; it starts with the first one.

        """
        self.problem = ''
        self._client = AsyncParameterClient(node, remote)
        self._step = 0

    def follow(self, played: float, _effective: float) -> None:
        """Set the budget for this share of the recording, in 0..1, if it is another one.

        Raises:
            RuntimeError: The node refused an earlier one.

        """
        if self.problem:
            raise RuntimeError(f'the node refused a budget: {self.problem}')
        step = min(int(played * len(BUDGETS)), len(BUDGETS) - 1)
        if step > self._step:
            self._step = step
            parameter = Parameter('budget', value=BUDGETS[step])
            self._client.set_parameters([parameter]).add_done_callback(self._check)

    def _check(self, future: Future[SetParameters.Response]) -> None:
        response = future.result() if future.exception() is None else None
        results = response.results if response else []
        refused = [result.reason for result in results if not result.successful]
        if refused or not results:
            self.problem = refused[0] if refused else f'no answer: {future.exception()}'


NODE = 'adamtl'
NAMESPACE = '/demo'
START_TIMEOUT_S = 120.0
POLL_S = 0.1
DRAIN_S = 1.5
"""After the last image is played, wait until nothing new has come for so long."""


class DemoError(RuntimeError):
    """The run could not be done."""


@dataclass(frozen=True)
class DemoRun:
    """What a run recorded.

    Attributes:
        sent: By stamp of each image [ns], the steady clock when it left the player [ns].
        arrivals: By topic, by stamp [ns], the steady clock when the result was there [ns].
        stats: The compute statistics, in order.

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
    """Play a bag's camera to a node of its own and record what the node publishes.

    Args:
        bag: The bag.
        camera: Its camera.
        out: Folder for the output bag and the logs.
        overrides: Parameters of the node that differ from their defaults; without a budget
            among them it is lowered step by step, see `BudgetSweep`.
        color: Record the `color` topics too.
        scenario: What a simulated device goes through beside the node, see `SimulatedDevice`;
            the budget is not lowered step by step then.

    Raises:
        DemoError: A process did not start or ended early; the last it said is given.

    """
    _isolate()
    keep_freed_memory()
    overrides = {**overrides, 'image_transport': 'compressed' if camera.compressed else 'raw'}
    rclpy.init(args=[])  # those of the demo are not ROS's
    node = rclpy.create_node('demo_recorder')
    recorder = Recorder(node, f'{NAMESPACE}/{NODE}', out / 'spool', color=color)
    sweep, overrides = _sweep(node, camera, overrides, scenario)
    spinner = threading.Thread(target=_spin, args=[node], daemon=True)
    spinner.start()
    processes: list[subprocess.Popen[bytes]] = []
    try:
        processes.append(_start(_node_command(overrides), out / 'logs' / 'node.log'))
        _await_active(recorder, processes[0], out / 'logs' / 'node.log')
        processes.append(_start(_player_command(bag, camera, out), out / 'logs' / 'player.log'))
        _watch(recorder, sweep, processes, camera.frames, out)
    finally:
        for process in reversed(processes):
            _end(process)
        rclpy.try_shutdown()
        spinner.join()
        node.destroy_node()
    recorder.write_bag(out / 'bag')
    return DemoRun(_read_log(out / 'logs' / 'sent.csv'), dict(recorder.arrivals), recorder.stats)


def _sweep(
    node: Node, camera: CameraTopics, overrides: dict[str, str], scenario: Scenario | None
) -> tuple[BudgetSweep | SimulatedDevice | None, dict[str, str]]:
    """Return what changes the budget while the bag plays, and the parameters to start with."""
    if scenario is not None:
        device = SimulatedDevice(node, NAMESPACE, scenario, camera.duration_s)
        return device, {**device.overrides(), **overrides}
    if 'budget' in overrides:
        return None, overrides
    return BudgetSweep(node, f'{NAMESPACE}/{NODE}'), {**overrides, 'budget': str(BUDGETS[0])}


def _isolate() -> None:
    """Keep to this machine, to a domain of our own unless one is set, and let images through."""
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
    command = [sys.executable, '-m', 'adamtl_ros.demo.player', str(bag)]
    command += ['--topic', camera.image, '--log', str(out / 'logs' / 'sent.csv')]
    return [*command, '--ros-args', '-r', f'__ns:={NAMESPACE}']


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
    """Wait until the node is active and knows that every task is subscribed to."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while not recorder.ready.wait(0.1):
        if process.poll() is not None:
            raise DemoError(f'the node ended: {_last_line(log)}')
        problem = re.search(r'Cannot (configure|activate): .*', log.read_text(errors='replace'))
        if problem:
            raise DemoError(f'the node says: {problem[0]}')
        if time.monotonic() > deadline:
            raise DemoError(f'the node was not active within {START_TIMEOUT_S:g} s; see {log}')


def _watch(
    recorder: Recorder,
    sweep: BudgetSweep | SimulatedDevice | None,
    processes: list[subprocess.Popen[bytes]],
    frames: int,
    out: Path,
) -> None:
    """Show the progress until everything is played and nothing more comes."""
    node, player = processes
    with tqdm(total=frames, unit='frame', desc='playing') as bar:
        while player.poll() is None or time.monotonic_ns() - recorder.latest_ns < DRAIN_S * 1e9:
            if node.poll() is not None:
                raise DemoError(f'the node ended: {_last_line(out / "logs" / "node.log")}')
            if recorder.stats and bar.n < frames:
                latest = recorder.stats[-1]
                bar.n = int(latest.frames_received)
                bar.set_postfix(processed=latest.frames_processed, refresh=True)
            if sweep and recorder.stats:
                played = _sent(out / 'logs' / 'sent.csv') / frames
                sweep.follow(played, recorder.stats[-1].effective_budget)
            time.sleep(POLL_S)
    if player.returncode:
        raise DemoError(f'the player ended: {_last_line(out / "logs" / "player.log")}')


def _last_line(log: Path) -> str:
    lines = log.read_text(errors='replace').split('\n')
    return next((line for line in reversed(lines) if line.strip()), f'see {log}')


def _sent(log: Path) -> int:
    """Return how many images the player has sent."""
    return max(0, log.read_bytes().count(b'\n') - 1) if log.exists() else 0


def _read_log(path: Path) -> dict[int, int]:
    with path.open(newline='') as file:
        return {int(row['stamp_ns']): int(row['sent_ns']) for row in csv.DictReader(file)}


def _spin(node: Node) -> None:
    with contextlib.suppress(ExternalShutdownException):
        rclpy.spin(node)
