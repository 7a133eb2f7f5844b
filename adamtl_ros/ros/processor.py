# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Processing of one camera frame, on the worker's thread."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rclpy.serialization import deserialize_message

from adamtl_ros.bags.images import ImageError, decode_image
from adamtl_ros.ros.context import ProcessedFrame
from adamtl_ros.ros.overlay import OverlayTopic
from adamtl_ros.ros.reporter import FrameTimes, age_ms, frame_stats
from adamtl_ros.ros.topics import TaskTopics, scale_camera_info
from adamtl_ros.runtime.threads import return_freed_memory
from adamtl_ros.text import one_line, reason

if TYPE_CHECKING:
    from sensor_msgs.msg import CameraInfo

    from adamtl_ros.ros.context import CameraFrame, NodeContext
    from adamtl_ros.ros.reporter import Reporter

MUCH_SMALLER = 4
"""Ratio of the pixels of two frames from which the memory of the larger one is returned."""
THROTTLE_S = 5.0
"""Shortest time between two log messages about frames [s]."""


class Processor:
    """Decodes a frame, runs the active tasks, and publishes results and statistics.

    Attributes:
        camera_info: Latest calibration of the camera; None until one arrives.

    """

    def __init__(self, context: NodeContext, reporter: Reporter) -> None:
        """Create the topics of all tasks; `advertise()` creates their publishers.

        Args:
            context: Objects of the node.
            reporter: Reporter that counts every frame.

        """
        self._context, self._reporter = context, reporter
        self._topics = {
            name: TaskTopics(context.node, context.private_topic(name), task)
            for name, task in context.engine.model.network.tasks.items()
        }
        prefix = context.private_topic('overlay')
        self._overlay = OverlayTopic(context.node, prefix, context.engine.model.network.tasks)
        self.camera_info: CameraInfo | None = None
        self._pixels = 0

    def advertise(self) -> None:
        """Create the publishers of all tasks."""
        for topics in self._topics.values():
            topics.advertise()
        self._overlay.advertise()

    def destroy(self) -> None:
        """Destroy the publishers of all tasks."""
        for topics in self._topics.values():
            topics.destroy()
        self._overlay.destroy()

    def active_tasks(self) -> tuple[str, ...]:
        """Return the names of the enabled tasks that have a subscriber or are in the overlay."""
        enabled, used = self._context.settings.tasks, self._overlay.tasks()
        return tuple(
            n
            for n in enabled
            if n in self._topics and (n in used or self._topics[n].has_subscriber)
        )

    def process(self, frame: CameraFrame) -> None:
        """Process a frame. Never raises: a frame that fails is refused and counted."""
        counters = self._reporter.counters
        try:
            processed = self._infer(frame)
            if processed is None:
                counters.count('idle')
                return
            inferred_s = time.perf_counter()
            self._publish(processed)
        except ImageError as error:
            self._refuse(str(error))
        except Exception as error:  # noqa: BLE001  one bad frame must not take the node down
            if self._context.node.context.ok():
                self._refuse(reason(error))
            else:
                counters.count('dropped')  # the process ends, and with it this frame
        else:
            self._report(frame, processed, 1000 * (time.perf_counter() - inferred_s))

    def _infer(self, frame: CameraFrame) -> ProcessedFrame | None:
        """Decode a frame and run the active tasks; return None if there are none."""
        tasks = self.active_tasks()
        if not tasks:
            return None
        decision, start_j = self._context.governor.decide(), self._context.governor.joules()
        start_s = time.perf_counter()
        message = deserialize_message(frame.serialized, frame.message_type)
        image = decode_image(message, self._context.settings.max_megapixels)
        decode_ms = 1000 * (time.perf_counter() - start_s)
        self._return_memory(image.shape[0] * image.shape[1])
        engine = self._context.engine  # read once: the next frame may have another one
        focal = self._reporter.lens.update(self.camera_info, image.shape[:2], tasks)
        inference = engine.run(image, decision.budget, tasks, focal)
        return ProcessedFrame(
            header=message.header,
            image=image,
            inference=inference,
            model=engine.model.name,
            decision=decision,
            start_s=start_s,
            start_j=start_j,
            decode_ms=decode_ms,
        )

    def _return_memory(self, pixels: int) -> None:
        """Return the memory of a frame that was much larger than the next one."""
        if MUCH_SMALLER * pixels <= self._pixels:
            return_freed_memory()
        self._pixels = pixels

    def _publish(self, frame: ProcessedFrame) -> None:
        info = self._scaled_info(frame)
        for name, result in frame.inference.results.items():
            self._topics[name].publish(result, frame.header, info)

    def _scaled_info(self, frame: ProcessedFrame) -> CameraInfo | None:
        """Return the calibration at the size of the results, if it is known and subscribed to."""
        results = frame.inference.results
        if self.camera_info is None or not any(
            self._topics[n].has_info_subscriber for n in results
        ):
            return None
        height, width = next(iter(results.values())).shape[:2]
        y, x = height / frame.image.shape[0], width / frame.image.shape[1]
        return scale_camera_info(self.camera_info, frame.header, y, x)

    def _report(self, arrived: CameraFrame, frame: ProcessedFrame, publish_ms: float) -> None:
        """Count a published frame, update the governor, and publish color images and statistics."""
        latency_ms = 1000 * (time.monotonic() - arrived.arrival_s)
        work_s = time.perf_counter() - frame.start_s
        settings = self._context.settings
        self._reporter.counters.count_processed(latency_ms, settings.deadline_ms)
        # With a rate limit a frame also waits for its turn, which no budget makes shorter.
        limited = settings.max_rate_hz > 0
        governor = self._context.governor
        governor.add_latency(frame.decision.budget, 1000 * work_s if limited else latency_ms)
        inference = frame.inference
        times = FrameTimes(
            decode_ms=frame.decode_ms,
            preprocess_ms=float(inference.preprocess_ms),
            infer_ms=float(inference.infer_ms),
            postprocess_ms=float(inference.postprocess_ms),
            publish_ms=publish_ms,
            latency_ms=latency_ms,
            age_ms=age_ms(frame.header, self._context.node.get_clock()),
            energy=governor.energy_since(frame.start_j, work_s),
        )
        self._publish_extras(frame, times)

    def _publish_extras(self, frame: ProcessedFrame, times: FrameTimes) -> None:
        """Publish color images, overlay and statistics; a failure costs these only.

        They come after the results, so that a viewer does not delay the other subscribers.
        """
        try:
            for name, result in frame.inference.results.items():
                self._topics[name].publish_color(result, frame.header)
            self._overlay.publish(frame.image, frame.inference.results, frame.header)
            self._reporter.publish_stats(frame_stats(frame, times))
        except Exception as error:  # noqa: BLE001  the results are already published
            self._context.node.get_logger().error(
                f'Statistics not published: {reason(error)}',
                throttle_duration_sec=THROTTLE_S,
            )

    def _refuse(self, problem: str) -> None:
        self._reporter.refusal = one_line(problem)
        self._reporter.counters.count('refused')
        self._context.node.get_logger().warning(
            f'Frame refused: {self._reporter.refusal}', throttle_duration_sec=THROTTLE_S
        )
