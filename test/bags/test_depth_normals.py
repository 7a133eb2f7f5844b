# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Normals of what a depth camera shows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamtl_ros.bags.depth_normals import REACH, normals_from_depth
from adamtl_ros.scenes.compose import demo_scene

HEIGHT, WIDTH, FOCAL = 90, 120, 110.0
BORDER = REACH + REACH // 2
"""A point's neighbours are smoothed over as many more pixels."""


def camera(focal=FOCAL, height=HEIGHT, width=WIDTH, middle=None):
    x, y = middle or ((width - 1) / 2, (height - 1) / 2)
    return np.array([[focal, 0, x], [0, focal, y], [0, 0, 1.0]])


def plane(normal, distance, matrix, height=HEIGHT, width=WIDTH):
    """Return the depth of the plane n . p = -distance, seen by a pinhole camera."""
    columns = (np.arange(width) - matrix[0, 2]) / matrix[0, 0]
    rows = (np.arange(height) - matrix[1, 2]) / matrix[1, 1]
    facing = normal[0] * columns + normal[1] * rows[:, None] + normal[2]
    with np.errstate(divide='ignore'):
        return np.where(facing < -0.05, -distance / facing, np.nan).astype(np.float32)


def unit(*vector):
    return np.array(vector) / np.linalg.norm(vector)


def angles(found, truth):
    """Return angles between unit vectors in degrees, exact also for small ones."""
    sine = np.linalg.norm(np.cross(found, truth), axis=-1)
    return np.degrees(np.arctan2(sine, (found * truth).sum(-1)))


@pytest.mark.parametrize(
    'normal',
    [unit(0, 0, -1), unit(1, 0, -1), unit(-1, 0, -2), unit(0, -1, -0.5), unit(0.5, 0.5, -0.7)],
)
def test_a_plane_has_its_normal_everywhere(normal):
    found = normals_from_depth(plane(normal, 2.0, camera()), camera())
    assert (found.shape, found.dtype) == ((HEIGHT, WIDTH, 3), np.float32)
    known = np.isfinite(found).all(-1)
    assert known.mean() > 0.4
    assert angles(found[known], normal).max() < 0.1
    np.testing.assert_allclose(np.linalg.norm(found[known], axis=-1), 1, atol=1e-5)


@settings(deadline=None, max_examples=40)
@given(
    st.floats(-0.8, 0.8), st.floats(-0.8, 0.8), st.floats(0.3, 9),
    st.floats(60, 400), st.floats(-9, 9), st.floats(-9, 9),
)  # fmt: skip
def test_any_plane_and_camera(across, down, distance, focal, right, below):
    normal = unit(across, down, -1)
    matrix = camera(focal, middle=((WIDTH - 1) / 2 + right, (HEIGHT - 1) / 2 + below))
    found = normals_from_depth(plane(normal, distance, matrix), matrix)
    known = np.isfinite(found).all(-1)
    assert known.any()
    assert angles(found[known], normal).max() < 0.3
    assert (np.isfinite(found).any(-1) == known).all()


def test_pixels_that_are_no_squares():
    normal, matrix = unit(0.4, -0.5, -1), camera()
    matrix[1, 1] = 2 * FOCAL
    found = normals_from_depth(plane(normal, 2.0, matrix), matrix)
    known = np.isfinite(found).all(-1)
    assert angles(found[known], normal).max() < 0.1


def test_only_the_border_of_a_plane_is_unknown():
    """As far as the neighbours of a point, and what they are smoothed with, go."""
    found = normals_from_depth(plane(unit(0, 0, -1), 2.0, camera()), camera())
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[BORDER:-BORDER, BORDER:-BORDER] = True
    np.testing.assert_array_equal(np.isfinite(found).all(-1), expected)


@pytest.mark.parametrize('hole', [np.nan, 0.0, -1.0, np.inf])
def test_nothing_is_said_near_unknown_depth(hole):
    depth = plane(unit(0.3, 0, -1), 2.0, camera())
    depth[45, 60] = hole
    found = normals_from_depth(depth, camera())
    known = np.isfinite(found).all(-1)
    around = np.zeros_like(known)
    around[45 - BORDER : 46 + BORDER, 60 - BORDER : 61 + BORDER] = True
    assert not known[around].any()
    inner = np.s_[BORDER:-BORDER, BORDER:-BORDER]
    assert known[inner][~around[inner]].all()
    assert angles(found[known], unit(0.3, 0, -1)).max() < 0.1


def test_nothing_is_said_near_a_jump():
    """Two walls, one behind the other: what is said of either is true of it."""
    depth = plane(unit(0, 0, -1), 2.0, camera())
    depth[:, 60:] = plane(unit(0.5, 0, -1), 3.0, camera())[:, 60:]
    found = normals_from_depth(depth, camera())
    known = np.isfinite(found).all(-1)
    assert not known[:, 60 - BORDER : 60 + BORDER].any()
    assert known[20:-20, 30:50].all()
    assert known[20:-20, 75:95].all()
    assert angles(found[:, :60][known[:, :60]], unit(0, 0, -1)).max() < 0.1
    assert angles(found[:, 60:][known[:, 60:]], unit(0.5, 0, -1)).max() < 0.1


def test_normals_look_at_the_camera():
    depth = plane(unit(0.2, -0.9, -0.5), 1.4, camera())
    found = normals_from_depth(depth, camera())
    x = (np.arange(WIDTH) - (WIDTH - 1) / 2) / FOCAL
    y = (np.arange(HEIGHT) - (HEIGHT - 1) / 2) / FOCAL
    rays = np.dstack([*np.meshgrid(x, y), np.ones((HEIGHT, WIDTH))])
    known = np.isfinite(found).all(-1)
    assert known.any()
    assert ((found * rays).sum(-1)[known] < 0).all()


def test_noise_of_a_millimeter_does_little():
    draw, normal = np.random.default_rng(0), unit(0.3, -0.2, -1)
    depth = plane(normal, 1.0, camera())
    noise = draw.normal(0, 0.001, depth.shape).astype(np.float32)
    found = normals_from_depth(depth + noise, camera())
    known = np.isfinite(found).all(-1)
    wrong = angles(found[known], normal)
    assert known.mean() > 0.6
    assert wrong.mean() < 1.5
    assert wrong.max() < 6
    # Without a bias: what is left on average is far less.
    mean = found[known].mean(0)
    assert angles(unit(*mean), normal) < 0.1


@pytest.mark.parametrize('time', [0.0, 5.0])
def test_rendered_scenes(time):
    """The room at the beginning and with people, against its exact normals."""
    scene, size = demo_scene(10.0), (240, 320)
    view = scene.view.camera(time, size)
    labels = scene.frame(time, size=size, samples=1).labels
    found = normals_from_depth(labels['depth'], camera(view.focal, middle=view.principal_point))
    both = np.isfinite(found).all(-1) & np.isfinite(labels['normals']).all(-1)
    assert both.mean() > 0.6
    wrong = angles(found[both], labels['normals'][both])
    assert np.median(wrong) < 0.05
    # Where two faces meet there is no jump of depth, and so no telling that there is an edge.
    assert (wrong < 1).mean() > 0.85
    assert (wrong < 11.25).mean() > 0.93


@pytest.mark.parametrize('size', [(1, 1), (5, 60), (60, 5), (8, 8), (2 * BORDER, 40)])
def test_small_images_say_nothing(size):
    found = normals_from_depth(np.ones(size, np.float32), camera(50.0, *size))
    assert found.shape == (*size, 3)
    assert np.isnan(found).all()


def test_nothing_known_at_all():
    assert np.isnan(normals_from_depth(np.full((20, 30), np.nan), camera())).all()


def test_the_depth_image_is_left_as_it_is():
    depth = plane(unit(0, 0, -1), 2.0, camera())
    depth[3, 3] = np.nan
    before = depth.copy()
    normals_from_depth(depth, camera())
    np.testing.assert_array_equal(depth, before)
