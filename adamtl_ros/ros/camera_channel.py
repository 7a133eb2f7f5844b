# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""One camera of the node: its input topics, its results and its statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from adamtl_ros.ros.images import is_calibrated
from adamtl_ros.ros.processor import Frame, Processor
from adamtl_ros.ros.reporter import Reporter
from adamtl_ros.ros.topics import input_qos

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclpy.lifecycle import LifecycleNode
    from rclpy.subscription import Subscription

    from adamtl_ros.ros.governor_inputs import GovernorInputs
    from adamtl_ros.ros.parameters import LiveSettings
    from adamtl_ros.runtime.adapter_manager import AdapterManager
    from adamtl_ros.runtime.worker import Mailbox


class CameraChannel:
    """Puts the images of a camera into the mailbox, and publishes what is made of them.

    Attributes:
        name: Of the camera, before its topics; '' for the only one.
        processor: Handles its frames.
        reporter: Counts them and tells of them.

    """

    def __init__(
        self,
        node: LifecycleNode,
        name: str,
        switch: AdapterManager,
        settings: Callable[[], LiveSettings],
        governing: GovernorInputs,
    ) -> None:
        """Prepare; `advertise()` makes the topics of the results.

        Args:
            node: Node to publish and subscribe with.
            name: Of the camera; '' for the only one.
            switch: Has the engine; shared by all cameras.
            settings: Gives the run-time parameters of this moment.
            governing: Decides on the budget of every frame; shared by all cameras.

        """
        self.name = name
        self._node = node
        self._mailbox: Mailbox[Job] | None = None
        self._inputs: list[Subscription[Any]] = []
        self.reporter = Reporter(node, name, switch, settings, governing)
        self.processor = Processor(node, name, switch, settings, self.reporter, governing)

    def advertise(self) -> None:
        """Make the topics of the results."""
        self.reporter.advertise()
        self.processor.advertise()

    def start(self, mailbox: Mailbox[Job], transport: str) -> None:
        """Begin to count anew, and subscribe.

        Args:
            mailbox: Where images go.
            transport: 'raw' or 'compressed'.

        """
        self.reporter.restart()
        self._mailbox = mailbox
        self._inputs = [self._subscribe_image(transport), self._subscribe_info()]
        self.reporter.image_topic = self._inputs[0].topic_name

    def stop(self) -> None:
        """Unsubscribe."""
        for subscription in self._inputs:
            self._node.destroy_subscription(subscription)
        self._inputs = []
        self._mailbox = None

    def destroy(self) -> None:
        """Withdraw the results."""
        self.processor.destroy()
        self.reporter.destroy()

    def _subscribe_image(self, transport: str) -> Subscription[Any]:
        kind, topic = Image, self._topic('image')
        if transport == 'compressed':
            kind, topic = CompressedImage, self._node.resolve_topic_name(topic) + '/compressed'
        return self._node.create_subscription(
            kind,
            topic,
            lambda raw: self._on_image(raw, kind),
            input_qos(),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            raw=True,
        )

    def _subscribe_info(self) -> Subscription[Any]:
        topic = self._topic('camera_info')
        return self._node.create_subscription(CameraInfo, topic, self._on_camera_info, input_qos())

    def _topic(self, name: str) -> str:
        return f'{self.name}/{name}' if self.name else name

    def _on_image(self, raw: bytes, kind: type[Image | CompressedImage]) -> None:
        mailbox = self._mailbox
        if mailbox is None:
            return  # deactivated from another thread while this message was on its way
        arrived = self.reporter.image_arrived()
        if not self.processor.wanted():
            self.reporter.statistics.count('idle')
        elif mailbox.put((self, Frame(raw, kind, arrived)), self.name):
            self.reporter.statistics.count('dropped')

    def _on_camera_info(self, info: CameraInfo) -> None:
        if self.processor.camera_info is None and not is_calibrated(info):
            topic = self._topic('camera_info')
            self._node.get_logger().warning(f'{topic} has K = 0: the camera is not calibrated')
        self.processor.camera_info = info


Job = tuple[CameraChannel, Frame]
"""A frame and whose it is."""
