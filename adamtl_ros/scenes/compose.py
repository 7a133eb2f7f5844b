# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Random scenes, from a bare room to a crowded one, and the scene of the demo."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from adamtl_ros.scenes.labels import SceneClass
from adamtl_ros.scenes.objects import (
    FURNITURE,
    Person,
    ball,
    box,
    chair,
    color,
    column,
    lamp,
    material,
    table,
    wood,
)
from adamtl_ros.scenes.render import Light, Lighting
from adamtl_ros.scenes.scene import Scene, View, Walker
from adamtl_ros.scenes.solids import Pattern, Shape, Solid, Surface, transform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Point = NDArray[np.float64]

MAX_THINGS, MAX_PEOPLE, MAX_PICTURES = 14, 5, 7
CLEAR_M = 0.9
"""Minimum distance of anything from the mean position of the camera, which sways by 0.3 m."""


def random_scene(seed: int, difficulty: float | None = None) -> Scene:
    """Return a random scene.

    Args:
        seed: Random seed; the same seed gives the same scene.
        difficulty: From 0 (a bare, bright room) to 1 (five people, fourteen things, busy
            patterns, dim light); random by default. It sets the mean of the number of people
            and things, the fraction of patterned surfaces, light and noise.

    Raises:
        ValueError: A difficulty outside 0..1.

    """
    random = np.random.default_rng(seed)
    # Sampled in any case, so that the difficulty does not change what follows.
    sampled = random.random()
    level = sampled if difficulty is None else difficulty
    if not 0 <= level <= 1:
        raise ValueError(f'difficulty must lie in 0..1, got {level}')
    size = np.array([random.uniform(4.5, 9), random.uniform(4.5, 9), random.uniform(2.4, 3.2)])
    view = _view(random, size)
    floor = _Floor(random, size, view)
    things = _things(random, level, floor, size[2])
    walkers = tuple(_walker(random, level, floor) for _ in range(_people(random, level)))
    room = Solid(Shape.ROOM, size / 2, size / 2, Surface((1, 1, 1)), SceneClass.FLOOR)
    decoration = tuple(_decoration(random, level, size))
    surfaces = _surfaces(random, level)
    lighting = _lighting(random, level, size)
    return Scene(seed, level, room, surfaces, things, decoration, walkers, view, lighting)


class _Floor:
    """Sampler of free places on the floor, most of them in view."""

    def __init__(self, random: np.random.Generator, size: Point, view: View) -> None:
        self.random, self.size = random, size
        self.eye = view.eye[:2]
        gaze = view.target[:2] - self.eye
        self.gaze = gaze / np.linalg.norm(gaze)
        self.spread = view.fov / 2 + view.pan
        self.taken: list[tuple[Point, float]] = []

    def place(self, radius: float, *, keep: bool = True) -> Point | None:
        """Return a free place for a disc of a radius [m]; None if none was found."""
        for _ in range(30):
            point = self._draw()
            inside = (point > radius + 0.05).all() and (point < self.size[:2] - radius - 0.05).all()
            far = np.linalg.norm(point - self.eye) > radius + CLEAR_M
            free = all(np.linalg.norm(point - p) > radius + r for p, r in self.taken)
            if inside and far and free:
                if keep:
                    self.taken.append((point, radius))
                return point
        return None

    def _draw(self) -> Point:
        if self.random.random() < 0.15:
            return self.random.uniform(0, 1, 2) * self.size[:2]
        angle = self.random.uniform(-self.spread, self.spread)
        distance = self.random.uniform(CLEAR_M, 7)
        c, s = np.cos(angle), np.sin(angle)
        x, y = self.gaze
        return np.asarray(self.eye + distance * np.array([c * x - s * y, s * x + c * y]))


def _view(random: np.random.Generator, size: Point) -> View:
    """Return a camera near a wall, at the height of eyes or of a robot, looking across the room."""
    along = random.uniform(0.25, 0.75) * size[0]
    height = random.uniform(1.45, 1.8) if random.random() < 0.6 else random.uniform(0.4, 1.1)
    eye = np.array([along, random.uniform(0.5, 1.0), height])
    if random.random() < 0.5:
        eye[:2] = eye[1], np.clip(along, 0.6, size[1] - 0.6)
    middle = size / 2 + random.uniform(-0.8, 0.8, 3) * (1, 1, 0)
    middle[2] = height - random.uniform(-0.1, 0.5)
    return View(
        eye,
        middle,
        sway=random.uniform(0.05, 0.3),
        pan=random.uniform(0.05, 0.35),
        period=random.uniform(8, 20),
        fov=random.uniform(0.95, 1.35),
        phase=random.uniform(0, 2 * np.pi),
    )


def _things(
    random: np.random.Generator, level: float, floor: _Floor, ceiling: float
) -> tuple[tuple[Solid, ...], ...]:
    things = []
    count = round(random.uniform(0, 1.5) + MAX_THINGS * level * random.uniform(0.7, 1))
    for _ in range(min(count, MAX_THINGS)):
        if random.random() < 0.08:
            solids, radius = column(random, level, ceiling)
        else:
            solids, radius = FURNITURE[random.integers(len(FURNITURE))](random, level)
        place = floor.place(radius)
        if place is not None:
            solids = transform(solids, random.uniform(0, 2 * np.pi), (*place, 0))
            things.append(tuple(solids))
    return tuple(things)


def _people(random: np.random.Generator, level: float) -> int:
    return round(random.uniform(0, 1) + (MAX_PEOPLE - 1) * level * random.uniform(0.6, 1))


def _walker(random: np.random.Generator, level: float, floor: _Floor) -> Walker:
    """Return a random person on a path clear of the camera; most of them walk."""
    person = Person.random(random, 0.2 + 0.8 * level)
    start = floor.place(0.3, keep=False)
    end = floor.place(0.3, keep=False)
    if start is None or end is None or np.linalg.norm(end - start) < 0.5:
        start = floor.eye + floor.gaze * 2.2
        end = floor.eye + floor.gaze * 3
    fraction = np.linspace(0, 1, 12)[:, None]
    nearest = np.linalg.norm(start + fraction * (end - start) - floor.eye, axis=1).min()
    walks = nearest > CLEAR_M and random.random() < 0.7
    speed = random.uniform(0.6, 1.5) if walks else 0.0
    return Walker(person, start, end, speed, offset=random.uniform(0, 6) if walks else 0.0)


def _decoration(random: np.random.Generator, level: float, size: Point) -> list[tuple[int, Solid]]:
    """Return pictures on the walls, as distractors: they are labelled as their wall."""
    pictures = []
    for _ in range(round(MAX_PICTURES * level * random.uniform(0.3, 1))):
        side = int(random.integers(4))
        across = 1 - side // 2
        center, half = np.empty(3), np.empty(3)
        center[2], half[2] = random.uniform(1.2, 1.8), random.uniform(0.15, 0.45)
        half[across] = random.uniform(0.2, 0.6)
        center[across] = random.uniform(0.7, size[across] - 0.7)
        center[side // 2] = size[side // 2] if side % 2 else 0
        half[side // 2] = 0.015
        look = material(random, 0.3 + level)
        pictures.append((side, Solid(Shape.BOX, center, half, look, SceneClass.WALL)))
    return pictures


def _surfaces(random: np.random.Generator, level: float) -> tuple[Surface, Surface, Surface]:
    pale = tuple(float(c) for c in random.uniform(0.55, 0.9) * random.uniform(0.85, 1, 3))
    walls = Surface(pale, color(random), _pattern(random, 0.6 * level), random.uniform(0.3, 1.2))  # type: ignore[arg-type]
    floor = wood(random) if random.random() < 0.4 else material(random, 0.2 + 0.6 * level, 0.6)
    white = random.uniform(0.7, 0.95)
    return floor, walls, Surface((white, white, white))


def _pattern(random: np.random.Generator, texture: float) -> Pattern:
    if random.random() >= texture:
        return Pattern.PLAIN
    return Pattern(random.choice([Pattern.STRIPES, Pattern.NOISE, Pattern.CHECKER]))


def _lighting(random: np.random.Generator, level: float, size: Point) -> Lighting:
    """Return one or two lamps; dimmer, more one-sided and noisier with the difficulty."""
    lights = tuple(
        Light(
            size * (random.uniform(0.15, 0.85), random.uniform(0.15, 0.85), 0.92),
            random.uniform(0.5, 0.9),
            random.uniform(0.1, 0.5),
        )
        for _ in range(1 + int(random.random() < 0.5))
    )
    return Lighting(
        lights,
        ambient=random.uniform(0.35, 0.6) - 0.2 * level,
        exposure=random.uniform(0.75, 1.3) * (1 - 0.45 * level * random.random()),
        noise=random.uniform(0.004, 0.012) + 0.025 * level * random.random(),
    )


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
    """Return the scene of the demo: a furnished room that people enter one after the other.

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
        _demo_things(random), _pictures(random), _demo_people(random, duration), view,
        Lighting(lights, ambient=0.45, noise=0.008),
    )  # fmt: skip


def _demo_things(random: np.random.Generator) -> tuple[tuple[Solid, ...], ...]:
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


def _demo_people(random: np.random.Generator, duration: float) -> tuple[Walker, ...]:
    return tuple(
        Walker(
            Person.random(random, 0.5), np.array(start), np.array(end), speed,
            enters=duration / 10 * enters,
        )
        for enters, start, end, speed in PATHS
    )  # fmt: skip
