# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Entry point of the executable `perception_node`.

What takes seconds to import is imported once a signal can be handled.
"""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

    from adamtl_ros.ros.node import PerceptionNode

USAGE = 'usage: perception_node [--ros-args -p NAME:=VALUE ... --params-file FILE]'


def main(args: list[str] | None = None) -> int:
    """Run the node until a signal stops it.

    Returns:
        Exit status: 0, 1 if the node could not start, 2 for arguments that are not ROS arguments.

    """
    stop = StopRequest()
    import rclpy

    from adamtl_ros.runtime.threads import keep_freed_memory

    keep_freed_memory()
    try:
        return run(sys.argv if args is None else args, stop)
    finally:
        rclpy.try_shutdown()


def run(args: list[str], stop: StopRequest) -> int:
    """Start and spin the node; return the exit status."""
    import rclpy
    from rclpy.executors import ExternalShutdownException
    from rclpy.signals import SignalHandlerOptions, install_signal_handlers
    from rclpy.utilities import remove_ros_args

    from adamtl_ros.ros.failures import SteadyExecutor
    from adamtl_ros.ros.node import PerceptionNode
    from adamtl_ros.ros.shared_memory import remove_dead_segments
    from adamtl_ros.text import one_line

    if stop.requested:
        return 0
    try:
        if surplus := remove_ros_args(args)[1:]:
            print(f'perception_node takes no {one_line(surplus[0])}; {USAGE}', file=sys.stderr)
            return 2
        freed = remove_dead_segments()
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
        node = PerceptionNode()
        executor = SteadyExecutor(node.failures.add)
        executor.add_node(node)
        if freed:
            node.get_logger().info(f'Freed {freed / 1e6:.0f} MB of /dev/shm of killed processes')
    except Exception as error:  # noqa: BLE001  any failure becomes one line
        reason = str(error).partition('\n')[0] or type(error).__name__
        print(f'perception_node: {one_line(reason)}', file=sys.stderr)
        return 1
    try:
        if node.parameters['autostart']:
            autostart(node)
        install_signal_handlers(SignalHandlerOptions.ALL)
        if not stop.requested:
            executor.spin()
    except ExternalShutdownException:
        pass
    except Exception:
        if rclpy.ok():
            raise
        # A signal shut the context down just before the executor waited again.
    finally:
        node.destroy_node()
    return 0


class StopRequest:
    """Signal handler that records Ctrl-C and SIGTERM until the node spins.

    rclpy's own handlers shut the context down at once, and objects that are being created on it
    then fail or crash. Once they are installed, they end the spinning, and this one does no harm.

    Attributes:
        requested: Whether a signal was received.

    """

    def __init__(self) -> None:
        self.requested = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.requested = True


def autostart(node: PerceptionNode) -> None:
    """Configure and activate; after a failure, which is logged, the node stays unconfigured."""
    from rclpy.lifecycle import TransitionCallbackReturn

    if node.trigger_configure() == TransitionCallbackReturn.SUCCESS:
        node.trigger_activate()
    else:
        node.get_logger().error(
            'The node stays unconfigured: fix the cause, then configure it with `ros2 lifecycle '
            'set`, or restart it'
        )
