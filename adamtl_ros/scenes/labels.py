# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Labels of all tasks from the solid that each pixel shows."""

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


class SceneClass(IntEnum):
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
SCENE_CLASSES = tuple(class_id.name.lower() for class_id in SceneClass)
"""Class names of semantic segmentation by id."""
SCENE_TASKS = {**TASKS, 'semseg': TASKS['semseg'].with_classes(SCENE_CLASSES)}
"""All tasks, with the semantic classes of rendered scenes."""
STRUCTURE = (SceneClass.FLOOR, SceneClass.WALL, SceneClass.CEILING, SceneClass.COLUMN)
"""Classes of the room itself, which are never salient."""
ROOM_FACES = 6
"""Thing ids 0 to 5 are the sides of the room: four walls, floor, ceiling."""
FACE_CLASS = np.array([SceneClass.WALL] * 4 + [SceneClass.FLOOR, SceneClass.CEILING], np.uint8)
SMALLEST_SALIENT = 0.003
"""Minimum fraction of the image that a salient thing covers."""


def scene_labels(
    rendering: Rendering, solids: Sequence[Solid], things: NDArray[np.int16]
) -> dict[str, NDArray[np.generic]]:
    """Return the labels of all tasks in the form of `Sample`.

    Args:
        rendering: Result of the renderer.
        solids: Rendered solids, the room first.
        things: Id of the thing that each solid belongs to; see `ROOM_FACES`.

    """
    room = rendering.solid <= 0
    class_ids = np.array([solid.class_id for solid in solids], np.uint8)[rendering.solid]
    thing = np.where(room, rendering.face, things[rendering.solid]).astype(np.int16)
    semseg = np.where(room, FACE_CLASS[rendering.face], class_ids)
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
    """Return 1 for pixels whose right or lower neighbor shows another thing, (H, W)."""
    marked = np.zeros(thing.shape, np.uint8)
    marked[:, :-1] = thing[:, :-1] != thing[:, 1:]
    marked[:-1] |= thing[:-1] != thing[1:]
    return marked


def saliency(semseg: NDArray[np.uint8], thing: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Return 1 for salient pixels, (H, W): the largest and most central things, mainly people.

    A heuristic without eye tracking: the weight of a thing is the root of its area, times 0.5 at
    the corner of the image, times 1.5 for people; things with at least 0.6 of the largest weight
    are salient. Walls, floor, ceiling and columns never are.
    """
    height, width = thing.shape
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    distance = np.hypot(rows, columns).ravel() / np.sqrt(2)
    ids, flat = np.unique(thing, return_inverse=True)
    flat = flat.ravel()
    area = np.bincount(flat, minlength=len(ids)) / flat.size
    away = np.bincount(flat, distance, len(ids)) / flat.size / area
    class_id = np.zeros(len(ids), np.uint8)
    class_id[flat] = semseg.ravel()
    weight = np.sqrt(area) * (1 - 0.5 * away) * np.where(class_id == SceneClass.PERSON, 1.5, 1.0)
    weight[np.isin(class_id, STRUCTURE) | (area < SMALLEST_SALIENT)] = 0
    salient = (weight > 0) & (weight >= 0.6 * weight.max(initial=0))
    return salient[flat].reshape(thing.shape).astype(np.uint8)
