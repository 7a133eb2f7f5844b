# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Lifecycle node `adamtl`: camera images in, one topic per task out."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from adamtl_ros.nn.io.checkpoint import check_sha256, load_model
from adamtl_ros.ros.camera_channel import CameraChannel
from adamtl_ros.ros.context import NodeContext
from adamtl_ros.ros.failures import Failures, SafeParameterService
from adamtl_ros.ros.governor_inputs import GovernorInputs
from adamtl_ros.ros.parameters import Parameters
from adamtl_ros.ros.topics import HAS_LABEL_INFO
from adamtl_ros.runtime.adapter_manager import AdapterManager
from adamtl_ros.runtime.engine import Engine
from adamtl_ros.runtime.threads import set_threads
from adamtl_ros.runtime.worker import Worker
from adamtl_ros.text import one_line, reason

if TYPE_CHECKING:
    from rclpy.timer import Timer

    from adamtl_ros.nn.io.checkpoint import Model
    from adamtl_ros.ros.context import CameraFrame

REPORT_PERIOD_S = 1.0
"""Period of the diagnostics, and of the statistics while nothing is processed [s]."""


class PerceptionNode(LifecycleNode):
    """Lifecycle node that runs the adaptive network on the newest image of each camera.

    Configure loads and warms up the model, activate subscribes, deactivate unsubscribes, cleanup
    frees the model. The engine has a thread of its own; the thread of the executor only puts
    messages into its mailbox.

    Attributes:
        parameters: Declared parameters.
        adapter_parameter: Owner of the engine; None until configured.
        cameras: Parts of each camera by name; empty until configured.
        governor: Governor that decides on the budget of each frame; None until configured.
        failures: Callbacks that have failed.

    """

    def __init__(self, **options: Any) -> None:
        """Declare the parameters.

        Args:
            options: Options of `LifecycleNode`, such as `namespace` or `context`.

        Raises:
            ValueError: Invalid parameter override.

        """
        super().__init__('adamtl', start_parameter_services=False, **options)
        self._parameter_service = SafeParameterService(self)
        self.failures = Failures(self)
        self.adapter_parameter: AdapterParameter | None = None
        self.cameras: dict[str, CameraChannel] = {}
        self.governor: GovernorInputs | None = None
        self._worker: Worker[CameraFrame] | None = None
        self._timer: Timer | None = None
        # Last, since it may raise, and rclpy then destroys what exists of the node.
        self.parameters = Parameters(self)

    @property
    def engine(self) -> Engine | None:
        """Engine for the next frame; None until configured."""
        return None if self.adapter_parameter is None else self.adapter_parameter.manager.engine

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load and warm up the model, and create the output topics."""
        try:
            self._load()
            self._advertise()
        except Exception as error:  # noqa: BLE001  rclpy would swallow it without a message
            self.get_logger().error(f'Cannot configure: {reason(error)}')
            self._free()
            return TransitionCallbackReturn.FAILURE
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the worker, the timer and the subscriptions."""
        result = super().on_activate(state)
        try:
            self._start()
        except Exception as error:  # noqa: BLE001  as above
            self.get_logger().error(f'Cannot activate: {reason(error)}')
            self._stop()
            super().on_deactivate(state)
            return TransitionCallbackReturn.FAILURE
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe, and finish the current frame."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the model and destroy the output topics."""
        self._free()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free, from any state."""
        self._stop()
        self._free()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free, so that the node can be configured again."""
        self._stop()
        self._free()
        super().on_error(state)
        return TransitionCallbackReturn.SUCCESS

    def destroy_node(self) -> None:
        """Stop the threads before the publishers are destroyed."""
        self._stop()
        if self.adapter_parameter is not None:
            self.adapter_parameter.stop()
        super().destroy_node()

    def _load(self) -> None:
        parameters, logger = self.parameters, self.get_logger()
        threads = set_threads(parameters['threads'])
        if digest := parameters['model_sha256']:
            check_sha256(parameters['model'], digest)
        model = load_model(parameters['model'])
        parameters.restrict_tasks(model.network.tasks)
        self.adapter_parameter = AdapterParameter(self, parameters, model)
        engine = self.adapter_parameter.manager.engine
        size = sum(weight.numel() for weight in engine.model.network.parameters()) / 1e6
        name, backend = engine.model.name, engine.backend
        made_by = f'{backend.name} {backend.precision} on {engine.device}, {threads} threads'
        logger.info(f"Model '{name}': {size:.1f} M weights, {made_by}")
        if not model.trained:
            logger.warning(f"Model '{model.name}' is not trained: its results are meaningless")
        if not HAS_LABEL_INFO:
            logger.warning('vision_msgs is not installed: no label_info topics')

    def _advertise(self) -> None:
        assert self.adapter_parameter is not None
        adapters = self.adapter_parameter.manager
        self.governor = GovernorInputs(self, self.parameters)
        for name in self.parameters['cameras']:
            camera = CameraChannel(
                NodeContext(self, name, adapters, self.parameters, self.governor, self.failures)
            )
            self.cameras[name] = camera  # before it can fail, so that it is freed then
            camera.advertise()

    def _start(self) -> None:
        assert self.governor is not None
        self.governor.start()
        self._worker = Worker(self._process, self._min_period, on_failure=self.failures.add)
        self._worker.start()
        for camera in self.cameras.values():
            camera.start(self._worker.mailbox, self.parameters['image_transport'])
        # Health is also reported while simulated time stands still.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = self.create_timer(REPORT_PERIOD_S, self._report, clock=steady)

    def _process(self, frame: CameraFrame) -> None:
        """Hand a frame from the mailbox, shared by all cameras, to its camera."""
        self.cameras[frame.camera].processor.process(frame)

    def _min_period(self) -> float:
        rate = self.parameters.settings.max_rate_hz
        return 1 / rate if rate else 0.0

    def _report(self) -> None:
        for camera in self.cameras.values():
            camera.report()

    def _stop(self) -> None:
        for camera in self.cameras.values():
            camera.stop()
        if self.governor is not None:
            self.governor.stop()
        if self._timer is not None:
            self.destroy_timer(self._timer)
            self._timer = None
        if self._worker is not None:
            for frame in self._worker.stop():
                self.cameras[frame.camera].reporter.counters.count('dropped')
            self._worker = None

    def _free(self) -> None:
        for camera in self.cameras.values():
            camera.destroy()
        self.cameras = {}
        if self.adapter_parameter is not None:
            self.adapter_parameter.stop()
        self.governor = self.adapter_parameter = None


class AdapterParameter:
    """Connection of the parameter `adapter` with the adapter manager.

    A file that is missing, visibly damaged or made for another base is refused when the parameter
    is set, so that `ros2 param set` shows the reason. A failure to load it is logged and shown in
    the diagnostics, and the parameter is reset to the current adapter.

    Attributes:
        manager: Owner of the engine.

    """

    def __init__(self, node: LifecycleNode, parameters: Parameters, model: Model) -> None:
        """Create the engine with the adapter that the parameter names.

        Args:
            node: Node to log with.
            parameters: Parameters of the node.
            model: Model without adapters.

        Raises:
            CheckpointError: The adapter file cannot be used.
            ValueError: The device or the output size cannot be used.

        """
        self._node, self._parameters = node, parameters
        self._engine, self._precision = parameters['engine'], parameters['precision']
        self._log = EngineLog(node)
        try:
            self.manager = AdapterManager(
                model, self._make_engine, parameters['adapter'], self._on_change
            )
        except Exception:
            self._log.close()
            raise
        parameters.connect_adapter(self.manager.check, self.manager.request)

    def _make_engine(self, model: Model) -> Engine:
        """Create an engine; adapters get the one that was chosen for the base."""
        parameters = self._parameters
        made = Engine(
            model,
            parameters['device'],
            parameters['output_size'],
            engine=self._engine,
            precision=self._precision,
            wait=False,
        )
        self._engine, self._precision = made.backend.name, made.backend.precision
        return made

    def stop(self) -> None:
        """Disconnect from the parameter, and finish loading without effect."""
        self._parameters.connect_adapter()
        self.manager.stop()
        self._log.close()

    def _on_change(self, adapter: str) -> None:
        """Log a change or a failure; called on the thread of the manager."""
        manager, logger = self.manager, self._node.get_logger()
        if not manager.failure:
            logger.info(f"Switched to model '{manager.engine.model.name}'")
            return
        logger.error(f'Adapter not changed, the current one stays: {one_line(manager.failure)}')
        if self._node.executor is not None:
            # On the executor's thread, since the parameter may be set at the same time.
            self._node.executor.create_task(self._reset_parameter, adapter)

    def _reset_parameter(self, refused: str) -> None:
        """Reset the parameter to the current adapter, unless it has been set again."""
        if self._parameters['adapter'] == refused:
            self._parameters.reset('adapter', self.manager.adapter)


class EngineLog(logging.Handler):
    """Handler that passes what the engines log to the log of a node."""

    def __init__(self, node: LifecycleNode) -> None:
        super().__init__(logging.INFO)
        self._logger = node.get_logger()
        self._source = logging.getLogger('adamtl_ros.engines')
        self._source.addHandler(self)
        self._source.setLevel(logging.INFO)
        self._source.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record."""
        if record.levelno > logging.INFO:  # rclpy allows one severity for each line of code
            self._logger.warning(record.getMessage())
        else:
            self._logger.info(record.getMessage())

    def close(self) -> None:
        """Disconnect."""
        self._source.removeHandler(self)
        self._source.propagate = not self._source.handlers
        super().close()
