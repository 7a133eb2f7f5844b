# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The lifecycle node `adamtl`: camera images in, one topic per task out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from adamtl_ros.nn.checkpoint import load_model
from adamtl_ros.ros.camera import is_calibrated
from adamtl_ros.ros.images import converter
from adamtl_ros.ros.parameters import Parameters, Settings
from adamtl_ros.ros.processor import Frame, Processor
from adamtl_ros.ros.reporter import Reporter
from adamtl_ros.ros.topics import HAS_LABEL_INFO, input_qos
from adamtl_ros.runtime.engine import Engine
from adamtl_ros.runtime.threads import set_threads
from adamtl_ros.runtime.worker import Worker

if TYPE_CHECKING:
    from rclpy.subscription import Subscription
    from rclpy.timer import Timer

REPORT_PERIOD_S = 1.0
"""Time between two diagnostics, and between two statistics while nothing is processed."""


class PerceptionNode(LifecycleNode):
    """Runs the adaptive network on the newest camera image.

    Configure loads and warms the model, activate subscribes, deactivate stops, cleanup frees.
    The engine has a thread of its own; the executor's thread only swaps references.

    Attributes:
        parameters: The declared parameters.
        engine: Runs the network; None until configured.
        processor: Handles frames; None until configured.
        reporter: Publishes statistics and diagnostics; None until configured.

    """

    def __init__(self, **options: Any) -> None:  # noqa: ANN401
        """Declare the parameters.

        Args:
            options: Passed on to `LifecycleNode`, such as `namespace` or `context`.

        Raises:
            ValueError: A parameter override that cannot be used.

        """
        super().__init__('adamtl', **options)
        self.engine: Engine | None = None
        self.processor: Processor | None = None
        self.reporter: Reporter | None = None
        self._worker: Worker[Frame] | None = None
        self._inputs: list[Subscription[Any]] = []
        self._timer: Timer | None = None
        # Last, since it may raise and rclpy then destroys what is there of the node.
        self.parameters = Parameters(self)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load and warm the model and advertise the topics."""
        try:
            self.engine = self._load()
            self._advertise(self.engine)
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
        """Stop the worker before the publishers go."""
        self._stop()
        super().destroy_node()

    def _settings(self) -> Settings:
        return self.parameters.settings

    def _load(self) -> Engine:
        parameters, logger = self.parameters, self.get_logger()
        threads = set_threads(parameters['threads'])
        converter()  # a missing one is a reason not to start, not to refuse every frame
        model = load_model(parameters['model'])
        parameters.restrict_tasks(model.network.tasks)
        engine = Engine(model, parameters['device'], parameters['output_size'])
        engine.warm_up()
        size = sum(weight.numel() for weight in model.network.parameters()) / 1e6
        logger.info(
            f"Model '{model.name}': {size:.1f} M weights on {engine.device}, {threads} threads"
        )
        if not model.trained:
            logger.warning(f"Model '{model.name}' is not trained: its results mean nothing")
        if not HAS_LABEL_INFO:
            logger.warning('vision_msgs is not installed: no label_info topics')
        return engine

    def _advertise(self, engine: Engine) -> None:
        self.reporter = Reporter(self, engine.model, str(engine.device), self._settings)
        self.processor = Processor(self, engine, self._settings, self.reporter)
        self.reporter.advertise()
        self.processor.advertise()

    def _start(self) -> None:
        assert self.processor is not None
        assert self.reporter is not None
        self.reporter.restart()
        self._worker = Worker(self.processor.process, self._min_period)
        self._worker.start()
        self._inputs = [self._subscribe_image(), self._subscribe_info()]
        self.reporter.image_topic = self._inputs[0].topic_name
        # Health is reported also while simulated time stands still.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = self.create_timer(REPORT_PERIOD_S, self._report, clock=steady)

    def _subscribe_image(self) -> Subscription[Any]:
        kind, topic = Image, 'image'
        if self.parameters['image_transport'] == 'compressed':
            kind, topic = CompressedImage, self.resolve_topic_name('image') + '/compressed'
        return self.create_subscription(
            kind,
            topic,
            lambda raw: self._on_image(raw, kind),
            input_qos(),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            raw=True,
        )

    def _subscribe_info(self) -> Subscription[Any]:
        return self.create_subscription(
            CameraInfo, 'camera_info', self._on_camera_info, input_qos()
        )

    def _on_image(self, raw: bytes, kind: type[Image | CompressedImage]) -> None:
        worker, processor, reporter = self._worker, self.processor, self.reporter
        if worker is None or processor is None or reporter is None:
            return  # deactivated from another thread while this message was on its way
        arrived = reporter.image_arrived()
        if not processor.wanted():
            reporter.statistics.count('idle')
        elif worker.mailbox.put(Frame(raw, kind, arrived)):
            reporter.statistics.count('dropped')

    def _on_camera_info(self, info: CameraInfo) -> None:
        if self.processor is None:
            return
        if self.processor.camera_info is None and not is_calibrated(info):
            self.get_logger().warning('camera_info has K = 0: the camera is not calibrated')
        self.processor.camera_info = info

    def _min_period(self) -> float:
        rate = self._settings().max_rate_hz
        return 1 / rate if rate else 0.0

    def _report(self) -> None:
        if self.reporter is not None and self.processor is not None:
            self.reporter.report(self.processor.wanted())

    def _stop(self) -> None:
        for subscription in self._inputs:
            self.destroy_subscription(subscription)
        self._inputs = []
        if self._timer is not None:
            self.destroy_timer(self._timer)
            self._timer = None
        if self._worker is not None:
            waited = self._worker.stop()
            self._worker = None
            if waited and self.reporter is not None:
                self.reporter.statistics.count('dropped')

    def _free(self) -> None:
        for part in (self.processor, self.reporter):
            if part is not None:
                part.destroy()
        self.processor = self.reporter = self.engine = None


def _reason(error: Exception) -> str:
    """Return the message of an error of ours, and its type too if it is another's."""
    return str(error) if isinstance(error, ValueError) else f'{type(error).__name__}: {error}'
