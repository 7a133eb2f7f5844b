# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Furniture and people, made of solids with random sizes and surfaces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from adamtl_ros.scenes.labels import Part, SceneClass
from adamtl_ros.scenes.solids import Pattern, Shape, Solid, Surface, capsule, transform

if TYPE_CHECKING:
    from collections.abc import Callable

    Maker = Callable[[np.random.Generator, float], tuple[list[Solid], float]]
    from numpy.typing import NDArray


def material(random: np.random.Generator, texture: float, scale: float = 0.25) -> Surface:
    """Return a random surface; `texture` (0..1) is the probability of a pattern of two colors."""
    pattern = random.choice(list(Pattern)[1:]) if random.random() < texture else Pattern.PLAIN
    return Surface(
        color(random), color(random), Pattern(pattern), scale * random.uniform(0.5, 1.6),
        shine=float(random.random() < 0.3) * 0.4,
    )  # fmt: skip


def wood(random: np.random.Generator) -> Surface:
    """Return a random kind of wood."""
    tone = np.array([0.5, 0.33, 0.19]) * random.uniform(0.35, 1.5)
    light, dark = (tuple(float(c) for c in tone * k) for k in (1, 0.55))
    return Surface(light, dark, Pattern.PLANKS, random.uniform(0.1, 0.25), shine=0.1)  # type: ignore[arg-type]


def table(random: np.random.Generator, texture: float) -> tuple[list[Solid], float]:
    """Return a table of four legs and a top, and the radius of its base [m]."""
    x, y = random.uniform(0.35, 0.85), random.uniform(0.3, 0.5)
    high = random.uniform(0.45, 0.8)
    look = wood(random) if random.random() < 0.6 else material(random, texture)
    top = _box((0, 0, high), (x, y, 0.025), look, SceneClass.TABLE)
    legs = _legs(x - 0.06, y - 0.06, high, 0.03, look, SceneClass.TABLE)
    return [top, *legs], float(np.hypot(x, y))


def chair(random: np.random.Generator, texture: float) -> tuple[list[Solid], float]:
    """Return a chair of legs, a seat and a back, and the radius of its base [m]."""
    half, seat = random.uniform(0.19, 0.25), random.uniform(0.4, 0.48)
    high = random.uniform(0.35, 0.55)
    look = wood(random) if random.random() < 0.4 else material(random, texture)
    parts = _legs(half - 0.03, half - 0.03, seat, 0.022, look, SceneClass.CHAIR)
    parts.append(_box((0, 0, seat), (half, half, 0.03), look, SceneClass.CHAIR))
    back = _box((-half, 0, seat + high / 2), (0.025, half, high / 2), look, SceneClass.CHAIR)
    return [*parts, back], 0.38


def box(random: np.random.Generator, texture: float) -> tuple[list[Solid], float]:
    """Return a box or two stacked ones, and the radius of the base [m]."""
    look = material(random, texture)
    x, y, z = random.uniform(0.12, 0.4, 3)
    parts = [_box((0, 0, z), (x, y, z), look, SceneClass.BOX)]
    if random.random() < 0.3:
        smaller = random.uniform(0.5, 0.9)
        upper = smaller * np.array([x, y, z])
        parts.append(_box((0, 0, 2 * z + upper[2]), upper, look, SceneClass.BOX))
    return parts, float(np.hypot(x, y))


def ball(random: np.random.Generator, texture: float) -> tuple[list[Solid], float]:
    """Return a ball, and its radius [m]."""
    radius = random.uniform(0.1, 0.35)
    look = material(random, texture, 0.15)
    return [
        Solid(Shape.ELLIPSOID, (0, 0, radius), (radius,) * 3, look, SceneClass.BALL)
    ], radius  # fmt: skip


def lamp(random: np.random.Generator, texture: float) -> tuple[list[Solid], float]:
    """Return a lamp of a foot, a pole and a luminous shade, and the radius of its base [m]."""
    high, wide = random.uniform(1.2, 1.8), random.uniform(0.14, 0.24)
    metal = Surface(color(random), shine=0.5)
    paper = Surface((0.9, 0.85, 0.7), color(random), Pattern.STRIPES if random.random() < texture
                    else Pattern.PLAIN, 0.1, glow=random.uniform(0.2, 0.9))  # fmt: skip
    return [
        _box((0, 0, 0.02), (0.14, 0.14, 0.02), metal, SceneClass.LAMP),
        capsule((0, 0, 0), (0, 0, high), 0.02, metal, SceneClass.LAMP),
        Solid(Shape.ELLIPSOID, (0, 0, high), (wide, wide, 0.75 * wide), paper, SceneClass.LAMP),
    ], 0.25


def column(random: np.random.Generator, texture: float, height: float) -> tuple[list[Solid], float]:
    """Return a column from floor to ceiling, round or square, and its radius [m]."""
    radius = random.uniform(0.12, 0.25)
    look = material(random, texture, 0.4)
    if random.random() < 0.5:
        return [capsule((0, 0, -1), (0, 0, height + 1), radius, look, SceneClass.COLUMN)], radius
    half = (radius, radius, height / 2)
    return [_box((0, 0, height / 2), half, look, SceneClass.COLUMN)], 1.4 * radius


FURNITURE: tuple[Maker, ...] = (table, chair, box, ball, lamp)


def _box(
    center: tuple[float, float, float], half: object, look: Surface, class_id: SceneClass
) -> Solid:
    return Solid(Shape.BOX, center, half, look, class_id)  # type: ignore[arg-type]


def _legs(
    x: float, y: float, high: float, thick: float, look: Surface, class_id: SceneClass
) -> list[Solid]:
    half = (thick, thick, high / 2)
    return [_box((a * x, b * y, high / 2), half, look, class_id) for a in (-1, 1) for b in (-1, 1)]


SKINS = ((0.80, 0.58, 0.45), (0.62, 0.40, 0.28), (0.38, 0.23, 0.16), (0.88, 0.68, 0.56))
HAIRS = ((0.08, 0.06, 0.05), (0.25, 0.15, 0.07), (0.55, 0.42, 0.2), (0.5, 0.5, 0.5))
STEP_M = 0.72
"""Step length of a person of 1.75 m height [m]."""


@dataclass(frozen=True)
class Person:
    """Person with a size, clothes and a gait.

    Attributes:
        height: Height [m].
        girth: Width relative to the average.
        swing: Amplitude of arms and legs relative to the average walk.
        skin: Surface of head and hands.
        hair: Surface of the hair.
        shirt: Surface of torso and arms.
        trousers: Surface of the legs.
        short_sleeves: Whether the lower arms are bare.

    """

    height: float
    girth: float
    swing: float
    skin: Surface
    hair: Surface
    shirt: Surface
    trousers: Surface
    short_sleeves: bool

    @classmethod
    def random(cls, random: np.random.Generator, texture: float) -> Person:
        """Return a random person; `texture` (0..1) is the probability of patterned clothes."""
        return cls(
            height=random.uniform(1.45, 1.95),
            girth=random.uniform(0.85, 1.25),
            swing=random.uniform(0.7, 1.2),
            skin=Surface(SKINS[random.integers(len(SKINS))]),
            hair=Surface(HAIRS[random.integers(len(HAIRS))]),
            shirt=clothes(random, texture),
            trousers=clothes(random, texture / 2),
            short_sleeves=bool(random.random() < 0.5),
        )

    def solids(
        self, at: tuple[float, float], heading: float, walked: float, moving: float = 1.0
    ) -> list[Solid]:
        """Return the solids of the body.

        Args:
            at: Position on the floor, x and y [m].
            heading: Walking direction [rad].
            walked: Distance walked [m], which sets the phase of the steps.
            moving: Amplitude of the gait, 0 for standing to 1 for walking.

        """
        unit = self.height / 1.75
        phase = np.pi * walked / (STEP_M * unit)
        swing = self.swing * moving
        body = self._trunk(unit)
        for side in (-1, 1):
            step = np.sin(phase) * side * swing
            knee = 0.15 + 0.5 * swing * max(0.0, np.cos(phase) * side)
            body += self._leg(unit, side, 0.5 * step, knee)
            body += self._arm(unit, side, -0.55 * step, 0.25 + 0.25 * abs(step))
        # One foot is always on the floor, so the hips sink as the legs spread.
        return transform(body, heading, (at[0], at[1], -min(map(_lowest, body))))

    def _trunk(self, unit: float) -> list[Solid]:
        wide = 0.115 * unit * self.girth
        chest = np.array([0, 0, 1.33 * unit])
        return [
            capsule((0, -wide, 0.98 * unit), (0, -0.8 * wide, 1.36 * unit), wide, self.shirt,
                    SceneClass.PERSON, Part.TORSO),
            capsule((0, wide, 0.98 * unit), (0, 0.8 * wide, 1.36 * unit), wide, self.shirt,
                    SceneClass.PERSON, Part.TORSO),
            Solid(Shape.ELLIPSOID, chest, (0.13 * unit, 1.75 * wide, 0.13 * unit), self.shirt,
                  SceneClass.PERSON, Part.TORSO),
            capsule((0, 0, 1.42 * unit), (0.01, 0, 1.53 * unit), 0.055 * unit, self.skin,
                    SceneClass.PERSON, Part.HEAD),
            Solid(Shape.ELLIPSOID, (0.015, 0, 1.63 * unit),
                  (0.098 * unit, 0.078 * unit, 0.122 * unit), self.skin,
                  SceneClass.PERSON, Part.HEAD),
            Solid(Shape.ELLIPSOID, (-0.02, 0, 1.665 * unit),
                  (0.095 * unit, 0.088 * unit, 0.1 * unit), self.hair,
                  SceneClass.PERSON, Part.HEAD),
        ]  # fmt: skip

    def _leg(self, unit: float, side: int, swing: float, knee: float) -> list[Solid]:
        hip = np.array([0, 0.1 * side * self.girth, 0.93]) * unit
        joint = hip + _hanging(swing, 0.44 * unit)
        ankle = joint + _hanging(swing - knee, 0.43 * unit)
        toe = ankle + np.array([0.15, 0, -0.02]) * unit
        shoe = Surface((0.08, 0.08, 0.09))
        thick = unit * self.girth
        return [
            capsule(hip, joint, 0.082 * thick, self.trousers, SceneClass.PERSON, Part.UPPER_LEG),
            capsule(joint, ankle, 0.058 * thick, self.trousers, SceneClass.PERSON, Part.LOWER_LEG),
            capsule(ankle, toe, 0.045 * unit, shoe, SceneClass.PERSON, Part.LOWER_LEG),
        ]

    def _arm(self, unit: float, side: int, swing: float, bend: float) -> list[Solid]:
        shoulder = np.array([0, 0.215 * side * self.girth, 1.38]) * unit
        outward = np.array([0, 0.05 * side, 0]) * unit
        elbow = shoulder + _hanging(swing, 0.29 * unit) + outward
        wrist = elbow + _hanging(swing + bend, 0.25 * unit)
        hand = wrist + _hanging(swing + bend, 0.08 * unit)
        sleeve = self.skin if self.short_sleeves else self.shirt
        return [
            capsule(shoulder, elbow, 0.05 * unit, self.shirt, SceneClass.PERSON, Part.UPPER_ARM),
            capsule(elbow, wrist, 0.04 * unit, sleeve, SceneClass.PERSON, Part.LOWER_ARM),
            capsule(wrist, hand, 0.042 * unit, self.skin, SceneClass.PERSON, Part.LOWER_ARM),
        ]


def clothes(random: np.random.Generator, texture: float) -> Surface:
    """Return a random fabric; `texture` (0..1) is the probability of a pattern."""
    patterned = random.random() < texture
    pattern = random.choice([Pattern.CHECKER, Pattern.STRIPES, Pattern.NOISE, Pattern.DOTS])
    return Surface(
        color(random),
        color(random),
        Pattern(pattern) if patterned else Pattern.PLAIN,
        random.uniform(0.05, 0.2),
    )


def color(random: np.random.Generator) -> tuple[float, float, float]:
    """Return a random color."""
    r, g, b = random.uniform(0.03, 0.85, 3) * random.uniform(0.5, 1)
    return float(r), float(g), float(b)


def _lowest(solid: Solid) -> float:
    """Return the height of the lowest point of an ellipsoid that is upright, or of a capsule."""
    if solid.shape is not Shape.CAPSULE:
        return float(solid.center[2] - solid.half[2])
    return float(solid.center[2] - abs(solid.axes[2, 2]) * solid.half[2] - solid.half[0])


def _hanging(angle: float, length: float) -> NDArray[np.float64]:
    """Return the vector of a hanging limb, swung forward (x) by an angle."""
    return length * np.array([np.sin(angle), 0, -np.cos(angle)])
