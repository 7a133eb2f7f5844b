# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Player process: publishes the camera of a bag over DDS in real time.

A replacement for `ros2 bag play`, which is not among the wheels. Serialized messages are published
unchanged, and the time at which each image left is logged.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rclpy
from rclpy.duration import Duration
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.executors import ExternalShutdownException
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from adamtl_ros.bags.reader import find_camera, header_stamp, open_bag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rclpy.node import Node
    from rclpy.publisher import Publisher

PLAYER_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
MATCH_TIMEOUT_S = 30.0


def main(args: Sequence[str] | None = None) -> int:
    """Play a bag once.

    Returns:
        Exit status: 0, or 1 without a subscriber after `MATCH_TIMEOUT_S`.

    """
    options = _parse(args)
    rclpy.init()
    node = rclpy.create_node('bag_player')
    spinner = threading.Thread(target=_spin, args=[node], daemon=True)
    try:
        matched = threading.Event()
        camera = find_camera(options.bag, options.topic)
        kind = CompressedImage if camera.compressed else Image
        suffix = '/compressed' if camera.compressed else ''
        callbacks = PublisherEventCallbacks(matched=lambda _event: matched.set())
        publishers = {
            camera.image: node.create_publisher(
                kind, f'image{suffix}', PLAYER_QOS, event_callbacks=callbacks
            )
        }
        if camera.info:
            publishers[camera.info] = node.create_publisher(CameraInfo, 'camera_info', PLAYER_QOS)
        spinner.start()
        if not matched.wait(MATCH_TIMEOUT_S):
            print(f'bag_player: no subscriber of image{suffix} within {MATCH_TIMEOUT_S:g} s')
            return 1
        play(options.bag, publishers, camera.image, options.log)
        publishers[camera.image].wait_for_all_acked(Duration(seconds=2))
    finally:
        rclpy.try_shutdown()
        if spinner.is_alive():
            spinner.join()
        node.destroy_node()
    return 0


def play(bag: Path, publishers: dict[str, Publisher[Any]], image: str, log: Path) -> None:
    """Publish the messages of some topics at the pace of the bag.

    Args:
        bag: Bag to play.
        publishers: Publishers by topic of the bag.
        image: Topic whose messages are logged.
        log: CSV file to write: stamp of the message [ns], steady clock when it left [ns].

    """
    with open_bag(bag) as reader, log.open('w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(['stamp_ns', 'sent_ns'])
        connections = [c for c in reader.connections if c.topic in publishers]
        started = time.monotonic_ns()
        first = None
        for connection, recorded, raw in reader.messages(connections):
            first = recorded if first is None else first
            time.sleep(max(0, started + recorded - first - time.monotonic_ns()) / 1e9)
            sent = time.monotonic_ns()
            publishers[connection.topic].publish(bytes(raw))
            if connection.topic == image:
                writer.writerow([header_stamp(raw), sent])
                file.flush()


def _spin(node: Node) -> None:
    with contextlib.suppress(ExternalShutdownException):
        rclpy.spin(node)


def _parse(args: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('bag', type=Path)
    parser.add_argument('--topic', default='', help='image topic of the bag')
    parser.add_argument('--log', type=Path, required=True, help='CSV file to write')
    return parser.parse_args(remove_ros_args(sys.argv if args is None else args)[1:])


if __name__ == '__main__':
    raise SystemExit(main())
