# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Labels of every task from which thing each pixel shows."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from adamtl_ros.tasks import PASCAL_PARTS, TASKS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from adamtl_ros.scenes.render import Rendering
    from adamtl_ros.scenes.solids import Solid


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
ROOM_FACES = 6
"""Thing ids 0 to 5 are the sides of the room: four walls, floor, ceiling."""
FACE_MEANING = np.array([Meaning.WALL] * 4 + [Meaning.FLOOR, Meaning.CEILING], np.uint8)
SMALLEST_SALIENT = 0.003
"""Share of the image that a thing must cover to be salient."""


def scene_labels(
    rendering: Rendering, solids: Sequence[Solid], things: NDArray[np.int16]
) -> dict[str, NDArray[np.generic]]:
    """Return the labels of all tasks, as `Sample` has them.

    Args:
        rendering: What the camera sees.
        solids: What was drawn, the room first.
        things: Id of the thing that each solid belongs to; see `ROOM_FACES`.

    """
    room = rendering.solid <= 0
    meanings = np.array([solid.meaning for solid in solids], np.uint8)[rendering.solid]
    thing = np.where(room, rendering.face, things[rendering.solid]).astype(np.int16)
    semseg = np.where(room, FACE_MEANING[rendering.face], meanings)
    parts = np.array([solid.part for solid in solids], np.uint8)[rendering.solid]
    return {
        'semseg': semseg,
        'human_parts': parts,
        'normals': rendering.normals,
        'saliency': saliency(semseg, thing),
        'depth': rendering.depth,
        'edges': edges(thing),
    }


def edges(thing: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Mark the pixels whose right or lower neighbour shows another thing."""
    marked = np.zeros(thing.shape, np.uint8)
    marked[:, :-1] = thing[:, :-1] != thing[:, 1:]
    marked[:-1] |= thing[:-1] != thing[1:]
    return marked


def saliency(semseg: NDArray[np.uint8], thing: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Mark what stands out: the largest and most central things, people before others.

    A rule, since nobody's eyes were tracked: a thing's weight is the root of its area, half
    of it at the image's corner, half as much again for people; those with at least 0.6 of the
    largest weight are salient. Walls, floor, ceiling and columns never are.
    """
    height, width = thing.shape
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    distance = np.hypot(rows, columns).ravel() / np.sqrt(2)
    ids, flat = np.unique(thing, return_inverse=True)
    flat = flat.ravel()
    area = np.bincount(flat, minlength=len(ids)) / flat.size
    away = np.bincount(flat, distance, len(ids)) / flat.size / area
    meaning = np.zeros(len(ids), np.uint8)
    meaning[flat] = semseg.ravel()
    weight = np.sqrt(area) * (1 - 0.5 * away) * np.where(meaning == Meaning.PERSON, 1.5, 1.0)
    weight[np.isin(meaning, STRUCTURE) | (area < SMALLEST_SALIENT)] = 0
    salient = (weight > 0) & (weight >= 0.6 * weight.max(initial=0))
    return salient[flat].reshape(thing.shape).astype(np.uint8)
