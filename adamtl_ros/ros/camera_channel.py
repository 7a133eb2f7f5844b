# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""One camera of the node: its input topics, its results and its statistics."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from adamtl_ros.ros.context import CameraFrame
from adamtl_ros.ros.processor import Processor
from adamtl_ros.ros.reporter import Reporter
from adamtl_ros.ros.topics import describe_qos, input_qos, is_calibrated
from adamtl_ros.text import QUOTE_LIMIT, one_line

if TYPE_CHECKING:
    from rclpy.lifecycle import LifecycleNode
    from rclpy.subscription import Subscription

    from adamtl_ros.ros.context import NodeContext
    from adamtl_ros.runtime.worker import Mailbox

NO_IMAGE_AFTER_S = 5.0
"""Time without an image before a warning is logged [s]."""
MAX_NAMED = 5
"""Largest number of publishers that the warning names."""
REPEAT_S = 60.0
"""Period of repeating that warning [s]."""


class CameraChannel:
    """Inputs and outputs of a camera: puts its images into a mailbox and processes frames.

    Attributes:
        processor: Processor of the frames of the camera.
        reporter: Counters and reports of the camera.

    """

    def __init__(self, context: NodeContext) -> None:
        """Create the parts; `advertise()` creates the output topics, `start()` subscribes."""
        self._context = context
        self._mailbox: Mailbox[CameraFrame] | None = None
        self._subscriptions: list[Subscription[Any]] = []
        self._input = InputMonitor(context.node)
        self.reporter = Reporter(context)
        self.processor = Processor(context, self.reporter)

    def advertise(self) -> None:
        """Create the output topics."""
        self.reporter.advertise()
        self.processor.advertise()

    def start(self, mailbox: Mailbox[CameraFrame], transport: str) -> None:
        """Reset the counters and subscribe.

        Args:
            mailbox: Mailbox that receives the images.
            transport: 'raw' or 'compressed'.

        """
        self.reporter.reset()
        self._mailbox = mailbox
        image = self._subscribe_image(transport)
        self._subscriptions = [image, self._subscribe_info()]
        self.reporter.image_topic = image.topic_name
        self._input.start(image)

    def stop(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions:
            self._context.node.destroy_subscription(subscription)
        self._subscriptions = []
        self._mailbox = None

    def destroy(self) -> None:
        """Destroy the output topics."""
        self.processor.destroy()
        self.reporter.destroy()

    def report(self) -> None:
        """Publish diagnostics and statistics; warn in the log if images are missing."""
        self._input.check()
        self.reporter.report(self.processor.active_tasks())

    def _subscribe_image(self, transport: str) -> Subscription[Any]:
        node = self._context.node
        message_type, topic = Image, self._context.topic('image')
        if transport == 'compressed':
            message_type, topic = CompressedImage, f'{node.resolve_topic_name(topic)}/compressed'
        return node.create_subscription(
            message_type,
            topic,
            lambda serialized: self._on_image(serialized, message_type),
            input_qos(),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            raw=True,
        )

    def _subscribe_info(self) -> Subscription[Any]:
        return self._context.node.create_subscription(
            CameraInfo, self._context.info_topic, self._on_camera_info, input_qos()
        )

    def _on_image(self, serialized: bytes, message_type: type[Image | CompressedImage]) -> None:
        mailbox = self._mailbox
        if mailbox is None:
            return  # deactivated from another thread while this message was on its way
        arrival_s = self.reporter.image_arrived()
        self._input.image_arrived(arrival_s)
        camera = self._context.camera
        if not self.processor.active_tasks():
            self.reporter.counters.count('idle')
        elif mailbox.put(CameraFrame(camera, serialized, message_type, arrival_s), camera):
            self.reporter.counters.count('dropped')

    def _on_camera_info(self, info: CameraInfo) -> None:
        if self.processor.camera_info is None and not is_calibrated(info):
            self.reporter.lens.warn_uncalibrated(info)
        self.processor.camera_info = info


class InputMonitor:
    """Monitor that logs missing images, with what to check, and images that arrive again."""

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        self._subscription: Subscription[Any] | None = None
        self._last_s = self._next_warning_s = 0.0
        self._missing = True

    def start(self, subscription: Subscription[Any]) -> None:
        """Start to expect images.

        Args:
            subscription: Subscription to the images.

        """
        self._subscription = subscription
        self._last_s = time.monotonic()
        self._next_warning_s = self._last_s + NO_IMAGE_AFTER_S
        self._missing = True

    def image_arrived(self, now: float) -> None:
        """Record an image; log the first one, and the first one after a warning.

        Args:
            now: Steady clock [s].

        """
        self._last_s, self._next_warning_s = now, now + NO_IMAGE_AFTER_S
        if self._missing and self._subscription is not None:
            self._missing = False
            self._node.get_logger().info(f'Images arrive on {self._subscription.topic_name}')

    def check(self) -> None:
        """Log a warning if images are missing, then once a minute."""
        now = time.monotonic()
        if self._subscription is None or now < self._next_warning_s:
            return
        self._missing, self._next_warning_s = True, now + REPEAT_S
        message = self._describe(self._subscription, now - self._last_s)
        self._node.get_logger().warning(message)

    def _describe(self, subscription: Subscription[Any], seconds: float) -> str:
        topic, kind = subscription.topic_name, subscription.msg_type.__name__
        requested = f'{kind}, {describe_qos(subscription.qos_profile)}'
        publishers = self._node.get_publishers_info_by_topic(topic)
        if not publishers:
            advice = (
                'the topic has no publisher: check that the camera runs, the name of the topic, '
                'image_transport and ROS_DOMAIN_ID'
            )
        else:
            offered = '; '.join(
                f'{one_line(p.topic_type.rpartition("/")[2], QUOTE_LIMIT)}, '
                f'{describe_qos(p.qos_profile)}, from {one_line(p.node_name, QUOTE_LIMIT)}'
                for p in publishers[:MAX_NAMED]
            )
            advice = (
                f'it is published as ({offered}): check that the camera sends, and that type and '
                'QoS are compatible'
            )
        return f'No image on {topic} ({requested}) for {seconds:.0f} s; {advice}'
