# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Scene of the demo: first one person in a bare room, then more people and things."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from adamtl_ros.scenes.labels import SceneClass
from adamtl_ros.scenes.objects import Person, ball, box, chair, column, lamp, material, table, wood
from adamtl_ros.scenes.render import Light, Lighting
from adamtl_ros.scenes.scene import Scene, View, Walker
from adamtl_ros.scenes.solids import Shape, Solid, Surface, transform

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROOM = np.array([9.0, 7.0, 2.8])
PLACES = (
    (table, 5.6, 4.6), (chair, 5.2, 3.7), (chair, 6.3, 3.9), (chair, 5.0, 5.5), (lamp, 7.9, 5.9),
    (box, 7.2, 3.2), (box, 6.6, 5.9), (ball, 4.6, 2.9), (ball, 6.9, 2.5), (table, 8.0, 4.4),
    (chair, 7.5, 5.0), (lamp, 4.4, 6.2), (box, 8.3, 2.9),
)  # fmt: skip
"""Things and their places on the floor, x and y [m]; the left of the room is bare."""
PATHS = (
    (0.0, (-0.6, 4.2), (5.6, 3.3), 1.1),
    (3.6, (9.6, 3.6), (3.8, 3.6), 1.0),
    (4.8, (9.6, 2.2), (4.2, 4.2), 0.9),
    (5.6, (9.6, 5.2), (4.0, 5.0), 1.1),
    (6.4, (9.6, 2.9), (5.2, 2.7), 0.8),
)
"""Time of entering [s], start and end [m] and speed [m/s] of people, all from behind a wall."""


def demo_scene(duration: float = 10.0, seed: int = 2) -> Scene:
    """Return the scene.

    Args:
        duration: Time in which the camera turns from the bare side to the full one [s].
        seed: Random seed of colors, patterns and people.

    """
    random = np.random.default_rng(seed)
    room = Solid(Shape.ROOM, ROOM / 2, ROOM / 2, Surface((1, 1, 1)), SceneClass.FLOOR)
    wall = Surface((0.75, 0.72, 0.64))
    view = View(
        np.array([4.2, 0.6, 1.6]), np.array([4.6, 4.6, 1.25]), sway=0.12, pan=0.55,
        period=2 * duration, fov=1.15, phase=np.pi / 2,
    )  # fmt: skip
    lights = (Light(ROOM * (0.35, 0.5, 0.9), 0.8, 0.4), Light(ROOM * (0.8, 0.6, 0.9), 0.6, 0.4))
    return Scene(
        seed, float('nan'), room, (wood(random), wall, Surface((0.85, 0.85, 0.85))),
        _things(random), _pictures(random), _people(random, duration), view,
        Lighting(lights, ambient=0.45, noise=0.008),
    )  # fmt: skip


def _things(random: np.random.Generator) -> tuple[tuple[Solid, ...], ...]:
    things = []
    for maker, x, y in PLACES:
        solids, _ = maker(random, 0.6)
        things.append(tuple(transform(solids, random.uniform(0, 2 * np.pi), (x, y, 0))))
    pillar, _ = column(random, 0.6, ROOM[2])
    return (*things, tuple(transform(pillar, 0, (8.4, 6.3, 0))))


def _pictures(random: np.random.Generator) -> tuple[tuple[int, Solid], ...]:
    """Return pictures on the far wall, towards the full side."""
    pictures = []
    for x in (4.4, 5.9, 7.3):
        half: NDArray[np.float64] = np.array([random.uniform(0.25, 0.5), 0.015, 0.3])
        look = material(random, 1)
        pictures.append((3, Solid(Shape.BOX, (x, ROOM[1], 1.6), half, look, SceneClass.WALL)))
    return tuple(pictures)


def _people(random: np.random.Generator, duration: float) -> tuple[Walker, ...]:
    return tuple(
        Walker(
            Person.random(random, 0.5), np.array(start), np.array(end), speed,
            enters=duration / 10 * enters,
        )
        for enters, start, end, speed in PATHS
    )  # fmt: skip
