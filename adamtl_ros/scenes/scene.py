# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A furnished room with people who walk and a camera that moves, at any moment in time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from adamtl_ros.sample import Sample
from adamtl_ros.scenes.labels import ROOM_FACES, scene_labels
from adamtl_ros.scenes.render import Camera, Lighting, render

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from adamtl_ros.scenes.objects import Person
    from adamtl_ros.scenes.solids import Solid, Surface

    Point = NDArray[np.float64]


@dataclass(frozen=True)
class Walker:
    """A person who goes to and fro between two places.

    Attributes:
        person: Who.
        start: One end of the way on the floor [m].
        end: The other one.
        speed: [m/s]; 0 for who stands at the start and looks to the end.
        ahead: Way that lies behind them at time 0 [m].
        enters: Moment from which they are there [s].

    """

    person: Person
    start: Point
    end: Point
    speed: float
    ahead: float = 0.0
    enters: float = float('-inf')

    def solids(self, time: float) -> list[Solid]:
        """Return the body at a moment [s]."""
        if time < self.enters:
            return []
        way = self.end - self.start
        length = float(np.linalg.norm(way))
        since = time if self.enters == float('-inf') else time - self.enters
        walked = self.ahead + self.speed * since
        back = walked % (2 * length) > length
        there = abs((walked + length) % (2 * length) - length)
        x, y = self.start + way * (there / length)
        heading = float(np.arctan2(way[1], way[0])) + (np.pi if back else 0)
        return self.person.solids((x, y), heading, walked, min(1.0, self.speed))


@dataclass(frozen=True)
class View:
    """A camera that sways and pans.

    Attributes:
        eye: Where it is on average [m].
        target: What it looks at on average [m].
        sway: How far the eye moves [m], in each direction.
        pan: How far the gaze turns to each side [rad].
        period: Of the slowest movement [s].
        fov: Horizontal field of view [rad].
        phase: Where in the movement it is at time 0 [rad].

    """

    eye: Point
    target: Point
    sway: float
    pan: float
    period: float
    fov: float
    phase: float = 0.0

    def camera(self, time: float, size: tuple[int, int]) -> Camera:
        """Return the camera at a moment [s] for images of some height and width."""
        angle = 2 * np.pi * time / self.period + self.phase
        sway = self.sway * np.array([np.sin(1.3 * angle), np.cos(angle), 0.2 * np.sin(3 * angle)])
        eye = self.eye + sway
        turn = self.pan * np.sin(angle)
        c, s = np.cos(turn), np.sin(turn)
        x, y, z = self.target - self.eye
        gaze = np.array([c * x - s * y, s * x + c * y, z + 0.05 * np.sin(2.1 * angle)])
        return Camera.looking(eye, eye + gaze, size, self.fov, roll=0.02 * np.sin(1.7 * angle))


@dataclass(frozen=True)
class Scene:
    """Everything that is in a room.

    Attributes:
        seed: The same seed gives the same scene, and the same noise in its images.
        difficulty: How much there is to see, 0..1.
        room: The room itself.
        surfaces: Of its floor, walls and ceiling.
        things: What stands in it, each of one or more solids.
        decoration: Solids that belong to a side of the room, by number of the side.
        walkers: Who is in it.
        view: The camera.
        lighting: The light.

    """

    seed: int
    difficulty: float
    room: Solid
    surfaces: tuple[Surface, Surface, Surface]
    things: tuple[tuple[Solid, ...], ...]
    decoration: tuple[tuple[int, Solid], ...]
    walkers: tuple[Walker, ...]
    view: View
    lighting: Lighting

    def solids(self, time: float) -> tuple[list[Solid], NDArray[np.int16]]:
        """Return all solids at a moment [s], the room first, and the thing each belongs to."""
        solids, owners = [self.room], [0]
        for side, solid in self.decoration:
            solids.append(solid)
            owners.append(side)
        groups = [*self.things, *(walker.solids(time) for walker in self.walkers)]
        for number, group in enumerate(groups, ROOM_FACES):
            solids += group
            owners += [number] * len(group)
        return solids, np.array(owners, np.int16)

    def frame(self, time: float, size: tuple[int, int], samples: int = 2) -> Sample:
        """Draw the scene at a moment with all labels.

        Args:
            time: Moment [s], also negative.
            size: Height and width of the image [px].
            samples: Rays per pixel and axis.

        """
        solids, owners = self.solids(time)
        noise = abs(hash((self.seed, round(time * 1000))))
        camera = self.view.camera(time, size)
        seen = render(
            solids, self.surfaces, camera, self.lighting, seed=noise, samples=samples
        )  # fmt: skip
        labels = scene_labels(seen, solids, owners)
        return Sample(seen.image, labels, f'scene {self.seed} at {time:.2f} s', self.difficulty)
