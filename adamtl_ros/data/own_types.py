# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Types of a bag with the node's outputs, for writing one without ROS."""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from rosbags.typesys import get_types_from_msg

import adamtl_ros
from adamtl_ros.data.bags import typestore

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore

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
