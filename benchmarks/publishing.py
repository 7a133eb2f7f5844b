# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Time that ROS costs the node per VGA frame, with six subscribed results and with none.

A second process subscribes, as other nodes of a robot do.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.serialization import serialize_message
from robot import isolate_ros
from sensor_msgs.msg import Image

from adamtl_ros.ros.context import ProcessedFrame
from adamtl_ros.ros.node import PerceptionNode
from adamtl_ros.ros.topics import to_message
from adamtl_ros.runtime.threads import keep_freed_memory
from adamtl_ros.scenes.compose import random_scene
from adamtl_ros.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 100
LISTENER = """
import rclpy, sys
from sensor_msgs.msg import Image
rclpy.init()
node = rclpy.create_node('listener')
for topic in sys.argv[1:]:
    node.create_subscription(Image, topic, lambda raw: None, 5, raw=True)
rclpy.spin(node)
"""


def main() -> None:
    """Print the two times."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    isolate_ros(43)
    keep_freed_memory()
    rclpy.init()
    node = PerceptionNode()
    node.trigger_configure()
    node.trigger_activate()
    processor, engine, governor = node.cameras[''].processor, node.engine, node.governor
    assert engine is not None
    assert governor is not None
    picture = random_scene(0).frame(0, (480, 640)).image
    raw = serialize_message(to_message(picture, 'rgb8', Image().header))
    idle = median_ms(lambda: node.cameras['']._on_image(raw, Image))  # noqa: SLF001
    print(f'an image was taken from the middleware, nobody subscribes: {idle:.4f} ms')
    topics = [f'/adamtl/{name}/image' for name in TASKS]
    listener = subprocess.Popen([sys.executable, '-c', LISTENER, *topics])
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    while len(processor.active_tasks()) < len(TASKS):
        executor.spin_once(timeout_sec=0.1)
    inference = engine.run(picture)
    name, decision = engine.model.name, governor.decide()
    header = Image().header
    frame = ProcessedFrame(header, picture, inference, name, decision, 0.0, 0.0, 0.0)
    publish = median_ms(lambda: processor._publish(frame))  # noqa: SLF001
    data = sum(result.nbytes for result in inference.results.values()) / 1e6
    print(f'six results of 480x640, {data:.1f} MB, to another process: {publish:.2f} ms')
    listener.kill()
    listener.wait()
    node.destroy_node()
    rclpy.try_shutdown()


def median_ms(action: Callable[[], object]) -> float:
    """Return the median time of an action [ms]."""
    times = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        action()
        times.append(1000 * (time.perf_counter() - begin))
        time.sleep(0.005)
    return statistics.median(times)


if __name__ == '__main__':
    main()
