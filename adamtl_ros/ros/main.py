# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Entry point of the executable `perception_node`."""

from __future__ import annotations

import contextlib
import signal
import sys

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.utilities import remove_ros_args

from adamtl_ros.ros.node import PerceptionNode
from adamtl_ros.runtime.memory import keep_freed_memory

USAGE = 'usage: perception_node [--ros-args -p NAME:=VALUE ... --params-file FILE]'


def main(args: list[str] | None = None) -> int:
    """Run the node until it is told to stop.

    Returns:
        Exit status: 0, 1 if the node could not start, 2 for arguments that are not ROS's.

    """
    keep_freed_memory()
    try:
        return run(sys.argv if args is None else args)
    except (KeyboardInterrupt, ExternalShutdownException):
        return 0
    finally:
        with contextlib.suppress(KeyboardInterrupt):
            # rclpy ends the spinning before Python raises for the same Ctrl-C; it is late here.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            rclpy.try_shutdown()


def run(args: list[str]) -> int:
    """Start and spin the node; return the exit status."""
    try:
        if surplus := remove_ros_args(args)[1:]:
            print(f'perception_node takes no {surplus[0]}; {USAGE}', file=sys.stderr)
            return 2
        rclpy.init(args=args)
        node = PerceptionNode()
    except Exception as error:  # noqa: BLE001  whatever it is, it is said in one line
        reason = str(error).partition('\n')[0] or type(error).__name__
        print(f'perception_node: {reason}', file=sys.stderr)
        return 1
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        if node.parameters['autostart']:
            autostart(node)
        executor.spin()
    except Exception:
        if rclpy.ok():
            raise
        # Told to stop in the middle of a transition: what broke is the context that is gone.
    finally:
        node.destroy_node()
    return 0


def autostart(node: PerceptionNode) -> None:
    """Configure and activate; after a failure, which is logged, the node waits unconfigured."""
    if node.trigger_configure() == TransitionCallbackReturn.SUCCESS:
        node.trigger_activate()
    else:
        node.get_logger().error('Waiting unconfigured: mend the cause, then configure or restart')
