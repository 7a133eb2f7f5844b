# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Messages for bags: results, labels and class names, as the node publishes them."""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rosbags.typesys import get_types_from_msg

import adamtl_ros
from adamtl_ros.bags.reader import RAW, typestore

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rosbags.typesys.store import Typestore

    from adamtl_ros.tasks import Task

STATS = 'adamtl_ros/msg/ComputeStats'
LABEL_INFO = 'vision_msgs/msg/LabelInfo'
DEFINITIONS = {
    LABEL_INFO: 'std_msgs/Header header\nvision_msgs/VisionClass[] class_map\nfloat32 threshold',
    'vision_msgs/msg/VisionClass': 'uint16 class_id\nstring class_name',
}


@lru_cache(maxsize=1)
def own_typestore() -> Typestore:
    """Return the standard types, `ComputeStats`, and vision_msgs' `LabelInfo`.

    Raises:
        FileNotFoundError: The definition of `ComputeStats` was not installed.

    """
    store = typestore()
    for name, text in {**DEFINITIONS, STATS: _definition('ComputeStats')}.items():
        store.register(get_types_from_msg(text, name))
    return store


def _definition(name: str) -> str:
    package = Path(adamtl_ros.__file__).resolve().parent
    # A checkout, a colcon install (lib/pythonX/site-packages/adamtl_ros), pip's data files.
    above = [package.parent, *(up / 'share' / 'adamtl_ros' for up in package.parents[:5])]
    places = [*above, Path(sys.prefix) / 'share' / 'adamtl_ros']
    for place in places:
        path = place / 'msg' / f'{name}.msg'
        if path.is_file():
            return path.read_text()
    raise FileNotFoundError(f'msg/{name}.msg is in none of {", ".join(map(str, places))}')


def header(stamp: int, frame_id: str) -> object:
    """Return a header with a stamp in nanoseconds."""
    types = own_typestore().types
    time = types['builtin_interfaces/msg/Time'](*divmod(stamp, 1_000_000_000))
    return types['std_msgs/msg/Header'](time, frame_id)


def task_image(head: object, task: Task, result: NDArray[Any]) -> object:
    """Return the `Image` of a result, (H, W) or (H, W, 3), in the encoding of its task."""
    data = np.ascontiguousarray(result)
    height, width = data.shape[:2]
    pixels = data.view(np.uint8).ravel()
    kind = own_typestore().types[RAW]
    return kind(head, height, width, task.encoding, 0, data.nbytes // height, pixels)


def label_info(head: object, task: Task) -> object:
    """Return the `LabelInfo` with the class names of a task."""
    types = own_typestore().types
    entry = types['vision_msgs/msg/VisionClass']
    names = [entry(number, name) for number, name in enumerate(task.classes)]
    return types[LABEL_INFO](head, names, 0.0)
