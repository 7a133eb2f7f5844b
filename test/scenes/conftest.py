# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Helpers for tests of scenes: solids as implicit functions, cameras and renderings."""

from types import SimpleNamespace

import numpy as np
import pytest

from adamtl_ros.scenes.labels import SceneClass
from adamtl_ros.scenes.render import Camera, Light, Lighting, render
from adamtl_ros.scenes.solids import Shape, Solid, Surface

GREY = Surface((0.5, 0.5, 0.5))
SIZE = np.array([6.0, 4.0, 3.0])
ROOM = Solid(Shape.ROOM, SIZE / 2, SIZE / 2, GREY, SceneClass.FLOOR)


def implicit(shape, half, points):
    """Return a number that is negative inside a solid, 0 on it, and positive outside.

    Args:
        shape: Form of the solid.
        half: (3,) half sizes.
        points: (..., 3) in its own frame.

    """
    half = np.asarray(half, float)
    if shape == Shape.ELLIPSOID:
        return np.linalg.norm(points / half, axis=-1) - 1
    if shape == Shape.CAPSULE:
        spine = np.zeros_like(points)
        spine[..., 2] = np.clip(points[..., 2], -half[2], half[2])
        return np.linalg.norm(points - spine, axis=-1) - half[0]
    outside = (np.abs(points) - half).max(-1)
    return -outside if shape == Shape.ROOM else outside


def height(solid):
    """Return the lowest and the highest world z of a solid."""
    half = np.asarray(solid.half, float)
    up = np.abs(np.asarray(solid.axes)[:, 2])
    reach = {
        Shape.BOX: half @ up,
        Shape.ELLIPSOID: np.linalg.norm(half * up),
        Shape.CAPSULE: half[0] + half[2] * up[2],
    }[solid.shape]
    middle = np.asarray(solid.center, float)[2]
    return middle - reach, middle + reach


def world(camera, depth):
    """Return the world position of each pixel, (H, W, 3)."""
    rows, columns = np.mgrid[: camera.height, : camera.width]
    cx, cy = camera.principal_point
    rays = [(columns - cx) / camera.focal, (rows - cy) / camera.focal, np.ones(depth.shape)]
    return camera.eye + depth[..., None].astype(float) * np.stack(rays, -1) @ camera.axes


def look(solids=(), *, size=(48, 64), fov=1.5, samples=1, noise=0.0, seed=0, **lighting):
    """Draw solids in an empty room of 6x4x3 m, seen from (3, 1, 1.5) along +y.

    The far wall is 3 m away, floor and ceiling are 1.5 m below and above.
    """
    camera = camera_at(size, fov)
    lighting = {'lights': (Light(np.array([3.0, 2, 2.8]), 0.6),), **lighting}
    light = Lighting(noise=noise, **lighting)
    return render([ROOM, *solids], [GREY] * 3, camera, light, seed=seed, samples=samples)


def camera_at(size=(48, 64), fov=1.5):
    return Camera.look_at(np.array([3, 1, 1.5]), np.array([3, 4, 1.5]), size, fov)


def ball(x, y, z, radius=0.2, surface=GREY):
    return Solid(Shape.ELLIPSOID, (x, y, z), (radius,) * 3, surface, SceneClass.BALL)


@pytest.fixture(scope='session')
def geometry():
    """Return the functions above."""
    return SimpleNamespace(
        implicit=implicit, height=height, world=world, look=look, camera_at=camera_at, ball=ball,
        room=ROOM, grey=GREY,
    )  # fmt: skip
