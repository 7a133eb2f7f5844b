# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The node's output topics, and which tasks somebody listens to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, Image

from adamtl_ros.ros.images import to_message
from adamtl_ros.runtime.colour import colourise

try:
    from vision_msgs.msg import LabelInfo, VisionClass
except ImportError:
    LabelInfo = None

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rclpy.lifecycle import LifecycleNode
    from std_msgs.msg import Header

    from adamtl_ros.tasks import Task

INPUT_QOS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT
)
"""Cameras publish best effort or reliable; this matches both. Old frames are worth nothing."""

OUTPUT_QOS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.RELIABLE
)
LATCHED_QOS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)

HAS_LABEL_INFO = LabelInfo is not None
"""vision_msgs is installed."""


class TaskTopics:
    """The topics of one task: `~/<task>/image`, `color`, `camera_info`, `label_info`."""

    def __init__(self, node: LifecycleNode, task: Task) -> None:
        """Advertise the topics; labels are published at once for whoever comes later."""
        self.task = task
        self._node = node
        prefix = f'~/{task.name}'
        self._image = node.create_lifecycle_publisher(
            Image,
            f'{prefix}/image',
            OUTPUT_QOS,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        self._color = node.create_lifecycle_publisher(Image, f'{prefix}/color', OUTPUT_QOS)
        self._info = node.create_lifecycle_publisher(
            CameraInfo, f'{prefix}/camera_info', OUTPUT_QOS
        )
        self._labels = None
        if HAS_LABEL_INFO and task.classes:
            self._labels = node.create_publisher(LabelInfo, f'{prefix}/label_info', LATCHED_QOS)
            self._labels.publish(self._label_info())

    @property
    def wanted(self) -> bool:
        """Somebody subscribes to the result or to its colours."""
        return self._image.get_subscription_count() > 0 or self._color.get_subscription_count() > 0

    def publish(self, result: NDArray[np.generic], header: Header, info: CameraInfo | None) -> None:
        """Publish the result, and its calibration if one is known, to whoever subscribes.

        Args:
            result: Result of the task.
            header: Header of the input image.
            info: Calibration at the size of the result.

        """
        if self._image.get_subscription_count():
            self._image.publish(to_message(result, self.task.encoding, header))
        if info is not None and self._info.get_subscription_count():
            self._info.publish(info)

    def publish_color(self, result: NDArray[np.generic], header: Header) -> None:
        """Publish the result as colours, if somebody subscribes."""
        if self._color.get_subscription_count():
            self._color.publish(to_message(colourise(self.task, result), 'rgb8', header))

    def destroy(self) -> None:
        """Withdraw the topics."""
        for publisher in (self._image, self._color, self._info, self._labels):
            if publisher is not None:
                self._node.destroy_publisher(publisher)

    def _label_info(self) -> LabelInfo:
        classes = enumerate(self.task.classes)
        message = LabelInfo(class_map=[VisionClass(class_id=i, class_name=n) for i, n in classes])
        message.header.stamp = self._node.get_clock().now().to_msg()
        return message
