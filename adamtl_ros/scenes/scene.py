# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Furnished room with walking people and a moving camera, which can be rendered at any time."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from adamtl_ros.focal import relative_focal
from adamtl_ros.sample import Sample
from adamtl_ros.scenes.labels import ROOM_FACES, scene_labels
from adamtl_ros.scenes.render import Camera, Lighting, render

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from adamtl_ros.scenes.objects import Person
    from adamtl_ros.scenes.solids import Solid, Surface

    Point = NDArray[np.float64]


WALK_M, WALK_PERIOD_S = 0.4, 8.0
"""Amplitude [m] and period [s] of the path of a camera that is carried around; speed 0.5 m/s."""
STEP_M, STEPS_PER_S = 0.02, 1.8


@dataclass(frozen=True)
class Walker:
    """Person who walks back and forth between two places.

    Attributes:
        person: The person.
        start: One end of the path on the floor, x and y [m].
        end: Other end of the path [m].
        speed: Speed [m/s]; 0 for a person who stands at the start and looks to the end.
        offset: Distance walked before time 0 [m].
        enters: Time from which the person is visible [s].

    """

    person: Person
    start: Point
    end: Point
    speed: float
    offset: float = 0.0
    enters: float = float('-inf')

    def solids(self, time: float) -> list[Solid]:
        """Return the solids of the body at a time [s]."""
        if time < self.enters:
            return []
        path = self.end - self.start
        length = float(np.linalg.norm(path))
        since = time if self.enters == float('-inf') else time - self.enters
        walked = self.offset + self.speed * since
        back = walked % (2 * length) > length
        distance = abs((walked + length) % (2 * length) - length)
        x, y = self.start + path * (distance / length)
        heading = float(np.arctan2(path[1], path[0])) + (np.pi if back else 0)
        return self.person.solids((x, y), heading, walked, min(1.0, self.speed))


@dataclass(frozen=True)
class View:
    """Camera that sways and pans.

    Attributes:
        eye: Mean position, (3,) [m].
        target: Mean point that the camera looks at, (3,) [m].
        sway: Amplitude of the position [m].
        pan: Amplitude of the viewing direction [rad].
        period: Period of the slowest movement [s].
        fov: Horizontal field of view [rad].
        phase: Phase of the movement at time 0 [rad].
        bob: Amplitude of the up and down of steps [m].

    """

    eye: Point
    target: Point
    sway: float
    pan: float
    period: float
    fov: float
    phase: float = 0.0
    bob: float = 0.0

    def still(self, time: float) -> View:
        """Return the view of a camera that stays as it is at a time [s]."""
        return replace(self, period=math.inf, phase=self._angle(time), bob=0.0)

    def walking(self) -> View:
        """Return the view of a camera that somebody carries around, at half a meter a second."""
        return replace(self, sway=WALK_M, period=WALK_PERIOD_S, bob=STEP_M)

    def camera(self, time: float, size: tuple[int, int]) -> Camera:
        """Return the camera at a time [s] for images of a height and width [px]."""
        angle = self._angle(time)
        sway = self.sway * np.array([np.sin(1.3 * angle), np.cos(angle), 0.2 * np.sin(3 * angle)])
        eye = self.eye + sway
        eye[2] += self.bob * np.sin(2 * np.pi * STEPS_PER_S * time)
        turn = self.pan * np.sin(angle)
        c, s = np.cos(turn), np.sin(turn)
        x, y, z = self.target - self.eye
        gaze = np.array([c * x - s * y, s * x + c * y, z + 0.05 * np.sin(2.1 * angle)])
        return Camera.look_at(eye, eye + gaze, size, self.fov, roll=0.02 * np.sin(1.7 * angle))

    def _angle(self, time: float) -> float:
        return float(2 * np.pi * time / self.period + self.phase)


@dataclass(frozen=True)
class Scene:
    """Room with all its content, camera and light.

    Attributes:
        seed: Seed that the scene was composed with, also of the noise in its images.
        difficulty: Complexity of the scene, 0..1.
        room: Solid of the room.
        surfaces: Surfaces of floor, walls and ceiling.
        things: Furniture and other things, each of one or more solids.
        decoration: Solids that belong to a side of the room, with the index of the side.
        walkers: People in the room.
        view: Moving camera.
        lighting: Lamps and exposure.

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
        """Return all solids at a time [s], the room first, and the id of the thing of each."""
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
        """Render the scene at a time, with the labels of all tasks.

        Args:
            time: Time [s], may be negative.
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
        name = f'scene {self.seed} at {time:.2f} s'
        focal = relative_focal(camera.focal, camera.focal, *size)
        return Sample(seen.image, labels, name, self.difficulty, focal=focal)
