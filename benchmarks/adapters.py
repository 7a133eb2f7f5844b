# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A thousand changes of the adapter of a live node, while a camera sends 30 images a second.

    python benchmarks/adapters.py [SWAPS]

The node runs as a process of its own. Every result is compared with what the adapter that its
statistics name gives offline.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rclpy
import torch
from adamtl_ros.msg import ComputeStats
from ament_index_python.packages import get_package_prefix
from rclpy.executors import ExternalShutdownException
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from adamtl_ros.nn.adapters.inject import inject, trainable_parameters
from adamtl_ros.nn.adapters.lora import LoraConfig
from adamtl_ros.nn.io.checkpoint import base_digest, load_adapted, load_model, save_adapter
from adamtl_ros.runtime.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

MODEL, TASK = 'scenes_nano', 'depth'
RATE_HZ, SHOTS, SIZE = 30.0, 3, (48, 64)
PATIENCE_S, REST_S = 600.0, 15.0
FATES = ('processed', 'dropped', 'idle', 'refused')
DEEP = QoSProfile(depth=1000)


class Robot:
    """A camera, and whoever looks at the results and keeps the books."""

    def __init__(self, expected: dict[str, list[NDArray[Any]]]) -> None:
        self.node = rclpy.create_node('robot')
        self.expected = expected
        self.changed = threading.Condition()
        self.model, self.sent, self.right, self.wrong = '', 0, 0, 0
        self.latencies: list[float] = []
        self.last = ComputeStats()
        self._results: dict[int, Image] = {}
        self._images = [message(picture(seed)) for seed in range(SHOTS)]
        self._camera = self.node.create_publisher(Image, 'image', 1)
        self.node.create_subscription(Image, f'/adamtl/{TASK}/image', self._on_result, DEEP)
        self.node.create_subscription(ComputeStats, '/adamtl/compute_stats', self._on_stats, DEEP)
        self._client = AsyncParameterClient(self.node, '/adamtl')
        self.timer = self.node.create_timer(1 / RATE_HZ, self._send)
        threading.Thread(target=self._spin, daemon=True).start()

    def swap(self, path: str, model: str) -> float:
        """Change the adapter; return the seconds until its first frame was out."""
        began = time.perf_counter()
        future = self._client.set_parameters([Parameter('adapter', value=path)])
        with self.changed:
            if not self.changed.wait_for(lambda: self.model == model, PATIENCE_S):
                raise RuntimeError(f'{model} did not take over within {PATIENCE_S:g} s')
        if not future.result().results[0].successful:
            raise RuntimeError(future.result().results[0].reason)
        return time.perf_counter() - began

    def wait_until(self, model: str) -> None:
        """Wait for a frame of a model."""
        self._client.wait_for_services(PATIENCE_S)
        with self.changed:
            self.changed.wait_for(lambda: self.model == model, PATIENCE_S)

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            rclpy.spin(self.node)

    def _send(self) -> None:
        self.sent += 1
        image = self._images[self.sent % SHOTS]
        image.header.stamp.sec = self.sent
        self._camera.publish(image)

    def _on_result(self, result: Image) -> None:
        self._results[result.header.stamp.sec] = result

    def _on_stats(self, stats: ComputeStats) -> None:
        self.last = stats
        if not stats.tasks:
            return
        self._compare(stats.header.stamp.sec, stats.model)
        self.latencies.append(stats.latency_ms)
        with self.changed:
            self.model = stats.model
            self.changed.notify_all()

    def _compare(self, number: int, model: str) -> None:
        """Count a frame as right that is of the named adapter, and of no other one."""
        result = self._results.pop(number)
        depth = np.frombuffer(result.data, np.float32).reshape(SIZE)
        same = [
            name
            for name, shots in self.expected.items()
            if np.allclose(depth, shots[number % SHOTS], atol=1e-4)
        ]
        self.right += same == [model]
        self.wrong += same != [model]


def main() -> None:
    """Measure, and print."""
    swaps = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    os.environ.setdefault('ROS_DOMAIN_ID', '45')
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        files = [adapter(seed, Path(folder) / f'{seed}.safetensors') for seed in (1, 2)]
        expected = {f'{MODEL}+{file.stem}': answers(file) for file in files}
        rclpy.init()
        robot = Robot(expected)
        process = start(files[0])
        try:
            measure(robot, process.pid, list(zip(map(str, files), expected, strict=True)), swaps)
        finally:
            process.terminate()
            process.wait()
            rclpy.try_shutdown()


def start(file: Path) -> subprocess.Popen[bytes]:
    """Start the node."""
    executable = Path(get_package_prefix('adamtl_ros')) / 'lib' / 'adamtl_ros' / 'perception_node'
    command = [sys.executable, str(executable), '--ros-args', '--log-level', 'warn']
    values = {'model': MODEL, 'adapter': file, 'tasks': f'[{TASK}]', 'threads': 1}
    return subprocess.Popen(
        command + [part for name, value in values.items() for part in ('-p', f'{name}:={value}')]
    )


def measure(robot: Robot, pid: int, adapters: list[tuple[str, str]], swaps: int) -> None:
    """Swap, and print what became of time, memory and frames."""
    robot.wait_until(adapters[0][1])
    with counted(robot, 'at rest'):
        time.sleep(REST_S)
    with counted(robot, 'while swapping'):
        took = swap(robot, pid, adapters, swaps)
    robot.timer.cancel()
    time.sleep(2)  # the last statistics come with the next report
    half = np.quantile(took, [0.5, 0.95])
    print(f'a swap takes {half[0]:.2f} s, 95 % within {half[1]:.2f} s')
    books(robot.last)
    print(f'{robot.right} frames of exactly the adapter that they name, {robot.wrong} others')


def swap(robot: Robot, pid: int, adapters: list[tuple[str, str]], swaps: int) -> list[float]:
    """Swap to and fro, print how much memory the node has, and return the times [s]."""
    took = []
    for number in range(1, swaps + 1):
        took.append(robot.swap(*adapters[number % 2]))
        if number % max(1, swaps // 10) == 0:
            print(f'{number} swaps: {resident_mb(pid):.1f} MB resident', flush=True)
    return took


@contextlib.contextmanager
def counted(robot: Robot, when: str) -> Iterator[None]:
    """Print how long frames take meanwhile, and how many images DDS overwrites with newer ones."""
    sent, received, frames = robot.sent, robot.last.frames_received, len(robot.latencies)
    yield
    sent, received = robot.sent - sent, robot.last.frames_received - received
    low, high = np.quantile(robot.latencies[frames:], [0.5, 0.95])
    print(f'{when}: {sent} images sent, {received} received; '
          f'latency {low:.1f} ms, 95 % within {high:.1f} ms', flush=True)  # fmt: skip


def books(last: ComputeStats) -> None:
    """Print what became of the images that the node received."""
    parts = {name: getattr(last, f'frames_{name}') for name in FATES}
    left = last.frames_received - sum(parts.values())
    told = ', '.join(f'{count} {name}' for name, count in parts.items())
    print(f'{last.frames_received} received: {told}, {left} unaccounted for')


def adapter(seed: int, path: Path) -> Path:
    """Write adapters that change visibly what the network says."""
    model = load_model(MODEL)
    digest = base_digest(model.network)
    inject(model.network, LoraConfig.uniform(4, model.network.tasks, 8, 4, merging=True))
    generator = torch.Generator().manual_seed(seed)
    for weights in trainable_parameters(model.network).values():
        for weight in weights.values():
            size = 0.05 * (weight.std(correction=0).item() or 0.1)
            weight.data += size * torch.randn(weight.shape, generator=generator)
    save_adapter(model, digest, path)
    return path


def answers(file: Path) -> list[NDArray[Any]]:
    """Return what the adapted network says of the shots."""
    engine = Engine(load_adapted(load_model(MODEL), file), 'cpu')
    return [engine.run(picture(seed), tasks=[TASK]).results[TASK] for seed in range(SHOTS)]


def picture(seed: int) -> NDArray[np.uint8]:
    """Return a noisy image."""
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), np.uint8)


def message(array: NDArray[np.uint8]) -> Image:
    """Return a picture as a message."""
    made = Image(height=SIZE[0], width=SIZE[1], encoding='rgb8', step=3 * SIZE[1])
    made.data.frombytes(array.tobytes())
    return made


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process."""
    lines = Path(f'/proc/{pid}/status').read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith('VmRSS')) / 1024


if __name__ == '__main__':
    main()
