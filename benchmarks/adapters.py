# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Changes of the adapter of a live node, while a camera sends 30 images per second.

The node runs as a process of its own. Every result is compared with the offline result of the
adapter that the statistics of its frame name.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rclpy
import torch
from adamtl_ros.msg import ComputeStats
from measurement import memory_mb
from rclpy.qos import QoSProfile
from robot import Robot, isolate_ros, perception_node
from sensor_msgs.msg import Image

from adamtl_ros.nn.adapters.inject import inject, trainable_parameters
from adamtl_ros.nn.adapters.lora import LoraConfig
from adamtl_ros.nn.io.checkpoint import base_digest, load_adapted, load_model, save_adapter
from adamtl_ros.runtime.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

MODEL, TASK = 'scenes_nano', 'depth'
RATE_HZ, IMAGES, SIZE = 30.0, 3, (48, 64)
TIMEOUT_S, REST_S = 600.0, 15.0
OUTCOMES = ('processed', 'dropped', 'idle', 'refused')


class AdapterRobot(Robot):
    """Robot that changes adapters and compares each result with the offline results."""

    def __init__(self, expected: dict[str, list[NDArray[Any]]]) -> None:
        """Create publisher and subscriptions.

        Args:
            expected: Offline results of the images by name of the adapted model.

        """
        super().__init__(RATE_HZ)
        self.expected = expected
        self.changed = threading.Condition()
        self.model, self.right, self.wrong = '', 0, 0
        self.latencies: list[float] = []
        self.last = ComputeStats()
        self._results: dict[int, Image] = {}
        self._images = [to_message(noise_image(seed)) for seed in range(IMAGES)]
        self._camera = self.node.create_publisher(Image, 'image', 1)
        self.node.create_subscription(
            Image, f'/adamtl/{TASK}/image', self._on_result, QoSProfile(depth=1000)
        )
        self.start()

    def change_adapter(self, path: str, model: str) -> float:
        """Change the adapter; return the time until its first frame [s]."""
        begin = time.perf_counter()
        self.set_parameters(adapter=path)
        self.wait_for_model(model)
        return time.perf_counter() - begin

    def wait_for_model(self, model: str) -> None:
        """Wait for a frame of a model.

        Raises:
            RuntimeError: No frame within the time limit.

        """
        with self.changed:
            if not self.changed.wait_for(lambda: self.model == model, TIMEOUT_S):
                raise RuntimeError(f'no frame of {model} within {TIMEOUT_S:g} s')

    def publish_image(self) -> None:
        """Publish an image; the stamp is its number."""
        image = self._images[self.sent % IMAGES]
        image.header.stamp.sec = self.sent
        self._camera.publish(image)

    def on_stats(self, stats: ComputeStats) -> None:
        """Compare the result of a frame with the offline result, and note its latency."""
        self.last = stats
        if not stats.tasks:
            return
        self._compare(stats.header.stamp.sec, stats.model)
        self.latencies.append(stats.latency_ms)
        with self.changed:
            self.model = stats.model
            self.changed.notify_all()

    def _on_result(self, result: Image) -> None:
        self._results[result.header.stamp.sec] = result

    def _compare(self, number: int, model: str) -> None:
        """Count a result as right if it equals that of the named adapter and of no other one."""
        result = self._results.pop(number)
        depth = np.frombuffer(result.data, np.float32).reshape(SIZE)
        equal = [
            name
            for name, results in self.expected.items()
            if np.allclose(depth, results[number % IMAGES], atol=1e-4)
        ]
        self.right += equal == [model]
        self.wrong += equal != [model]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('changes', type=int, nargs='?', default=1000, help='number (%(default)s)')
    changes = parser.parse_args().changes
    isolate_ros(45)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        files = [make_adapter(seed, Path(folder) / f'{seed}.safetensors') for seed in (1, 2)]
        expected = {f'{MODEL}+{file.stem}': offline_results(file) for file in files}
        rclpy.init()
        robot = AdapterRobot(expected)
        parameters = {'model': MODEL, 'adapter': files[0], 'tasks': f'[{TASK}]', 'threads': 1}
        try:
            with perception_node(parameters, '--log-level', 'warn') as process:
                measure(robot, process.pid, list(zip(map(str, files), expected, strict=True)),
                        changes)  # fmt: skip
        finally:
            robot.close()


def measure(robot: AdapterRobot, pid: int, adapters: list[tuple[str, str]], changes: int) -> None:
    """Change adapters; print times, memory and what became of the images.

    Args:
        robot: Robot.
        pid: Process of the node.
        adapters: File and model name of each of the two adapters.
        changes: Number of changes.

    """
    robot.wait_for_model(adapters[0][1])
    with latencies(robot, 'at rest'):
        time.sleep(REST_S)
    with latencies(robot, 'while changing'):
        times = change_adapters(robot, pid, adapters, changes)
    robot.camera_timer.cancel()
    time.sleep(2)  # the last statistics come with the next report
    median, high = np.quantile(times, [0.5, 0.95])
    print(f'a change takes {median:.2f} s, 95 % within {high:.2f} s')
    print_outcomes(robot.last)
    print(f'{robot.right} frames of exactly the adapter that they name, {robot.wrong} others')


def change_adapters(
    robot: AdapterRobot, pid: int, adapters: list[tuple[str, str]], changes: int
) -> list[float]:
    """Change between two adapters, print the node's memory, and return the times [s]."""
    times = []
    for number in range(1, changes + 1):
        times.append(robot.change_adapter(*adapters[number % 2]))
        if number % max(1, changes // 10) == 0:
            print(f'{number} changes: {memory_mb(pid):.1f} MB resident', flush=True)
    return times


@contextlib.contextmanager
def latencies(robot: AdapterRobot, when: str) -> Iterator[None]:
    """Print the latencies of a context, and how many images arrived of those that were sent."""
    sent, received, frames = robot.sent, robot.last.frames_received, len(robot.latencies)
    yield
    sent, received = robot.sent - sent, robot.last.frames_received - received
    median, high = np.quantile(robot.latencies[frames:], [0.5, 0.95])
    print(
        f'{when}: {sent} images sent, {received} received; '
        f'latency {median:.1f} ms, 95 % within {high:.1f} ms',
        flush=True,
    )


def print_outcomes(last: ComputeStats) -> None:
    """Print what became of the images that the node received."""
    counts = {name: getattr(last, f'frames_{name}') for name in OUTCOMES}
    missing = last.frames_received - sum(counts.values())
    text = ', '.join(f'{count} {name}' for name, count in counts.items())
    print(f'{last.frames_received} received: {text}, {missing} unaccounted for')


def make_adapter(seed: int, path: Path) -> Path:
    """Write an adapter that visibly changes the results; return its path."""
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


def offline_results(file: Path) -> list[NDArray[Any]]:
    """Return the results of the adapted network for the images."""
    engine = Engine(load_adapted(load_model(MODEL), file), 'cpu')
    return [engine.run(noise_image(seed), tasks=[TASK]).results[TASK] for seed in range(IMAGES)]


def noise_image(seed: int) -> NDArray[np.uint8]:
    """Return an image of noise, (H, W, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), np.uint8)


def to_message(array: NDArray[np.uint8]) -> Image:
    """Convert an RGB image, (H, W, 3), to a message."""
    message = Image(height=SIZE[0], width=SIZE[1], encoding='rgb8', step=3 * SIZE[1])
    message.data.frombytes(array.tobytes())
    return message


if __name__ == '__main__':
    main()
