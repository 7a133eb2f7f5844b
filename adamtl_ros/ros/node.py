# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The lifecycle node `adamtl`: camera images in, one topic per task out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from adamtl_ros.nn.io.checkpoint import load_model
from adamtl_ros.ros.adapter_parameter import AdapterParameter
from adamtl_ros.ros.camera_channel import CameraChannel, Job
from adamtl_ros.ros.governor_inputs import GovernorInputs
from adamtl_ros.ros.images import converter
from adamtl_ros.ros.parameters import Parameters
from adamtl_ros.ros.topics import HAS_LABEL_INFO
from adamtl_ros.runtime.threads import set_threads
from adamtl_ros.runtime.worker import Worker

if TYPE_CHECKING:
    from rclpy.timer import Timer

    from adamtl_ros.ros.parameters import LiveSettings
    from adamtl_ros.runtime.engine import Engine

REPORT_PERIOD_S = 1.0
"""Time between two diagnostics, and between two statistics while nothing is processed."""


class PerceptionNode(LifecycleNode):
    """Runs the adaptive network on the newest image of each camera.

    Configure loads and warms the model, activate subscribes, deactivate stops, cleanup frees.
    The engine has a thread of its own; the executor's thread only swaps references.

    Attributes:
        parameters: The declared parameters.
        live_adapter: Has what runs the network; None until configured.
        cameras: What belongs to each camera, by name; empty until configured.
        governing: Decides on the budget of each frame; None until configured.

    """

    def __init__(self, **options: Any) -> None:  # noqa: ANN401
        """Declare the parameters.

        Args:
            options: Passed on to `LifecycleNode`, such as `namespace` or `context`.

        Raises:
            ValueError: A parameter override that cannot be used.

        """
        super().__init__('adamtl', **options)
        self.live_adapter: AdapterParameter | None = None
        self.cameras: dict[str, CameraChannel] = {}
        self.governing: GovernorInputs | None = None
        self._worker: Worker[Job] | None = None
        self._timer: Timer | None = None
        # Last, since it may raise and rclpy then destroys what is there of the node.
        self.parameters = Parameters(self)

    @property
    def engine(self) -> Engine | None:
        """Runs the next frame; None until configured."""
        return None if self.live_adapter is None else self.live_adapter.switch.engine

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load and warm the model and advertise the topics."""
        try:
            self._load()
            self._advertise()
        except Exception as error:  # noqa: BLE001  rclpy would swallow it without a word
            self.get_logger().error(f'Cannot configure: {_reason(error)}')
            self._free()
            return TransitionCallbackReturn.FAILURE
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the worker, the timer and the subscriptions."""
        result = super().on_activate(state)
        try:
            self._start()
        except Exception as error:  # noqa: BLE001  as above
            self.get_logger().error(f'Cannot activate: {_reason(error)}')
            self._stop()
            super().on_deactivate(state)
            return TransitionCallbackReturn.FAILURE
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe, and let the frame in work finish."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the model and withdraw the topics."""
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
        """Stop the threads before the publishers go."""
        self._stop()
        if self.live_adapter is not None:
            self.live_adapter.stop()
        super().destroy_node()

    def _settings(self) -> LiveSettings:
        return self.parameters.settings

    def _load(self) -> None:
        parameters, logger = self.parameters, self.get_logger()
        threads = set_threads(parameters['threads'])
        converter()  # a missing one is a reason not to start, not to refuse every frame
        model = load_model(parameters['model'])
        parameters.restrict_tasks(model.network.tasks)
        self.live_adapter = AdapterParameter(self, parameters, model)
        engine = self.live_adapter.switch.engine
        size = sum(weight.numel() for weight in engine.model.network.parameters()) / 1e6
        name = engine.model.name
        logger.info(f"Model '{name}': {size:.1f} M weights on {engine.device}, {threads} threads")
        if not model.trained:
            logger.warning(f"Model '{model.name}' is not trained: its results mean nothing")
        if not HAS_LABEL_INFO:
            logger.warning('vision_msgs is not installed: no label_info topics')

    def _advertise(self) -> None:
        assert self.live_adapter is not None
        switch = self.live_adapter.switch
        self.governing = GovernorInputs(self, self._settings)
        for name in self.parameters['cameras']:
            camera = CameraChannel(self, name, switch, self._settings, self.governing)
            self.cameras[name] = camera  # before it can fail, so that it is freed then
            camera.advertise()

    def _start(self) -> None:
        assert self.governing is not None
        self.governing.start()
        self._worker = Worker(_process, self._min_period)
        self._worker.start()
        for camera in self.cameras.values():
            camera.start(self._worker.mailbox, self.parameters['image_transport'])
        # Health is reported also while simulated time stands still.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = self.create_timer(REPORT_PERIOD_S, self._report, clock=steady)

    def _min_period(self) -> float:
        rate = self._settings().max_rate_hz
        return 1 / rate if rate else 0.0

    def _report(self) -> None:
        for camera in self.cameras.values():
            camera.reporter.report(camera.processor.wanted())

    def _stop(self) -> None:
        for camera in self.cameras.values():
            camera.stop()
        if self.governing is not None:
            self.governing.stop()
        if self._timer is not None:
            self.destroy_timer(self._timer)
            self._timer = None
        if self._worker is not None:
            for camera, _ in self._worker.stop():
                camera.reporter.statistics.count('dropped')
            self._worker = None

    def _free(self) -> None:
        for camera in self.cameras.values():
            camera.destroy()
        self.cameras = {}
        if self.live_adapter is not None:
            self.live_adapter.stop()
        self.governing = self.live_adapter = None


def _process(job: Job) -> None:
    camera, frame = job
    camera.processor.process(frame)


def _reason(error: Exception) -> str:
    """Return the message of an error of ours, and its type too if it is another's."""
    return str(error) if isinstance(error, ValueError) else f'{type(error).__name__}: {error}'
