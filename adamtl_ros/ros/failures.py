# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Failures of callbacks: they are logged and counted, and the node goes on.

rclpy ends `spin()` with the first exception of any callback, its own services included. A message
that nobody expected would so end the process.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.parameter_service import ParameterService

from adamtl_ros.text import reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from rcl_interfaces.srv import SetParametersAtomically
    from rclpy.node import Node

THROTTLE_S = 5.0
"""Shortest time between two log messages about failures [s]."""
CHECK_S = 1.0
"""Longest wait before the executor looks whether ROS is shut down [s]."""
SERIES, PAUSE_S = 100, 0.01
"""Number of failures in a row from which each is followed by a pause [s]: the cause may last."""


class Failures:
    """Counter and log of callbacks that have failed; thread-safe.

    Attributes:
        count: Number of failures since the node was created.
        last: What the last one said; empty before the first.

    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._lock = threading.Lock()
        self.count = 0
        self.last = ''

    def add(self, error: Exception) -> None:
        """Count and log a failure, unless ROS is shut down and everything fails."""
        if not self._node.context.ok():
            return
        with self._lock:
            self.count += 1
            self.last = reason(error)
        self._node.get_logger().error(
            f'A callback failed, {self.count} in all; the node goes on: {self.last}',
            throttle_duration_sec=THROTTLE_S,
        )


class SteadyExecutor(SingleThreadedExecutor):
    """Single-threaded executor that goes on after a callback has failed."""

    def __init__(self, on_failure: Callable[[Exception], None], **options: Any) -> None:
        """Set what is called with every exception.

        Args:
            on_failure: Function called with the exception of a callback.
            options: Options of `SingleThreadedExecutor`.

        """
        super().__init__(**options)
        self._on_failure = on_failure
        self._series = 0

    def spin(self) -> None:
        """Execute callbacks until shutdown.

        rclpy's signal handler wakes the executor and then shuts the context down. An executor that
        waits again in between is not woken a second time, so it looks once a second.
        """
        while self.context.ok() and not self._is_shutdown:
            self.spin_once(CHECK_S)

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """Run a callback; an exception of it is passed to `on_failure`."""
        try:
            super().spin_once(timeout_sec)
        except ExternalShutdownException:
            raise
        except Exception as error:
            if not self.context.ok():
                raise
            self._on_failure(error)
            self._series += 1
            if self._series >= SERIES:
                time.sleep(PAUSE_S)
        else:
            self._series = 0


class SafeParameterService(ParameterService):
    """Parameter services that answer any request; rclpy's raise on an unknown type of a value.

    It stands for the services that `Node` makes, which is told not to.
    """

    def _set_parameters_callback(
        self, request: SetParameters.Request, response: SetParameters.Response
    ) -> SetParameters.Response:
        for parameter in request.parameters:
            self._set_one(SetParameters.Request(parameters=[parameter]), response)
        return response

    def _set_one(self, request: SetParameters.Request, response: SetParameters.Response) -> None:
        try:
            super()._set_parameters_callback(request, response)
        except Exception as error:  # noqa: BLE001  whatever the values make Python raise
            response.results.append(_refusal(error))

    def _set_parameters_atomically_callback(
        self, request: SetParametersAtomically.Request, response: SetParametersAtomically.Response
    ) -> SetParametersAtomically.Response:
        try:
            return super()._set_parameters_atomically_callback(request, response)
        except Exception as error:  # noqa: BLE001  as above
            response.result = _refusal(error)
            return response


def _refusal(error: Exception) -> SetParametersResult:
    return SetParametersResult(successful=False, reason=reason(error))
