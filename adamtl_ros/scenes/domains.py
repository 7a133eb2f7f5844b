# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The same scenes in another world: other textures, another light, another camera."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from adamtl_ros.scenes.render import Light, Lighting
from adamtl_ros.scenes.solids import Pattern, Surface

if TYPE_CHECKING:
    from collections.abc import Iterable

    from adamtl_ros.scenes.scene import Scene, View, Walker
    from adamtl_ros.scenes.solids import Solid

    Colour = tuple[float, float, float]

DOMAINS = ('room', 'cellar')
"""Rooms as they are drawn; and the same as a cellar, seen by a robot close to the floor."""

BULB = np.array([1.0, 0.78, 0.5])
"""Colour of the cellar's light: an incandescent bulb, which no white balance makes up for."""

OTHER_PATTERN = {
    Pattern.PLAIN: Pattern.NOISE,
    Pattern.CHECKER: Pattern.DOTS,
    Pattern.STRIPES: Pattern.CHECKER,
    Pattern.NOISE: Pattern.PLANKS,
    Pattern.PLANKS: Pattern.STRIPES,
    Pattern.DOTS: Pattern.STRIPES,
}


def check_domain(domain: str) -> None:
    """Check the name of a domain.

    Raises:
        ValueError: An unknown one.

    """
    if domain not in DOMAINS:
        raise ValueError(f"unknown domain '{domain}', choose from: {', '.join(DOMAINS)}")


def in_domain(scene: Scene, domain: str) -> Scene:
    """Return a scene as it is in a domain: what there is, and where, stays the same.

    Args:
        scene: As it was drawn.
        domain: Of `DOMAINS`.

    Raises:
        ValueError: An unknown domain.

    """
    check_domain(domain)
    return scene if domain == 'room' else _cellar(scene)


def _cellar(scene: Scene) -> Scene:
    random = np.random.default_rng((scene.seed, 1))
    return replace(
        scene,
        surfaces=_brickwork(random),
        things=tuple(tuple(map(_repainted, solids)) for solids in scene.things),
        decoration=tuple((side, _repainted(solid)) for side, solid in scene.decoration),
        walkers=tuple(map(_dressed, scene.walkers)),
        view=_low_and_wide(scene.view, random),
        lighting=_one_bulb(scene.room, random),
    )


def _brickwork(random: np.random.Generator) -> tuple[Surface, Surface, Surface]:
    """Draw floor, walls and ceiling."""
    stone, brick = random.uniform(0.12, 0.35), random.uniform(0.25, 0.5)
    floor = Surface(_lit((stone,) * 3), _lit((0.6 * stone,) * 3), Pattern.CHECKER,
                    random.uniform(0.3, 0.7))  # fmt: skip
    walls = Surface(_lit((brick, 0.5 * brick, 0.4 * brick)), _lit((0.5 * brick,) * 3),
                    Pattern.PLANKS, random.uniform(0.1, 0.3))  # fmt: skip
    ceiling = Surface(_lit((stone,) * 3), _lit((0.3 * stone,) * 3), Pattern.NOISE, 0.2)
    return floor, walls, ceiling


def _repainted(solid: Solid) -> Solid:
    return replace(solid, surface=_other_look(solid.surface))


def _other_look(look: Surface) -> Surface:
    """Return a surface in other colours, darker, with another and finer pattern."""
    return Surface(
        _lit(_opposite(look.colour)), _lit(_opposite(look.other[::-1])),
        OTHER_PATTERN[look.pattern], 0.5 * look.scale, look.shine, 0.3 * look.glow,
    )  # fmt: skip


def _dressed(walker: Walker) -> Walker:
    """Give a person other clothes; skin and hair stay, in another light."""
    person = walker.person
    dressed = replace(
        person,
        skin=replace(person.skin, colour=_lit(person.skin.colour)),
        hair=replace(person.hair, colour=_lit(person.hair.colour)),
        shirt=_other_look(person.shirt),
        trousers=_other_look(person.trousers),
    )
    return replace(walker, person=dressed)


def _low_and_wide(view: View, random: np.random.Generator) -> View:
    """Put the camera on a robot, a hand above the floor, with a wide lens, looking ahead."""
    eye, target = view.eye.copy(), view.target.copy()
    eye[2] = random.uniform(0.2, 0.4)
    target[2] = eye[2] + random.uniform(0, 0.6)
    return replace(view, eye=eye, target=target, fov=random.uniform(1.5, 1.8))


def _one_bulb(room: Solid, random: np.random.Generator) -> Lighting:
    """Hang a small, bright lamp near the middle, with hard shadows, and little light besides."""
    at = 2 * np.asarray(room.half) * (*random.uniform(0.35, 0.65, 2), 0.8)
    return Lighting(
        (Light(at, random.uniform(0.9, 1.3), 0.04),),
        ambient=random.uniform(0.1, 0.2),
        exposure=random.uniform(0.8, 1.4),
        noise=random.uniform(0.02, 0.04),
    )


def _opposite(colour: Iterable[float]) -> Colour:
    r, g, b = (0.85 - 0.8 * part for part in colour)
    return b, r, g


def _lit(colour: Iterable[float]) -> Colour:
    """Return a colour under the bulb."""
    r, g, b = (float(part) for part in BULB * np.clip(tuple(colour), 0.02, 1))
    return r, g, b
