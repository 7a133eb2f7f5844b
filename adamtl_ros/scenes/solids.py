# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What scenes are made of: boxes, ellipsoids and capsules with a surface and a meaning."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    Vector = Sequence[float] | NDArray[np.float64]
    Rotation = NDArray[np.float64]


class Shape(IntEnum):
    """Forms of a solid, each in a frame of its own with half sizes along the axes."""

    BOX = 0
    ELLIPSOID = 1
    CAPSULE = 2
    """Along z; half sizes are radius, radius, half the length without the caps."""
    ROOM = 3
    """A box seen from inside."""


class Pattern(IntEnum):
    """Patterns of two colours on a surface."""

    PLAIN = 0
    CHECKER = 1
    STRIPES = 2
    NOISE = 3
    PLANKS = 4
    DOTS = 5


@dataclass(frozen=True)
class Surface:
    """How a solid looks.

    Attributes:
        colour: RGB in 0..1.
        other: Second colour of the pattern.
        pattern: How the two are laid out.
        scale: Length of the pattern [m].
        shine: Strength of the highlight.
        glow: Light that it gives off itself.

    """

    colour: tuple[float, float, float]
    other: tuple[float, float, float] = (0, 0, 0)
    pattern: Pattern = Pattern.PLAIN
    scale: float = 0.2
    shine: float = 0.0
    glow: float = 0.0

    def numbers(self) -> list[float]:
        """Return what the renderer needs, 10 numbers."""
        return [*self.colour, *self.other, self.pattern, self.scale, self.shine, self.glow]


@dataclass(frozen=True)
class Solid:
    """A shape at a place.

    Attributes:
        shape: Its form.
        centre: World position [m], z up.
        half: Half sizes along its own axes [m].
        surface: How it looks.
        meaning: Class id; that of the floor for a room, whose walls and ceiling follow.
        part: Human part, 0 if none.
        axes: Rows are its own axes in the world.

    """

    shape: Shape
    centre: Vector
    half: Vector
    surface: Surface
    meaning: int
    part: int = 0
    axes: Rotation = field(default_factory=lambda: np.eye(3))


def turned(solids: Iterable[Solid], yaw: float, at: Vector) -> list[Solid]:
    """Turn solids about the vertical axis, then move them."""
    spin = yaw_rotation(yaw)
    return [
        replace(s, centre=spin @ np.asarray(s.centre, float) + at, axes=s.axes @ spin.T)
        for s in solids
    ]


def yaw_rotation(yaw: float) -> Rotation:
    """Return the matrix that turns about z [rad]."""
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def capsule(
    start: Vector, end: Vector, radius: float, surface: Surface, meaning: int, part: int = 0
) -> Solid:
    """Return the capsule between two points."""
    a, b = np.asarray(start, float), np.asarray(end, float)
    length = float(np.linalg.norm(b - a))
    z = (b - a) / length if length > 1e-6 else np.array([0, 0, 1.0])
    aside = np.array([1.0, 0, 0]) if abs(z[0]) < 0.9 else np.array([0, 1.0, 0])
    x = np.cross(aside, z)
    x /= np.linalg.norm(x)
    axes = np.stack([x, np.cross(z, x), z])
    half = (radius, radius, length / 2)
    return Solid(Shape.CAPSULE, (a + b) / 2, half, surface, meaning, part, axes)
