# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The parameter `adapter`: another adapter takes over while frames arrive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adamtl_ros.runtime.adapter_manager import AdapterManager
from adamtl_ros.runtime.engine import Engine

if TYPE_CHECKING:
    from rclpy.node import Node

    from adamtl_ros.nn.io.checkpoint import Model
    from adamtl_ros.ros.parameters import Parameters


class AdapterParameter:
    """Asks the switch for what the parameter says, and says what became of it.

    A file that is missing, damaged at first sight or of another base is refused by the
    parameter itself, so that `ros2 param set` says why. What only loading it can tell goes to
    the log and to the diagnostics, and the parameter goes back to the adapter in force.

    Attributes:
        switch: Holds the engine in force.

    """

    def __init__(self, node: Node, parameters: Parameters, model: Model) -> None:
        """Make the engine ready, with the adapter that the parameter names.

        Raises:
            CheckpointError: Its file cannot be used.
            ValueError: The device or the output size cannot be used.

        """
        self._node, self._parameters = node, parameters
        device, output = parameters['device'], parameters['output_size']

        def make(model: Model) -> Engine:
            return Engine(model, device, output)

        self.switch = AdapterManager(model, make, parameters['adapter'], self._on_changed)
        parameters.watch_adapter(self.switch.check, self.switch.request)

    def stop(self) -> None:
        """Let a file that is being loaded finish, without effect, and listen no longer."""
        self._parameters.watch_adapter()
        self.switch.stop()

    def _on_changed(self, adapter: str) -> None:
        """Tell of a change, on the thread of the switch."""
        switch, logger = self.switch, self._node.get_logger()
        if not switch.failure:
            logger.info(f"Model '{switch.engine.model.name}' takes over")
            return
        logger.error(f'Adapter not changed, the old one goes on: {switch.failure}')
        if self._node.executor is not None:
            # There, since the parameter may be set again at the same time.
            self._node.executor.create_task(self._put_back, adapter)

    def _put_back(self, refused: str) -> None:
        """Let the parameter say what is in force, unless it has been set again."""
        if self._parameters['adapter'] == refused:
            self._parameters.put_back('adapter', self.switch.adapter)
