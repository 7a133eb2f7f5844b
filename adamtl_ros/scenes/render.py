# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Solids to an image with depth, normals and a number for every solid, by casting rays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from adamtl_ros.scenes.kernel import trace
from adamtl_ros.scenes.shading import illuminate, paint
from adamtl_ros.scenes.solids import Shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from adamtl_ros.scenes.solids import Solid, Surface

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Camera:
    """A pinhole camera.

    Attributes:
        eye: World position [m], z up.
        axes: Rows are right, down and forward in the world.
        height: Of the image [px].
        width: Of the image [px].
        focal: Focal length [px].

    """

    eye: Floats
    axes: Floats
    height: int
    width: int
    focal: float

    @classmethod
    def looking(
        cls, eye: Floats, at: Floats, size: tuple[int, int], fov: float, roll: float = 0.0
    ) -> Camera:
        """Return the camera that looks from one point at another.

        Args:
            eye: Where it is.
            at: What it looks at.
            size: Height and width of the image [px].
            fov: Horizontal field of view [rad].
            roll: Turn about the optical axis [rad].

        """
        forward = (at - eye) / np.linalg.norm(at - eye)
        right = np.cross(forward, [0.0, 0, 1])
        right /= np.linalg.norm(right)
        down = np.cross(forward, right)
        c, s = np.cos(roll), np.sin(roll)
        axes = np.stack([c * right + s * down, c * down - s * right, forward])
        return cls(eye, axes, *size, size[1] / 2 / np.tan(fov / 2))

    @property
    def middle(self) -> tuple[float, float]:
        """Column and row of the optical axis; pixel centres are at whole numbers."""
        return (self.width - 1) / 2, (self.height - 1) / 2


@dataclass(frozen=True)
class Light:
    """A lamp below the ceiling.

    Attributes:
        at: World position [m].
        strength: Of its light.
        size: Of the lamp [m]; the larger, the softer the shadows.

    """

    at: Floats
    strength: float
    size: float = 0.3


@dataclass(frozen=True)
class Lighting:
    """What falls on a scene.

    Attributes:
        lights: The lamps.
        ambient: Light from everywhere.
        exposure: Factor of the camera.
        noise: Standard deviation of the sensor's noise, of 1.

    """

    lights: tuple[Light, ...]
    ambient: float = 0.4
    exposure: float = 1.0
    noise: float = 0.01


@dataclass(frozen=True)
class Rendering:
    """What a camera sees.

    Attributes:
        image: (H, W, 3) uint8, RGB.
        depth: (H, W) float32, metres along the optical axis.
        normals: (H, W, 3) float32, unit vectors in the camera optical frame, towards it.
        solid: (H, W) int16, number of the solid.
        face: (H, W) int8, side of a box that was met: -x, +x, -y, +y, -z, +z in its own frame.

    """

    image: NDArray[np.uint8]
    depth: NDArray[np.float32]
    normals: NDArray[np.float32]
    solid: NDArray[np.int16]
    face: NDArray[np.int8]


def render(
    solids: Sequence[Solid],
    room: Sequence[Surface],
    camera: Camera,
    lighting: Lighting,
    *,
    seed: int = 0,
    samples: int = 2,
) -> Rendering:
    """Draw solids.

    Args:
        solids: The first one is the room, which is around everything.
        room: Surfaces of its floor, walls and ceiling.
        camera: Where from.
        lighting: Under which light.
        seed: Of the sensor's noise.
        samples: Rays per pixel and axis for the image. Labels come from one of them, in the
            middle of the pixel; with 2 the image lies a quarter of a pixel beside them.

    """
    shapes = np.array([solid.shape for solid in solids], np.int64)
    geometry = _in_camera(solids, camera)
    reach = _reach(shapes, geometry[:, 3:6])
    fine, optics = _fine_grid(camera, samples)
    depth = np.full(fine, np.inf, np.float32)
    solid = np.zeros(fine, np.int16)
    trace(shapes, geometry, reach, *optics, depth, solid)
    colour, normals = np.empty((*fine, 5), np.float32), np.empty((*fine, 3), np.float32)
    face = np.empty(fine, np.int8)
    surfaces = (np.array([s.numbers() for s in some]) for some in (_looks(solids), room))
    paint(shapes, geometry, *surfaces, *optics, depth, solid, colour, normals, face)
    direct = lighting.ambient * (0.75 - 0.25 * normals[..., 1]) + colour[..., 4]
    mirrored = np.zeros(fine, np.float32)
    for lamp in _lamps(lighting, camera):
        illuminate(
            shapes, geometry, reach, lamp, *optics, samples, depth, normals, direct, mirrored
        )
    light = colour[..., :3] * direct[..., None] + (colour[..., 3] * mirrored)[..., None]
    image = _develop(light, (camera.height, camera.width), lighting, seed)
    chosen = np.s_[samples // 2 :: samples, samples // 2 :: samples]
    return Rendering(
        image,
        np.ascontiguousarray(depth[chosen]),
        np.ascontiguousarray(normals[chosen]),
        np.ascontiguousarray(solid[chosen]),
        np.ascontiguousarray(face[chosen]),
    )


def _looks(solids: Sequence[Solid]) -> list[Surface]:
    return [solid.surface for solid in solids]


def _fine_grid(camera: Camera, samples: int) -> tuple[tuple[int, int], tuple[float, float, float]]:
    """Return size, focal length and optical axis of the image with several rays per pixel.

    The rays that are kept for the labels go through the middle of their pixels.
    """
    cx, cy = camera.middle
    shift = samples // 2
    size = camera.height * samples, camera.width * samples
    return size, (camera.focal * samples, cx * samples + shift, cy * samples + shift)


def _in_camera(solids: Sequence[Solid], camera: Camera) -> Floats:
    """Return centre, half sizes and axes of each solid in the camera's frame, (n, 15)."""
    centres = (np.array([solid.centre for solid in solids], float) - camera.eye) @ camera.axes.T
    halves = np.array([solid.half for solid in solids], float)
    axes = np.array([solid.axes for solid in solids]) @ camera.axes.T
    return np.concatenate([centres, halves, axes.reshape(-1, 9)], 1)


def _reach(shapes: NDArray[np.int64], half: Floats) -> Floats:
    """Return the radius of a sphere around each solid."""
    box = np.linalg.norm(half, axis=1)
    return np.select(
        [shapes == Shape.ELLIPSOID, shapes == Shape.CAPSULE],
        [half.max(1), half[:, 0] + half[:, 2]],
        box,
    )


def _lamps(lighting: Lighting, camera: Camera) -> Floats:
    """Return position in the camera's frame, strength and size of each lamp, (n, 5)."""
    rows = [
        [*((light.at - camera.eye) @ camera.axes.T), light.strength, light.size]
        for light in lighting.lights
    ]
    return np.array(rows).reshape(-1, 5)


def _develop(
    colour: NDArray[np.float32], size: tuple[int, int], lighting: Lighting, seed: int
) -> NDArray[np.uint8]:
    """Return what a sensor makes of linear light: exposure, noise, gamma of sRGB."""
    light = cv2.resize(colour, size[::-1], interpolation=cv2.INTER_AREA) * lighting.exposure
    # Bright light saturates softly, as film does.
    light = light / (1 + 0.15 * light)
    random = np.random.default_rng(seed)
    noise = random.standard_normal(light.shape, np.float32) * lighting.noise
    encoded = np.clip(light, 0, None) ** (1 / 2.2) + noise
    return np.clip(255 * encoded + 0.5, 0, 255).astype(np.uint8)
