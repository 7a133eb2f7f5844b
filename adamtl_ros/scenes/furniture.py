# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Things that stand in a room, each a few solids around the origin of the floor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from adamtl_ros.scenes.classes import Meaning
from adamtl_ros.scenes.person import colour
from adamtl_ros.scenes.solids import Pattern, Shape, Solid, Surface, capsule

if TYPE_CHECKING:
    from collections.abc import Callable

    Maker = Callable[[np.random.Generator, float], tuple[list[Solid], float]]


def material(random: np.random.Generator, texture: float, scale: float = 0.25) -> Surface:
    """Draw a surface: plain, or of two colours, more often so the larger `texture` (0..1) is."""
    pattern = random.choice(list(Pattern)[1:]) if random.random() < texture else Pattern.PLAIN
    return Surface(
        colour(random), colour(random), Pattern(pattern), scale * random.uniform(0.5, 1.6),
        shine=float(random.random() < 0.3) * 0.4,
    )  # fmt: skip


def wood(random: np.random.Generator) -> Surface:
    """Draw a kind of wood."""
    tone = np.array([0.5, 0.33, 0.19]) * random.uniform(0.35, 1.5)
    light, dark = (tuple(float(c) for c in tone * k) for k in (1, 0.55))
    return Surface(light, dark, Pattern.PLANKS, random.uniform(0.1, 0.25), shine=0.1)  # type: ignore[arg-type]


def table(random: np.random.Generator, texture: float) -> tuple[list[Solid], float]:
    """Make a table: four legs and a top."""
    x, y = random.uniform(0.35, 0.85), random.uniform(0.3, 0.5)
    high = random.uniform(0.45, 0.8)
    look = wood(random) if random.random() < 0.6 else material(random, texture)
    top = _box((0, 0, high), (x, y, 0.025), look, Meaning.TABLE)
    return [top, *_legs(x - 0.06, y - 0.06, high, 0.03, look, Meaning.TABLE)], float(np.hypot(x, y))


def chair(random: np.random.Generator, texture: float) -> tuple[list[Solid], float]:
    """Make a chair: legs, a seat and a back."""
    half, seat = random.uniform(0.19, 0.25), random.uniform(0.4, 0.48)
    high = random.uniform(0.35, 0.55)
    look = wood(random) if random.random() < 0.4 else material(random, texture)
    parts = _legs(half - 0.03, half - 0.03, seat, 0.022, look, Meaning.CHAIR)
    parts.append(_box((0, 0, seat), (half, half, 0.03), look, Meaning.CHAIR))
    back = _box((-half, 0, seat + high / 2), (0.025, half, high / 2), look, Meaning.CHAIR)
    return [*parts, back], 0.38


def box(random: np.random.Generator, texture: float) -> tuple[list[Solid], float]:
    """Make a box, sometimes two on top of each other."""
    look = material(random, texture)
    x, y, z = random.uniform(0.12, 0.4, 3)
    parts = [_box((0, 0, z), (x, y, z), look, Meaning.BOX)]
    if random.random() < 0.3:
        smaller = random.uniform(0.5, 0.9)
        upper = smaller * np.array([x, y, z])
        parts.append(_box((0, 0, 2 * z + upper[2]), upper, look, Meaning.BOX))
    return parts, float(np.hypot(x, y))


def ball(random: np.random.Generator, texture: float) -> tuple[list[Solid], float]:
    """Make a ball."""
    radius = random.uniform(0.1, 0.35)
    look = material(random, texture, 0.15)
    return [
        Solid(Shape.ELLIPSOID, (0, 0, radius), (radius,) * 3, look, Meaning.BALL)
    ], radius  # fmt: skip


def lamp(random: np.random.Generator, texture: float) -> tuple[list[Solid], float]:
    """Make a lamp: a foot, a pole and a shade that glows."""
    high, wide = random.uniform(1.2, 1.8), random.uniform(0.14, 0.24)
    metal = Surface(colour(random), shine=0.5)
    paper = Surface((0.9, 0.85, 0.7), colour(random), Pattern.STRIPES if random.random() < texture
                    else Pattern.PLAIN, 0.1, glow=random.uniform(0.2, 0.9))  # fmt: skip
    return [
        _box((0, 0, 0.02), (0.14, 0.14, 0.02), metal, Meaning.LAMP),
        capsule((0, 0, 0), (0, 0, high), 0.02, metal, Meaning.LAMP),
        Solid(Shape.ELLIPSOID, (0, 0, high), (wide, wide, 0.75 * wide), paper, Meaning.LAMP),
    ], 0.25


def column(random: np.random.Generator, texture: float, height: float) -> tuple[list[Solid], float]:
    """Make a pillar from floor to ceiling, round or square."""
    radius = random.uniform(0.12, 0.25)
    look = material(random, texture, 0.4)
    if random.random() < 0.5:
        return [capsule((0, 0, -1), (0, 0, height + 1), radius, look, Meaning.COLUMN)], radius
    half = (radius, radius, height / 2)
    return [_box((0, 0, height / 2), half, look, Meaning.COLUMN)], 1.4 * radius


MAKERS: tuple[Maker, ...] = (table, chair, box, ball, lamp)


def _box(
    centre: tuple[float, float, float], half: object, look: Surface, meaning: Meaning
) -> Solid:
    return Solid(Shape.BOX, centre, half, look, meaning)  # type: ignore[arg-type]


def _legs(
    x: float, y: float, high: float, thick: float, look: Surface, meaning: Meaning
) -> list[Solid]:
    half = (thick, thick, high / 2)
    return [_box((a * x, b * y, high / 2), half, look, meaning) for a in (-1, 1) for b in (-1, 1)]
