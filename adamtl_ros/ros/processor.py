# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What happens to one camera frame, on the worker's thread."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rclpy.serialization import deserialize_message

from adamtl_ros.ros.images import ImageError, scaled, to_rgb
from adamtl_ros.ros.reporter import age_ms, frame_stats
from adamtl_ros.ros.topics import TaskTopics

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclpy.lifecycle import LifecycleNode
    from sensor_msgs.msg import CameraInfo, CompressedImage, Image
    from std_msgs.msg import Header

    from adamtl_ros.governor.governor import Decision
    from adamtl_ros.ros.governor_inputs import GovernorInputs
    from adamtl_ros.ros.parameters import LiveSettings
    from adamtl_ros.ros.reporter import Reporter
    from adamtl_ros.runtime.adapter_manager import AdapterManager
    from adamtl_ros.runtime.engine import Inference

THROTTLE_S = 5.0
"""A warning that would come with every frame comes this often."""


@dataclass(frozen=True)
class Frame:
    """A camera message as it came, and when.

    Attributes:
        raw: The serialised message. Frames that are dropped or left alone are never unpacked.
        kind: Its type.
        arrived: Seconds of the steady clock.

    """

    raw: bytes
    kind: type[Image | CompressedImage]
    arrived: float


@dataclass(frozen=True)
class Answer:
    """What was made of a frame."""

    header: Header
    size: tuple[int, int]
    inference: Inference
    model: str
    decision: Decision
    started: float
    decode_ms: float
    joules: float


class Processor:
    """Decodes a frame, runs the tasks that somebody wants, publishes them and the statistics."""

    def __init__(
        self,
        node: LifecycleNode,
        camera: str,
        switch: AdapterManager,
        settings: Callable[[], LiveSettings],
        reporter: Reporter,
        governing: GovernorInputs,
    ) -> None:
        """Prepare; `advertise()` makes the topics.

        Args:
            node: Node to publish with.
            camera: Name of the camera, before its topics; '' for the only one.
            switch: Has the engine of each frame, which is used on one thread only.
            settings: Gives the run-time parameters of this moment.
            reporter: Told of every frame.
            governing: Decides on the budget of every frame.

        """
        self._governing = governing
        self._node, self._camera = node, camera
        self._switch = switch
        self._settings = settings
        self._reporter = reporter
        self._topics: dict[str, TaskTopics] = {}
        self.camera_info: CameraInfo | None = None

    def advertise(self) -> None:
        """Make the topics of all tasks of the engine."""
        for name, task in self._switch.engine.model.network.tasks.items():
            self._topics[name] = TaskTopics(self._node, task, self._camera)
            self._topics[name].advertise()

    def destroy(self) -> None:
        """Withdraw the topics."""
        for topics in self._topics.values():
            topics.destroy()
        self._topics = {}

    def wanted(self) -> tuple[str, ...]:
        """Names of the tasks that are switched on and subscribed to."""
        return tuple(
            name
            for name in self._settings().tasks
            if name in self._topics and self._topics[name].wanted
        )

    def process(self, frame: Frame) -> None:
        """Handle a frame. Never raises: a frame that fails is refused and counted."""
        statistics = self._reporter.statistics
        try:
            answer = self._answer(frame)
            if answer is None:
                statistics.count('idle')
                return
            inferred = time.perf_counter()
            self._publish(answer)
        except ImageError as error:
            self._refuse(str(error))
        except Exception as error:  # noqa: BLE001  one bad frame must not take the node down
            if self._node.context.ok():
                self._refuse(f'{type(error).__name__}: {error}')
            else:
                statistics.count('dropped')  # the process ends, and with it this frame
        else:
            self._account(frame, answer, 1000 * (time.perf_counter() - inferred))

    def _answer(self, frame: Frame) -> Answer | None:
        """Run the wanted tasks; None if there are none."""
        wanted = self.wanted()
        if not wanted:
            return None
        decision, joules = self._governing.decide(), self._governing.joules()
        started = time.perf_counter()
        message = deserialize_message(frame.raw, frame.kind)
        image = to_rgb(message)
        decode_ms = 1000 * (time.perf_counter() - started)
        engine = self._switch.engine  # once: the next frame may have another one
        inference = engine.run(image, decision.budget, wanted)
        size = (image.shape[0], image.shape[1])
        return Answer(
            message.header,
            size,
            inference,
            engine.model.name,
            decision,
            started,
            decode_ms,
            joules,
        )

    def _publish(self, answer: Answer) -> None:
        results = answer.inference.results
        info = self._scaled_info(answer)
        for name, result in results.items():
            self._topics[name].publish(result, answer.header, info)

    def _scaled_info(self, answer: Answer) -> CameraInfo | None:
        results = answer.inference.results
        if self.camera_info is None or not any(self._topics[n].wants_info for n in results):
            return None
        height, width = next(iter(results.values())).shape[:2]
        y, x = height / answer.size[0], width / answer.size[1]
        return scaled(self.camera_info, answer.header, y, x)

    def _account(self, frame: Frame, answer: Answer, publish_ms: float) -> None:
        """Count a frame that is out, and tell the governor and the listeners of it."""
        latency_ms = 1000 * (time.monotonic() - frame.arrived)
        settings = self._settings()
        self._reporter.statistics.processed(latency_ms, settings.deadline_ms)
        # With a rate limit a frame also waits for its turn, which no budget makes shorter.
        work_ms = 1000 * (time.perf_counter() - answer.started)
        limited = settings.max_rate_hz > 0
        self._governing.frame_took(answer.decision.budget, work_ms if limited else latency_ms)
        self._report(answer, publish_ms, latency_ms)

    def _report(self, answer: Answer, publish_ms: float, latency_ms: float) -> None:
        """Publish pictures and statistics; a failure costs these only.

        They come after the last result: somebody who looks must not delay a robot.
        """
        age = age_ms(answer.header, self._node.get_clock())
        worked = time.perf_counter() - answer.started
        energy = self._governing.energy_since(answer.joules, worked)
        try:
            for name, result in answer.inference.results.items():
                self._topics[name].publish_color(result, answer.header)
            self._reporter.publish_stats(
                frame_stats(
                    answer.header,
                    answer.inference,
                    answer.model,
                    answer.decision,
                    decode_ms=answer.decode_ms,
                    publish_ms=publish_ms,
                    latency_ms=latency_ms,
                    age_ms=age,
                    energy=energy,
                )
            )
        except Exception as error:  # noqa: BLE001  the results are out; this is beside them
            self._node.get_logger().error(
                f'Statistics not published: {type(error).__name__}: {error}',
                throttle_duration_sec=THROTTLE_S,
            )

    def _refuse(self, reason: str) -> None:
        self._reporter.refusal = reason
        self._reporter.statistics.count('refused')
        self._node.get_logger().warning(
            f'Frame refused: {reason}', throttle_duration_sec=THROTTLE_S
        )
