# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The lifecycle node `adamtl`: camera images in, one topic per task out."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import TYPE_CHECKING, Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from adamtl_ros.msg import ComputeStats
from adamtl_ros.nn.checkpoint import load_model
from adamtl_ros.ros.camera import is_calibrated
from adamtl_ros.ros.compute_stats import complete, idle_stats
from adamtl_ros.ros.diagnostics import Health, diagnostics
from adamtl_ros.ros.parameters import Parameters
from adamtl_ros.ros.processor import Frame, Processor
from adamtl_ros.ros.topics import HAS_LABEL_INFO, INPUT_QOS, OUTPUT_QOS
from adamtl_ros.runtime.engine import Engine
from adamtl_ros.runtime.statistics import Counts, Statistics
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
    """

    def __init__(self, **options: Any) -> None:  # noqa: ANN401
        """Declare the parameters.

        Args:
            options: Passed on to `LifecycleNode`, such as `namespace` or `context`.

        Raises:
            ValueError: A parameter override that cannot be used.

        """
        super().__init__('adamtl', **options)
        self.statistics = Statistics()
        self._engine: Engine | None = None
        self._processor: Processor | None = None
        self._worker: Worker[Frame] | None = None
        self._subscriptions_in_use: list[Subscription[Any]] = []
        self._timer: Timer | None = None
        self._last_image = -math.inf
        self._reported = Counts()
        self._sequence = 0
        # Last, since it may raise and rclpy then destroys what is there of the node.
        self.parameters = Parameters(self)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load and warm the model and advertise the topics."""
        try:
            self._engine = self._load()
        except (ValueError, ImportError, RuntimeError) as error:
            self.get_logger().error(f'Cannot configure: {error}')
            return TransitionCallbackReturn.FAILURE
        self._stats = self.create_lifecycle_publisher(ComputeStats, '~/compute_stats', OUTPUT_QOS)
        self._diagnostics = self.create_lifecycle_publisher(DiagnosticArray, '/diagnostics', 10)
        self._processor = Processor(
            self, self._engine, lambda: self.parameters.settings, self._publish_stats
        )
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the worker, the timer and the subscriptions."""
        result = super().on_activate(state)
        assert self._processor is not None
        self.statistics, self._reported, self._sequence = Statistics(), Counts(), 0
        self._last_image = -math.inf
        processor, statistics = self._processor, self.statistics
        self._worker = Worker(lambda frame: processor.process(frame, statistics), self._min_period)
        self._worker.start()
        self._timer = self.create_timer(REPORT_PERIOD_S, self._report)
        self._subscribe()
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

    def _load(self) -> Engine:
        parameters = self.parameters
        threads = set_threads(parameters['threads'])
        model = load_model(parameters['model'])
        parameters.restrict_tasks(model.network.tasks)
        engine = Engine(model, parameters['device'], parameters['output_size'])
        engine.warm_up()
        size = sum(weight.numel() for weight in model.network.parameters()) / 1e6
        self.get_logger().info(
            f"Model '{model.name}': {size:.1f} M weights on {engine.device}, {threads} threads"
        )
        if not model.trained:
            self.get_logger().warning(
                f"Model '{model.name}' has random weights: its results mean nothing"
            )
        if not HAS_LABEL_INFO:
            self.get_logger().warning('vision_msgs is not installed: no label_info topics')
        return engine

    def _subscribe(self) -> None:
        if self.parameters['image_transport'] == 'compressed':
            kind, topic = CompressedImage, self.resolve_topic_name('image') + '/compressed'
        else:
            kind, topic = Image, 'image'
        image = self.create_subscription(
            kind,
            topic,
            self._on_image,
            INPUT_QOS,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        info = self.create_subscription(CameraInfo, 'camera_info', self._on_camera_info, INPUT_QOS)
        self._subscriptions_in_use = [image, info]

    def _on_image(self, message: Image | CompressedImage) -> None:
        worker, processor = self._worker, self._processor
        if worker is None or processor is None:
            return  # deactivated from another thread while this message was on its way
        self._last_image = time.monotonic()
        self.statistics.count('received')
        if not processor.wanted():
            self.statistics.count('idle')
        elif worker.mailbox.put(Frame(message, self._last_image)):
            self.statistics.count('dropped')

    def _on_camera_info(self, info: CameraInfo) -> None:
        assert self._processor is not None
        if self._processor.camera_info is None and not is_calibrated(info):
            self.get_logger().warning('camera_info has K = 0: the camera is not calibrated')
        self._processor.camera_info = info

    def _min_period(self) -> float:
        rate = self.parameters.settings.max_rate_hz
        return 1 / rate if rate else 0.0

    def _publish_stats(self, stats: ComputeStats) -> None:
        assert self._engine is not None
        self._sequence += 1
        device, counts = str(self._engine.device), self.statistics.counts
        self._stats.publish(
            complete(stats, self._sequence, self._engine.model.name, device, counts)
        )

    def _report(self) -> None:
        assert self._engine is not None
        assert self._processor is not None
        counts, settings = self.statistics.counts, self.parameters.settings
        differences = {
            name: value - getattr(self._reported, name)
            for name, value in dataclasses.asdict(counts).items()
        }
        self._reported, fresh = counts, Counts(**differences)
        health = Health(
            node=self.get_fully_qualified_name(),
            model=self._engine.model.name,
            trained=self._engine.model.trained,
            device=str(self._engine.device),
            image_topic=self._subscriptions_in_use[0].topic_name,
            silent_s=time.monotonic() - self._last_image,
            counts=counts,
            fresh=fresh,
            latency_ms=self.statistics.latency_percentiles(),
            deadline_ms=settings.deadline_ms,
            refusal=self._processor.refusal,
            wanted=self._processor.wanted(),
        )
        self._diagnostics.publish(diagnostics(health, self.get_clock().now()))
        if not fresh.processed:
            self._publish_stats(idle_stats(settings.budget))

    def _stop(self) -> None:
        for subscription in self._subscriptions_in_use:
            self.destroy_subscription(subscription)
        self._subscriptions_in_use = []
        if self._timer is not None:
            self.destroy_timer(self._timer)
            self._timer = None
        if self._worker is not None:
            if self._worker.stop():
                self.statistics.count('dropped')
            self._worker = None

    def _free(self) -> None:
        if self._processor is not None:
            self._processor.destroy()
            self.destroy_publisher(self._stats)
            self.destroy_publisher(self._diagnostics)
        self._processor = self._engine = None
