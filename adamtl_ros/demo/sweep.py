# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Lowers the budget of the running node step by step, as `ros2 param set` does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient

if TYPE_CHECKING:
    from rcl_interfaces.srv import SetParameters
    from rclpy.node import Node
    from rclpy.task import Future

BUDGETS = (1.0, 0.75, 0.5, 0.35)
"""Each for an equal part of the recording."""


class BudgetSweep:
    """Sets the budget that belongs to how much of the recording has been played.

    Attributes:
        problem: What the node said when it refused a budget; empty so far as it did not.

    """

    def __init__(self, node: Node, remote: str) -> None:
        """Prepare.

        Args:
            node: Node to call from; somebody else spins it.
            remote: Full name of the node whose budget it is; it starts with the first one.

        """
        self.problem = ''
        self._client = AsyncParameterClient(node, remote)
        self._step = 0

    def follow(self, played: float, _effective: float) -> None:
        """Set the budget for this share of the recording, in 0..1, if it is another one.

        Raises:
            RuntimeError: The node refused an earlier one.

        """
        if self.problem:
            raise RuntimeError(f'the node refused a budget: {self.problem}')
        step = min(int(played * len(BUDGETS)), len(BUDGETS) - 1)
        if step > self._step:
            self._step = step
            parameter = Parameter('budget', value=BUDGETS[step])
            self._client.set_parameters([parameter]).add_done_callback(self._check)

    def _check(self, future: Future[SetParameters.Response]) -> None:
        response = future.result() if future.exception() is None else None
        results = response.results if response else []
        refused = [result.reason for result in results if not result.successful]
        if refused or not results:
            self.problem = refused[0] if refused else f'no answer: {future.exception()}'
