# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Results and labels as the messages of a bag, without ROS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from adamtl_ros.data.bags import RAW
from adamtl_ros.data.own_types import LABEL_INFO, own_typestore

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from adamtl_ros.tasks import Task


def header(stamp: int, frame_id: str) -> object:
    """Return a header with a stamp in nanoseconds."""
    types = own_typestore().types
    time = types['builtin_interfaces/msg/Time'](*divmod(stamp, 1_000_000_000))
    return types['std_msgs/msg/Header'](time, frame_id)


def task_image(head: object, task: Task, result: NDArray[Any]) -> object:
    """Return a result of a task as the node publishes it."""
    data = np.ascontiguousarray(result)
    height, width = data.shape[:2]
    pixels = data.view(np.uint8).ravel()
    kind = own_typestore().types[RAW]
    return kind(head, height, width, task.encoding, 0, data.nbytes // height, pixels)


def label_info(head: object, task: Task) -> object:
    """Return the class names of a task as the node publishes them."""
    types = own_typestore().types
    entry = types['vision_msgs/msg/VisionClass']
    names = [entry(number, name) for number, name in enumerate(task.classes)]
    return types[LABEL_INFO](head, names, 0.0)
