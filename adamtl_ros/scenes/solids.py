# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Solids of a scene: boxes, ellipsoids and capsules with a surface and a class."""

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
    """Shapes of a solid, in its own frame with half sizes along the axes."""

    BOX = 0
    ELLIPSOID = 1
    CAPSULE = 2
    """Along z; half sizes are radius, radius, half the length without the caps."""
    ROOM = 3
    """A box seen from inside."""


class Pattern(IntEnum):
    """Patterns of two colors on a surface."""

    PLAIN = 0
    CHECKER = 1
    STRIPES = 2
    NOISE = 3
    PLANKS = 4
    DOTS = 5


@dataclass(frozen=True)
class Surface:
    """Appearance of a solid.

    Attributes:
        color: RGB in 0..1.
        other: Second color of the pattern.
        pattern: Pattern of the two colors.
        scale: Length of the pattern [m].
        shine: Strength of the specular highlight.
        glow: Intensity of the emitted light.

    """

    color: tuple[float, float, float]
    other: tuple[float, float, float] = (0, 0, 0)
    pattern: Pattern = Pattern.PLAIN
    scale: float = 0.2
    shine: float = 0.0
    glow: float = 0.0

    def to_row(self) -> list[float]:
        """Return the 10 numbers of a row for `kernel.paint`."""
        return [*self.color, *self.other, self.pattern, self.scale, self.shine, self.glow]


@dataclass(frozen=True)
class Solid:
    """Shape at a place in the world.

    Attributes:
        shape: Shape.
        center: World position, (3,) [m], z up.
        half: Half sizes along the axes of the solid, (3,) [m].
        surface: Appearance.
        class_id: Semantic class; of a room that of the floor, before walls and ceiling.
        part: Human part, 0 if none.
        axes: (3, 3) with the axes of the solid in the world as rows.

    """

    shape: Shape
    center: Vector
    half: Vector
    surface: Surface
    class_id: int
    part: int = 0
    axes: Rotation = field(default_factory=lambda: np.eye(3))


def transform(solids: Iterable[Solid], yaw: float, at: Vector) -> list[Solid]:
    """Rotate solids about the vertical axis, then translate them.

    Args:
        solids: Solids to transform.
        yaw: Angle [rad].
        at: Translation, (3,) [m].

    """
    rotation = yaw_rotation(yaw)
    return [
        replace(s, center=rotation @ np.asarray(s.center, float) + at, axes=s.axes @ rotation.T)
        for s in solids
    ]


def yaw_rotation(yaw: float) -> Rotation:
    """Return the (3, 3) rotation about z by an angle [rad]."""
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def capsule(
    start: Vector, end: Vector, radius: float, surface: Surface, class_id: int, part: int = 0
) -> Solid:
    """Return the capsule between two points [m]."""
    a, b = np.asarray(start, float), np.asarray(end, float)
    length = float(np.linalg.norm(b - a))
    z = (b - a) / length if length > 1e-6 else np.array([0, 0, 1.0])
    aside = np.array([1.0, 0, 0]) if abs(z[0]) < 0.9 else np.array([0, 1.0, 0])
    x = np.cross(aside, z)
    x /= np.linalg.norm(x)
    axes = np.stack([x, np.cross(z, x), z])
    half = (radius, radius, length / 2)
    return Solid(Shape.CAPSULE, (a + b) / 2, half, surface, class_id, part, axes)
