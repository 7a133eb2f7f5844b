# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Entry point of the executable `perception_node`."""

from __future__ import annotations

import sys

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn

from adamtl_ros.ros.node import PerceptionNode
from adamtl_ros.runtime.memory import keep_freed_memory


def main(args: list[str] | None = None) -> int:
    """Run the node until it is told to stop.

    Returns:
        Exit status: 0, or 1 if the node could not start.

    """
    keep_freed_memory()
    try:
        rclpy.init(args=args)
        node = PerceptionNode()
    except ValueError as error:
        print(f'perception_node: {error}', file=sys.stderr)
        rclpy.try_shutdown()
        return 1
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        if node.parameters['autostart']:
            autostart(node)
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception:
        if rclpy.ok():
            raise
        # Told to stop in the middle of a transition: what broke is the context that is gone.
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


def autostart(node: PerceptionNode) -> None:
    """Configure and activate; a failure has been logged and leaves the node unconfigured."""
    if node.trigger_configure() == TransitionCallbackReturn.SUCCESS:
        node.trigger_activate()
