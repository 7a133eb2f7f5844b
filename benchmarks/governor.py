# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Governor of a live node on a recorded bag: battery, deadline, and load by other processes.

The node runs as a process of its own; a camera publishes the images of the bag. Deadlines are
fractions of the latency at full budget, measured in the same run. The default model has random
weights but spends its time on computation; half of the time of nano is not saved by any budget.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import rclpy
from measurement import busy_processes
from rclpy.qos import QoSProfile, ReliabilityPolicy
from robot import Robot, isolate_ros, perception_node
from scipy.stats import spearmanr
from sensor_msgs.msg import BatteryState, CompressedImage, Image

from adamtl_ros.bags.reader import find_camera, open_bag
from adamtl_ros.data.synthetic_bag import write_synthetic_bag
from adamtl_ros.tasks import TASKS

if TYPE_CHECKING:
    from adamtl_ros.msg import ComputeStats

RATE_HZ = 3.0
DRAIN_S = 20.0
TIMEOUT_S = 120.0
LOW_BUDGET = 0.2
BATTERY = {'battery.high': 0.95, 'battery.low': 0.05, 'battery.floor_budget': 0.25}


class GovernedRobot(Robot):
    """Robot with a battery that subscribes to all results and collects the statistics."""

    def __init__(self, bag: Path) -> None:
        """Create publishers and subscriptions.

        Args:
            bag: Bag whose images are published.

        """
        super().__init__(RATE_HZ)
        self.stats: list[ComputeStats] = []
        self.charge = float('nan')
        camera = find_camera(bag, '')
        self.transport = 'compressed' if camera.compressed else 'raw'
        kind = CompressedImage if camera.compressed else Image
        topic = 'image/compressed' if camera.compressed else 'image'
        with open_bag(bag) as reader:
            connections = [c for c in reader.connections if c.topic == camera.image]
            self._images = [bytes(raw) for _, _, raw in reader.messages(connections)]
        qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
        self._camera = self.node.create_publisher(kind, topic, qos)
        self._battery = self.node.create_publisher(BatteryState, 'battery_state', 10)
        for task in TASKS:
            self.node.create_subscription(Image, f'/adamtl/{task}/image', lambda _: None, 5)
        self.start()

    def frames(self, count: int) -> list[ComputeStats]:
        """Wait for the next frames and return their statistics."""
        begin, end = len(self.stats), time.monotonic() + TIMEOUT_S
        while len(self.stats) < begin + count:
            if time.monotonic() > end:
                raise RuntimeError(f'no {count} frames within {TIMEOUT_S:g} s')
            time.sleep(0.05)
        return self.stats[begin : begin + count]

    def publish_image(self) -> None:
        """Publish an image of the bag, and the battery's charge if it is known."""
        self._camera.publish(self._images[self.sent % len(self._images)])
        if not np.isnan(self.charge):
            self._battery.publish(BatteryState(percentage=self.charge, present=True))

    def on_stats(self, stats: ComputeStats) -> None:
        """Collect the statistics of frames."""
        if stats.tasks:
            self.stats.append(stats)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('bag', type=Path, nargs='?', help='a synthetic one if not given')
    parser.add_argument('model', nargs='?', default='tiny', help='model (%(default)s)')
    options = parser.parse_args()
    isolate_ros(44)
    rclpy.init()
    with tempfile.TemporaryDirectory() as folder:
        bag = options.bag or Path(folder) / 'synthetic'
        if not options.bag:
            write_synthetic_bag(bag, frames=60, workers=2)
        robot = GovernedRobot(bag)
    parameters = {
        'image_transport': robot.transport,
        'threads': 1,
        'model': options.model,
        # At the camera's size half of a frame's time is not saved by any budget.
        'output_size': 'network',
        **BATTERY,
    }
    try:
        with perception_node(parameters):
            measure(robot)
    finally:
        robot.close()


def measure(robot: GovernedRobot) -> None:
    """Run all parts and print their results."""
    robot.frames(30)
    full, fraction = latency_at_both_ends(robot)
    print(f'latency at full budget: median {full:.1f} ms, at {RATE_HZ:g} images a second')
    print(f'at budget {LOW_BUDGET:g} {100 * fraction:.1f} % of the frames are within 60 % of it')
    battery(robot)
    deadline(robot, 0.6 * full)
    load(robot, 1.15 * full)


def latency_at_both_ends(robot: GovernedRobot) -> tuple[float, float]:
    """Return the median latency at full budget [ms], and what fraction is below 60 % at a low one.

    That fraction is an upper bound for any governor; the rest is due to other load of the machine.
    """
    full, low = [], []
    for _ in range(3):
        full += robot.frames(30)
        robot.set_parameters(budget=LOW_BUDGET)
        robot.frames(3)
        low += robot.frames(70)
        robot.set_parameters(budget=1.0)
        robot.frames(3)
    median = latency(full)
    return median, float(np.mean([f.latency_ms <= 0.6 * median for f in low]))


def battery(robot: GovernedRobot) -> None:
    """Discharge from 100 % to 5 %; print how MACs and time of a frame follow the charge."""
    begin, first = time.monotonic(), len(robot.stats)
    while (elapsed := time.monotonic() - begin) < DRAIN_S:
        robot.charge = 1.0 - 0.95 * elapsed / DRAIN_S
        time.sleep(0.05)
    frames = [f for f in robot.stats[first:] if not np.isnan(f.battery)]
    charges = [f.battery for f in frames]
    line = np.interp(charges, [0.05, 0.95], [0.25, 1.0])
    error = np.abs(np.array([f.effective_budget for f in frames]) - line)
    for name in ('effective_budget', 'macs', 'infer_ms'):
        correlation = spearmanr(charges, [getattr(f, name) for f in frames]).statistic
        print(f'battery: rank correlation of charge and {name}: {correlation:.3f}')
    few = len(frames) // 8
    ends = [np.median([f.infer_ms for f in some]) for some in (frames[:few], frames[-few:])]
    print(
        f'battery: {len(frames)} frames, budget off the line by {error.max():.3f} at most, '
        f'inference {ends[0]:.1f} ms to {ends[1]:.1f} ms'
    )
    robot.charge = 1.0
    robot.set_parameters(budget=0.4)
    low = robot.frames(20)[-1]
    print(f'budget 0.4 by hand: effective {low.effective_budget:.2f}, reason {low.limit_reason}')
    robot.set_parameters(budget=1.0)
    robot.frames(60)


def deadline(robot: GovernedRobot, milliseconds: float) -> None:
    """Set a deadline; print how many frames meet it."""
    robot.set_parameters(deadline_ms=milliseconds)
    robot.frames(30)
    frames = robot.frames(200)
    met = np.mean([f.latency_ms <= milliseconds for f in frames])
    budget = np.mean([f.effective_budget for f in frames])
    print(
        f'deadline {milliseconds:.1f} ms (60 % of full): met by {100 * met:.1f} % of 200 frames '
        f'after 30, at a mean budget of {budget:.2f}'
    )
    robot.set_parameters(deadline_ms=0.0)
    robot.frames(60)


def load(robot: GovernedRobot, milliseconds: float) -> None:
    """Keep the cores busy for a while, under a deadline that is met without load."""
    robot.set_parameters(deadline_ms=milliseconds)
    before = robot.frames(60)[-20:]
    with busy_processes(4):
        robot.frames(30)
        during = robot.frames(60)
    robot.frames(30)
    after = robot.frames(40)[-20:]
    means = [np.mean([f.effective_budget for f in part]) for part in (before, during, after)]
    print(
        f'four busy processes, deadline {milliseconds:.1f} ms: mean budget {means[0]:.2f} before, '
        f'{means[1]:.2f} while they run, {means[2]:.2f} after'
    )


def latency(frames: list[ComputeStats]) -> float:
    """Return the median latency [ms]."""
    return float(np.median([f.latency_ms for f in frames]))


if __name__ == '__main__':
    main()
