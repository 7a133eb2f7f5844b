# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Topic `~/overlay/image`: classes, people and edges over the camera image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sensor_msgs.msg import CompressedImage, Image

from adamtl_ros.ros.topics import jpeg_message, output_qos, to_message
from adamtl_ros.viz.overlay import OVERLAY_TASKS, Overlay

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray
    from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
    from std_msgs.msg import Header

    from adamtl_ros.tasks import Task


class OverlayTopic:
    """Publishers of the overlay, raw and as JPEG; drawn only while one has a subscriber."""

    def __init__(self, node: LifecycleNode, prefix: str, tasks: Mapping[str, Task]) -> None:
        """Set the names; `advertise()` creates the publishers.

        Args:
            node: Node to publish with.
            prefix: Name of the topic up to its last part, such as '~/overlay'.
            tasks: Tasks of the model by name.

        """
        self._node, self._prefix = node, prefix
        self._overlay = Overlay(tasks)
        self._publishers: dict[str, LifecyclePublisher[Any]] = {}

    def advertise(self) -> None:
        """Create the publishers."""
        create = self._node.create_lifecycle_publisher
        raw = f'{self._prefix}/image'
        self._publishers['raw'] = create(Image, raw, output_qos())
        self._publishers['jpeg'] = create(CompressedImage, f'{raw}/compressed', output_qos())

    def destroy(self) -> None:
        """Destroy the publishers."""
        for publisher in self._publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)
        self._publishers = {}

    def tasks(self) -> tuple[str, ...]:
        """Return the names of the tasks that it needs now: none without a subscriber."""
        return OVERLAY_TASKS if any(map(self._subscribed, self._publishers)) else ()

    def publish(
        self,
        image: NDArray[np.uint8],
        results: Mapping[str, NDArray[np.generic]],
        header: Header,
    ) -> None:
        """Draw and publish, if there is a subscriber.

        Args:
            image: Camera image, (H, W, 3) RGB.
            results: Results by task.
            header: Header of the camera image.

        """
        if not self.tasks():
            return
        picture = self._overlay.draw(image, results)
        if self._subscribed('raw'):
            self._publishers['raw'].publish(to_message(picture, 'rgb8', header))
        if self._subscribed('jpeg'):
            self._publishers['jpeg'].publish(jpeg_message(picture, header))

    def _subscribed(self, name: str) -> bool:
        return bool(self._publishers[name].get_subscription_count() > 0)
