# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the pixels of drawn scenes can mean."""

from __future__ import annotations

from enum import IntEnum

from adamtl_ros.tasks import PASCAL_PARTS, TASKS


class Meaning(IntEnum):
    """Class ids of semantic segmentation."""

    FLOOR = 0
    WALL = 1
    CEILING = 2
    PERSON = 3
    TABLE = 4
    CHAIR = 5
    BOX = 6
    BALL = 7
    LAMP = 8
    COLUMN = 9


class Part(IntEnum):
    """Human parts, in PASCAL's order."""

    NONE = 0
    HEAD = 1
    TORSO = 2
    UPPER_ARM = 3
    LOWER_ARM = 4
    UPPER_LEG = 5
    LOWER_LEG = 6


assert len(Part) == len(PASCAL_PARTS)

SCENE_CLASSES = tuple(meaning.name.lower() for meaning in Meaning)
"""Class names of semantic segmentation by id."""

SCENE_TASKS = {**TASKS, 'semseg': TASKS['semseg'].with_classes(SCENE_CLASSES)}
"""All tasks, with the classes of drawn scenes."""

STRUCTURE = (Meaning.FLOOR, Meaning.WALL, Meaning.CEILING, Meaning.COLUMN)
"""What a room is made of; it is never salient."""
