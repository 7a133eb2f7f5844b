# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The node's output topics, and which tasks somebody listens to."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSProfile,
    ReliabilityPolicy,
    qos_profile_sensor_data,
)
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, Image

from adamtl_ros.ros.images import to_message
from adamtl_ros.viz.colorize import colorize

try:
    from vision_msgs.msg import LabelInfo, VisionClass
except ImportError:
    LabelInfo = None

__all__ = ['HAS_LABEL_INFO', 'LabelInfo', 'TaskTopics', 'input_qos', 'latched_qos', 'output_qos']

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
    from rclpy.publisher import Publisher
    from std_msgs.msg import Header

    from adamtl_ros.tasks import Task

HAS_LABEL_INFO = LabelInfo is not None
"""vision_msgs is installed."""


# Profiles are made anew for every topic: rclpy writes overrides into the object it is given.


def input_qos() -> QoSProfile:
    """Match best-effort and reliable cameras alike, as ROS's own profile for sensor data does.

    Only the newest image is worth anything, and the mailbox sees to that and counts the others;
    a queue of one would overwrite some of them unseen while the process is busy.
    """
    return copy(qos_profile_sensor_data)


def output_qos() -> QoSProfile:
    """Reach reliable and best-effort subscribers alike."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.RELIABLE
    )


def latched_qos() -> QoSProfile:
    """Keep the last message for whoever comes later."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=1,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
    )


class TaskTopics:
    """The topics of one task: `~/<task>/image`, `color`, `camera_info`, `label_info`.

    Of one camera of several: `~/<camera>/<task>/image` and so on.
    """

    def __init__(self, node: LifecycleNode, task: Task, camera: str = '') -> None:
        """Prepare; `advertise()` makes the topics."""
        self.task = task
        self._prefix = f'~/{camera}/{task.name}' if camera else f'~/{task.name}'
        self._node = node
        self._managed: dict[str, LifecyclePublisher[Any]] = {}
        self._labels: Publisher[Any] | None = None

    def advertise(self) -> None:
        """Make the topics; labels are published at once for whoever comes later."""
        prefix, create = self._prefix, self._node.create_lifecycle_publisher
        overridable = QoSOverridingOptions.with_default_policies()
        self._managed['image'] = create(
            Image, f'{prefix}/image', output_qos(), qos_overriding_options=overridable
        )
        self._managed['color'] = create(Image, f'{prefix}/color', output_qos())
        self._managed['info'] = create(CameraInfo, f'{prefix}/camera_info', output_qos())
        if HAS_LABEL_INFO and self.task.classes:
            self._labels = self._node.create_publisher(
                LabelInfo, f'{prefix}/label_info', latched_qos()
            )
            self._labels.publish(self._label_info())

    def destroy(self) -> None:
        """Withdraw the topics."""
        for publisher in self._managed.values():
            self._node.destroy_lifecycle_publisher(publisher)
        self._managed = {}
        if self._labels is not None:
            self._node.destroy_publisher(self._labels)
            self._labels = None

    @property
    def wanted(self) -> bool:
        """Somebody subscribes to the result or to its colours."""
        return self._has_subscriber('image') or self._has_subscriber('color')

    @property
    def wants_info(self) -> bool:
        """Somebody subscribes to the calibration."""
        return self._has_subscriber('info')

    def publish(self, result: NDArray[np.generic], header: Header, info: CameraInfo | None) -> None:
        """Publish the result, and its calibration if one is known, to whoever subscribes.

        Args:
            result: Result of the task.
            header: Header of the input image.
            info: Calibration at the size of the result.

        """
        if self._has_subscriber('image'):
            self._managed['image'].publish(to_message(result, self.task.encoding, header))
        if info is not None and self._has_subscriber('info'):
            self._managed['info'].publish(info)

    def publish_color(self, result: NDArray[np.generic], header: Header) -> None:
        """Publish the result as colours, if somebody subscribes."""
        if self._has_subscriber('color'):
            picture = colorize(self.task, result)
            self._managed['color'].publish(to_message(picture, 'rgb8', header))

    def _has_subscriber(self, topic: str) -> bool:
        publisher = self._managed.get(topic)
        return publisher is not None and publisher.get_subscription_count() > 0

    def _label_info(self) -> LabelInfo:
        classes = enumerate(self.task.classes)
        message = LabelInfo(class_map=[VisionClass(class_id=i, class_name=n) for i, n in classes])
        message.header.stamp = self._node.get_clock().now().to_msg()
        return message
