# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Ray casting of solids to an image with depth, normals and solid ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from adamtl_ros.scenes.kernel import illuminate, paint, trace
from adamtl_ros.scenes.solids import Shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from adamtl_ros.scenes.solids import Solid, Surface

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Camera:
    """Pinhole camera.

    Attributes:
        eye: World position, (3,) [m], z up.
        axes: (3, 3) with right, down and forward in the world as rows.
        height: Height of the image [px].
        width: Width of the image [px].
        focal: Focal length [px].

    """

    eye: Floats
    axes: Floats
    height: int
    width: int
    focal: float

    @classmethod
    def look_at(
        cls, eye: Floats, at: Floats, size: tuple[int, int], fov: float, roll: float = 0.0
    ) -> Camera:
        """Return the camera that looks from one point at another.

        Args:
            eye: Position of the camera, (3,) [m].
            at: Point in the middle of the image, (3,) [m].
            size: Height and width of the image [px].
            fov: Horizontal field of view [rad].
            roll: Rotation about the optical axis [rad].

        """
        forward = (at - eye) / np.linalg.norm(at - eye)
        right = np.cross(forward, [0.0, 0, 1])
        right /= np.linalg.norm(right)
        down = np.cross(forward, right)
        c, s = np.cos(roll), np.sin(roll)
        axes = np.stack([c * right + s * down, c * down - s * right, forward])
        return cls(eye, axes, *size, size[1] / 2 / np.tan(fov / 2))

    @property
    def principal_point(self) -> tuple[float, float]:
        """Column and row of the optical axis; pixel centers are at whole numbers."""
        return (self.width - 1) / 2, (self.height - 1) / 2


@dataclass(frozen=True)
class Light:
    """Lamp below the ceiling.

    Attributes:
        at: World position, (3,) [m].
        strength: Intensity of the light.
        size: Diameter [m]; larger lamps have softer shadows.

    """

    at: Floats
    strength: float
    size: float = 0.3


@dataclass(frozen=True)
class Lighting:
    """Light of a scene, and how the sensor records it.

    Attributes:
        lights: Lamps.
        ambient: Intensity of the ambient light.
        exposure: Exposure factor of the camera.
        noise: Standard deviation of the sensor noise, for values in 0..1.

    """

    lights: tuple[Light, ...]
    ambient: float = 0.4
    exposure: float = 1.0
    noise: float = 0.01


@dataclass(frozen=True)
class Rendering:
    """Image of a camera with its geometry.

    Attributes:
        image: (H, W, 3) uint8, RGB.
        depth: (H, W) float32, meters along the optical axis.
        normals: (H, W, 3) float32, unit vectors in the camera optical frame, towards it.
        solid: (H, W) int16, index of the solid.
        face: (H, W) int8, side of a box that was hit: -x, +x, -y, +y, -z, +z in its own frame.

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
    """Render solids.

    Args:
        solids: Solids to render; the first one is the room around all others.
        room: Surfaces of floor, walls and ceiling of the room.
        camera: Camera of the image.
        lighting: Lamps and exposure.
        seed: Random seed of the sensor noise.
        samples: Rays per pixel and axis for the image. Labels come from one of them, in the
            middle of the pixel; with 2 the image is shifted by a quarter of a pixel.

    """
    shapes = np.array([solid.shape for solid in solids], np.int64)
    geometry = _in_camera(solids, camera)
    reach = _reach(shapes, geometry[:, 3:6])
    fine, optics = _fine_grid(camera, samples)
    depth = np.full(fine, np.inf, np.float32)
    solid = np.zeros(fine, np.int16)
    trace(shapes, geometry, reach, *optics, depth, solid)
    color, normals = np.empty((*fine, 5), np.float32), np.empty((*fine, 3), np.float32)
    face = np.empty(fine, np.int8)
    surfaces = (np.array([s.to_row() for s in some]) for some in (_surfaces(solids), room))
    paint(shapes, geometry, *surfaces, *optics, depth, solid, color, normals, face)
    direct = lighting.ambient * (0.75 - 0.25 * normals[..., 1]) + color[..., 4]
    specular = np.zeros(fine, np.float32)
    for lamp in _lamps(lighting, camera):
        illuminate(
            shapes, geometry, reach, lamp, *optics, samples, depth, normals, direct, specular
        )
    light = color[..., :3] * direct[..., None] + (color[..., 3] * specular)[..., None]
    image = _develop(light, (camera.height, camera.width), lighting, seed)
    centers = np.s_[samples // 2 :: samples, samples // 2 :: samples]
    return Rendering(
        image,
        np.ascontiguousarray(depth[centers]),
        np.ascontiguousarray(normals[centers]),
        np.ascontiguousarray(solid[centers]),
        np.ascontiguousarray(face[centers]),
    )


def _surfaces(solids: Sequence[Solid]) -> list[Surface]:
    return [solid.surface for solid in solids]


def _fine_grid(camera: Camera, samples: int) -> tuple[tuple[int, int], tuple[float, float, float]]:
    """Return size, focal length and optical axis of the image with several rays per pixel.

    The rays that are kept for the labels go through the middle of their pixels.
    """
    cx, cy = camera.principal_point
    shift = samples // 2
    size = camera.height * samples, camera.width * samples
    return size, (camera.focal * samples, cx * samples + shift, cy * samples + shift)


def _in_camera(solids: Sequence[Solid], camera: Camera) -> Floats:
    """Return center, half sizes and axes of each solid in the camera's frame, (n, 15)."""
    centers = (np.array([solid.center for solid in solids], float) - camera.eye) @ camera.axes.T
    halves = np.array([solid.half for solid in solids], float)
    axes = np.array([solid.axes for solid in solids]) @ camera.axes.T
    return np.concatenate([centers, halves, axes.reshape(-1, 9)], 1)


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
    color: NDArray[np.float32], size: tuple[int, int], lighting: Lighting, seed: int
) -> NDArray[np.uint8]:
    """Convert linear light to an image: exposure, soft saturation, sensor noise, sRGB gamma."""
    light = cv2.resize(color, size[::-1], interpolation=cv2.INTER_AREA) * lighting.exposure
    # Soft saturation of highlights, as of film.
    light = light / (1 + 0.15 * light)
    random = np.random.default_rng(seed)
    noise = random.standard_normal(light.shape, np.float32) * lighting.noise
    encoded = np.clip(light, 0, None) ** (1 / 2.2) + noise
    return np.clip(255 * encoded + 0.5, 0, 255).astype(np.uint8)
