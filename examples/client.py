#!/usr/bin/env python3
# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Client of the running node: sets the budget, and prints depth and cost of each frame.

    python examples/client.py --budget 0.5

Start the node before, and something that publishes `sensor_msgs/Image` on `/image`. Without
images the node sends `compute_stats` once a second with no tasks; this client says so.
"""

from __future__ import annotations

import argparse

import numpy as np
import rclpy
from adamtl_ros.msg import ComputeStats
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from sensor_msgs.msg import Image


class Client(Node):
    """Subscribes to depth and cost; a task that nobody subscribes to is not computed."""

    def __init__(self, node: str) -> None:
        super().__init__('adamtl_client')
        self.frames = 0
        self.parameters = AsyncParameterClient(self, node)
        self.create_subscription(Image, f'{node}/depth/image', self.on_depth, 5)
        self.create_subscription(ComputeStats, f'{node}/compute_stats', self.on_stats, 5)

    def set_budget(self, budget: float) -> None:
        """Set the budget of the running node."""
        if not self.parameters.wait_for_services(timeout_sec=10):
            raise SystemExit('the node does not answer; is it running?')
        future = self.parameters.set_parameters([Parameter('budget', value=budget)])
        rclpy.spin_until_future_complete(self, future)
        result = future.result().results[0]
        if not result.successful:
            raise SystemExit(f'the node refuses the budget: {result.reason}')

    def on_depth(self, message: Image) -> None:
        """Print the median distance of a frame."""
        depth = np.frombuffer(message.data, np.float32).reshape(message.height, message.width)
        self.frames += 1
        print(f'{message.width}x{message.height}, median {np.nanmedian(depth):.2f} m', flush=True)

    def on_stats(self, stats: ComputeStats) -> None:
        """Print the cost of a frame."""
        if not stats.tasks:
            print('the node is idle: no image has arrived for a second', flush=True)
            return
        print(f'{stats.infer_ms:.1f} ms, {stats.macs / 1e6:.0f} million MACs', flush=True)


def main() -> None:
    """Print until enough frames have come."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--node', default='/adamtl')
    parser.add_argument('--budget', type=float, default=1.0, help='fraction of the full MACs')
    parser.add_argument('--frames', type=int, default=0, help='frames to stop after; 0: never')
    options = parser.parse_args()

    rclpy.init()
    client = Client(options.node)
    try:
        client.set_budget(options.budget)
        while not options.frames or client.frames < options.frames:
            rclpy.spin_once(client)
    except KeyboardInterrupt:
        pass
    finally:
        client.destroy_node()
        rclpy.try_shutdown()


if __name__ == '__main__':
    main()
