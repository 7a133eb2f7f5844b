# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What happens to one camera frame, on the worker's thread."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adamtl_ros.ros.camera import scaled
from adamtl_ros.ros.compute_stats import age_ms, frame_stats
from adamtl_ros.ros.images import ImageError, to_rgb
from adamtl_ros.ros.topics import TaskTopics

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclpy.lifecycle import LifecycleNode
    from sensor_msgs.msg import CameraInfo, CompressedImage, Image

    from adamtl_ros.msg import ComputeStats
    from adamtl_ros.ros.parameters import Settings
    from adamtl_ros.runtime.engine import Engine, Inference
    from adamtl_ros.runtime.statistics import Statistics

THROTTLE_S = 5.0
"""A warning that would come with every frame comes this often."""


@dataclass(frozen=True)
class Frame:
    """A camera message and when it arrived, in seconds of the steady clock."""

    message: Image | CompressedImage
    arrived: float


class Processor:
    """Decodes a frame, runs the tasks that somebody wants, publishes them and the statistics."""

    def __init__(
        self,
        node: LifecycleNode,
        engine: Engine,
        settings: Callable[[], Settings],
        publish_stats: Callable[[ComputeStats], None],
    ) -> None:
        """Advertise the topics of all tasks of the engine.

        Args:
            node: Node to publish with.
            engine: The engine; used on one thread only.
            settings: Gives the run-time parameters of this moment.
            publish_stats: Called after each processed frame.

        """
        self._node = node
        self._engine = engine
        self._settings = settings
        self._publish_stats = publish_stats
        known = engine.model.network.tasks
        self._topics = {name: TaskTopics(node, task) for name, task in known.items()}
        self.camera_info: CameraInfo | None = None
        self.refusal = ''

    def wanted(self) -> tuple[str, ...]:
        """Names of the tasks that are switched on and subscribed to."""
        return tuple(name for name in self._settings().tasks if self._topics[name].wanted)

    def process(self, frame: Frame, statistics: Statistics) -> None:
        """Handle a frame. Never raises: a frame that fails is refused and counted."""
        try:
            self._process(frame, statistics)
        except ImageError as error:
            self._refuse(str(error), statistics)
        except Exception as error:  # noqa: BLE001  one bad frame must not take the node down
            self._refuse(f'{type(error).__name__}: {error}', statistics)

    def destroy(self) -> None:
        """Withdraw the topics."""
        for topics in self._topics.values():
            topics.destroy()

    def _process(self, frame: Frame, statistics: Statistics) -> None:
        settings, wanted = self._settings(), self.wanted()
        if not wanted:
            statistics.count('idle')
            return
        started = time.perf_counter()
        image = to_rgb(frame.message)
        decoded = time.perf_counter()
        inference = self._engine.run(image, settings.budget, wanted)
        inferred = time.perf_counter()
        latency = self._publish(frame, inference)
        age = age_ms(frame.message.header, self._node.get_clock())
        self._publish_colors(frame, inference)
        published = time.perf_counter()
        statistics.processed(latency, settings.deadline_ms)
        self._publish_stats(
            frame_stats(
                frame.message.header,
                inference,
                settings.budget,
                decode_ms=1000 * (decoded - started),
                publish_ms=1000 * (published - inferred),
                latency_ms=latency,
                age_ms=age,
            )
        )

    def _publish(self, frame: Frame, inference: Inference) -> float:
        """Publish the results and return the latency [ms]."""
        header, info = frame.message.header, self.camera_info
        if info is not None:
            height, width = next(iter(inference.results.values())).shape[:2]
            info = scaled(info, header, height, width)
        for name, result in inference.results.items():
            self._topics[name].publish(result, header, info)
        return 1000 * (time.monotonic() - frame.arrived)

    def _publish_colors(self, frame: Frame, inference: Inference) -> None:
        # Pictures for people come after the last result: a viewer must not delay a robot.
        for name, result in inference.results.items():
            self._topics[name].publish_color(result, frame.message.header)

    def _refuse(self, reason: str, statistics: Statistics) -> None:
        self.refusal = reason
        statistics.count('refused')
        self._node.get_logger().warning(
            f'Frame refused: {reason}', throttle_duration_sec=THROTTLE_S
        )
