# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A person of capsules and ellipsoids, who walks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from adamtl_ros.scenes.classes import Meaning, Part
from adamtl_ros.scenes.solids import Pattern, Shape, Solid, Surface, capsule, turned

if TYPE_CHECKING:
    from numpy.typing import NDArray

SKINS = ((0.80, 0.58, 0.45), (0.62, 0.40, 0.28), (0.38, 0.23, 0.16), (0.88, 0.68, 0.56))
HAIRS = ((0.08, 0.06, 0.05), (0.25, 0.15, 0.07), (0.55, 0.42, 0.2), (0.5, 0.5, 0.5))
STEP_M = 0.72
"""Length of a step of a person 1.75 m tall."""


@dataclass(frozen=True)
class Person:
    """Somebody: size, clothes and gait.

    Attributes:
        height: [m].
        girth: Width against an average one.
        swing: How far arms and legs go, of an average walk.
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
        """Draw somebody; `texture` in 0..1 is how busy the clothes are."""
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
        """Return the body at a moment.

        Args:
            at: Where on the floor [m].
            heading: Direction of the walk [rad].
            walked: Way behind them [m], which sets the phase of the steps.
            moving: 0 for who stands, 1 for who walks.

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
        return turned(body, heading, (at[0], at[1], -min(map(_lowest, body))))

    def _trunk(self, unit: float) -> list[Solid]:
        wide = 0.115 * unit * self.girth
        chest = np.array([0, 0, 1.33 * unit])
        return [
            capsule((0, -wide, 0.98 * unit), (0, -0.8 * wide, 1.36 * unit), wide, self.shirt,
                    Meaning.PERSON, Part.TORSO),
            capsule((0, wide, 0.98 * unit), (0, 0.8 * wide, 1.36 * unit), wide, self.shirt,
                    Meaning.PERSON, Part.TORSO),
            Solid(Shape.ELLIPSOID, chest, (0.13 * unit, 1.75 * wide, 0.13 * unit), self.shirt,
                  Meaning.PERSON, Part.TORSO),
            capsule((0, 0, 1.42 * unit), (0.01, 0, 1.53 * unit), 0.055 * unit, self.skin,
                    Meaning.PERSON, Part.HEAD),
            Solid(Shape.ELLIPSOID, (0.015, 0, 1.63 * unit),
                  (0.098 * unit, 0.078 * unit, 0.122 * unit), self.skin,
                  Meaning.PERSON, Part.HEAD),
            Solid(Shape.ELLIPSOID, (-0.02, 0, 1.665 * unit),
                  (0.095 * unit, 0.088 * unit, 0.1 * unit), self.hair,
                  Meaning.PERSON, Part.HEAD),
        ]  # fmt: skip

    def _leg(self, unit: float, side: int, swing: float, knee: float) -> list[Solid]:
        hip = np.array([0, 0.1 * side * self.girth, 0.93]) * unit
        joint = hip + _hanging(swing, 0.44 * unit)
        ankle = joint + _hanging(swing - knee, 0.43 * unit)
        toe = ankle + np.array([0.15, 0, -0.02]) * unit
        shoe = Surface((0.08, 0.08, 0.09))
        thick = unit * self.girth
        return [
            capsule(hip, joint, 0.082 * thick, self.trousers, Meaning.PERSON, Part.UPPER_LEG),
            capsule(joint, ankle, 0.058 * thick, self.trousers, Meaning.PERSON, Part.LOWER_LEG),
            capsule(ankle, toe, 0.045 * unit, shoe, Meaning.PERSON, Part.LOWER_LEG),
        ]

    def _arm(self, unit: float, side: int, swing: float, bend: float) -> list[Solid]:
        shoulder = np.array([0, 0.215 * side * self.girth, 1.38]) * unit
        outward = np.array([0, 0.05 * side, 0]) * unit
        elbow = shoulder + _hanging(swing, 0.29 * unit) + outward
        wrist = elbow + _hanging(swing + bend, 0.25 * unit)
        hand = wrist + _hanging(swing + bend, 0.08 * unit)
        sleeve = self.skin if self.short_sleeves else self.shirt
        return [
            capsule(shoulder, elbow, 0.05 * unit, self.shirt, Meaning.PERSON, Part.UPPER_ARM),
            capsule(elbow, wrist, 0.04 * unit, sleeve, Meaning.PERSON, Part.LOWER_ARM),
            capsule(wrist, hand, 0.042 * unit, self.skin, Meaning.PERSON, Part.LOWER_ARM),
        ]


def clothes(random: np.random.Generator, texture: float) -> Surface:
    """Draw a fabric; the busier, the more likely it has a pattern."""
    patterned = random.random() < texture
    pattern = random.choice([Pattern.CHECKER, Pattern.STRIPES, Pattern.NOISE, Pattern.DOTS])
    return Surface(
        colour(random),
        colour(random),
        Pattern(pattern) if patterned else Pattern.PLAIN,
        random.uniform(0.05, 0.2),
    )


def colour(random: np.random.Generator) -> tuple[float, float, float]:
    """Draw a colour."""
    r, g, b = random.uniform(0.03, 0.85, 3) * random.uniform(0.5, 1)
    return float(r), float(g), float(b)


def _lowest(solid: Solid) -> float:
    """Return the height of the lowest point of an ellipsoid that is upright, or of a capsule."""
    if solid.shape is not Shape.CAPSULE:
        return float(solid.centre[2] - solid.half[2])
    return float(solid.centre[2] - abs(solid.axes[2, 2]) * solid.half[2] - solid.half[0])


def _hanging(angle: float, length: float) -> NDArray[np.float64]:
    """Return a limb that hangs down, swung forward (x) by an angle."""
    return length * np.array([np.sin(angle), 0, -np.cos(angle)])
