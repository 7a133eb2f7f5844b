# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Robot around a live perception node: its process, camera, parameters and statistics."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rclpy
from adamtl_ros.msg import ComputeStats
from ament_index_python.packages import get_package_prefix
from rclpy.executors import ExternalShutdownException
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from rclpy.qos import QoSProfile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SERVICE_TIMEOUT_S = 600.0


def isolate_ros(domain: int) -> None:
    """Set the ROS domain of this process and its children, and keep them on this machine."""
    os.environ.setdefault('ROS_DOMAIN_ID', str(domain))
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'


@contextlib.contextmanager
def perception_node(
    parameters: Mapping[str, object], *options: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the perception node as a process in a context.

    Args:
        parameters: Parameters by name.
        options: Further ROS arguments.

    """
    executable = Path(get_package_prefix('adamtl_ros')) / 'lib' / 'adamtl_ros' / 'perception_node'
    command = [sys.executable, str(executable), '--ros-args', *options]
    for name, value in parameters.items():
        command += ['-p', f'{name}:={value}']
    process = subprocess.Popen(command)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


class Robot(ABC):
    """ROS node with a camera that subscribes to the perception node's statistics.

    Its callbacks run in a thread of their own from `start()` to `close()`.
    """

    def __init__(self, rate_hz: float) -> None:
        """Create the node.

        Args:
            rate_hz: Rate of the camera [Hz].

        """
        self.node = rclpy.create_node('robot')
        self.sent = 0
        self._rate_hz = rate_hz
        self._client = AsyncParameterClient(self.node, '/adamtl')
        self._spinner = threading.Thread(target=self._spin, daemon=True)

    @abstractmethod
    def publish_image(self) -> None:
        """Publish image number `sent`."""

    @abstractmethod
    def on_stats(self, stats: ComputeStats) -> None:
        """Handle the statistics of a frame or an idle period."""

    def start(self) -> None:
        """Begin to publish images and to receive statistics."""
        self.node.create_subscription(
            ComputeStats, '/adamtl/compute_stats', self.on_stats, QoSProfile(depth=1000)
        )
        self.camera_timer = self.node.create_timer(1 / self._rate_hz, self._on_timer)
        self._spinner.start()

    def close(self) -> None:
        """Shut ROS down and destroy the node."""
        rclpy.try_shutdown()
        self._spinner.join()
        self.node.destroy_node()

    def set_parameters(self, **values: Any) -> None:
        """Set parameters of the perception node; `__` in a name stands for a dot.

        Raises:
            RuntimeError: A parameter that the node refuses, or no answer.

        """
        parameters = [Parameter(k.replace('__', '.'), value=v) for k, v in values.items()]
        done = threading.Event()
        self._client.wait_for_services(SERVICE_TIMEOUT_S)
        future = self._client.set_parameters(parameters)
        future.add_done_callback(lambda _: done.set())
        if not done.wait(SERVICE_TIMEOUT_S):
            raise RuntimeError(f'no answer to {values} within {SERVICE_TIMEOUT_S:g} s')
        refused = [result.reason for result in future.result().results if not result.successful]
        if refused:
            raise RuntimeError(refused[0])

    def _on_timer(self) -> None:
        self.sent += 1
        self.publish_image()

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            rclpy.spin(self.node)
