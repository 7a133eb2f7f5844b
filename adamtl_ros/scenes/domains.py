# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Domain shift of scenes: other textures, light and camera, the same content."""

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

    Color = tuple[float, float, float]

DOMAINS = ('room', 'cellar')
"""Rooms as composed, and the same rooms as a cellar, seen by a robot close to the floor."""

BULB = np.array([1.0, 0.78, 0.5])
"""Color of the light in the cellar: an incandescent bulb, without white balance."""

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
        ValueError: An unknown domain.

    """
    if domain not in DOMAINS:
        raise ValueError(f"unknown domain '{domain}', choose from: {', '.join(DOMAINS)}")


def apply_domain(scene: Scene, domain: str) -> Scene:
    """Return a scene in another visual domain; solids, people and their places stay the same.

    Args:
        scene: Scene in the domain `room`.
        domain: One of `DOMAINS`.

    Raises:
        ValueError: An unknown domain.

    """
    check_domain(domain)
    return scene if domain == 'room' else _cellar(scene)


def _cellar(scene: Scene) -> Scene:
    random = np.random.default_rng((scene.seed, 1))
    return replace(
        scene,
        surfaces=_cellar_surfaces(random),
        things=tuple(tuple(map(_restyle, solids)) for solids in scene.things),
        decoration=tuple((side, _restyle(solid)) for side, solid in scene.decoration),
        walkers=tuple(map(_restyle_walker, scene.walkers)),
        view=_robot_view(scene.view, random),
        lighting=_bulb_lighting(scene.room, random),
    )


def _cellar_surfaces(random: np.random.Generator) -> tuple[Surface, Surface, Surface]:
    """Return random surfaces of floor, walls and ceiling."""
    stone, brick = random.uniform(0.12, 0.35), random.uniform(0.25, 0.5)
    floor = Surface(
        _under_bulb((stone,) * 3),
        _under_bulb((0.6 * stone,) * 3),
        Pattern.CHECKER,
        random.uniform(0.3, 0.7),
    )
    walls = Surface(
        _under_bulb((brick, 0.5 * brick, 0.4 * brick)),
        _under_bulb((0.5 * brick,) * 3),
        Pattern.PLANKS,
        random.uniform(0.1, 0.3),
    )
    ceiling = Surface(
        _under_bulb((stone,) * 3), _under_bulb((0.3 * stone,) * 3), Pattern.NOISE, 0.2
    )
    return floor, walls, ceiling


def _restyle(solid: Solid) -> Solid:
    return replace(solid, surface=_restyle_surface(solid.surface))


def _restyle_surface(look: Surface) -> Surface:
    """Return a surface in other colors, darker, with another and finer pattern."""
    return Surface(
        _under_bulb(_invert_color(look.color)), _under_bulb(_invert_color(look.other[::-1])),
        OTHER_PATTERN[look.pattern], 0.5 * look.scale, look.shine, 0.3 * look.glow,
    )  # fmt: skip


def _restyle_walker(walker: Walker) -> Walker:
    """Return a person in other clothes; skin and hair stay, in another light."""
    person = walker.person
    person_restyled = replace(
        person,
        skin=replace(person.skin, color=_under_bulb(person.skin.color)),
        hair=replace(person.hair, color=_under_bulb(person.hair.color)),
        shirt=_restyle_surface(person.shirt),
        trousers=_restyle_surface(person.trousers),
    )
    return replace(walker, person=person_restyled)


def _robot_view(view: View, random: np.random.Generator) -> View:
    """Return a camera on a robot, close above the floor, with a wide lens, looking ahead."""
    eye, target = view.eye.copy(), view.target.copy()
    eye[2] = random.uniform(0.2, 0.4)
    target[2] = eye[2] + random.uniform(0, 0.6)
    return replace(view, eye=eye, target=target, fov=random.uniform(1.5, 1.8))


def _bulb_lighting(room: Solid, random: np.random.Generator) -> Lighting:
    """Return a small, bright lamp near the middle, with hard shadows and little ambient light."""
    at = 2 * np.asarray(room.half) * (*random.uniform(0.35, 0.65, 2), 0.8)
    return Lighting(
        (Light(at, random.uniform(0.9, 1.3), 0.04),),
        ambient=random.uniform(0.1, 0.2),
        exposure=random.uniform(0.8, 1.4),
        noise=random.uniform(0.02, 0.04),
    )


def _invert_color(color: Iterable[float]) -> Color:
    r, g, b = (0.85 - 0.8 * part for part in color)
    return b, r, g


def _under_bulb(color: Iterable[float]) -> Color:
    """Return a color under the bulb."""
    r, g, b = (float(part) for part in BULB * np.clip(tuple(color), 0.02, 1))
    return r, g, b
