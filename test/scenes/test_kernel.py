# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The ray caster against implicit functions of the solids, and against trying every one."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from adamtl_ros.scenes.kernel import (
    NEAR,
    casters,
    hit,
    normal_at,
    screen_range,
    shadowed,
    to_local,
    trace,
)
from adamtl_ros.scenes.solids import Shape

QUICK = settings(deadline=None, max_examples=60)
EYE = np.zeros(3)


def rotation(numbers):
    """Return the matrix of a quaternion of whole numbers: oblique poses, and exact ones."""
    w, x, y, z = np.array(numbers) / np.linalg.norm(numbers)
    return np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip


@st.composite
def solids(draw, shapes=(Shape.BOX, Shape.ELLIPSOID, Shape.CAPSULE), depth=(-2, 6)):
    """Return shape, center, half sizes and axes of a solid around or before the camera."""
    shape = draw(st.sampled_from(shapes))
    aside = st.floats(-2.5, 2.5)
    center = [draw(aside), draw(aside), draw(st.floats(*depth))]
    half = [draw(st.floats(0.05, 1.5)) for _ in range(3)]
    if shape == Shape.CAPSULE:
        half[1] = half[0]
    turn = draw(st.tuples(*[st.integers(-3, 3)] * 4).filter(any))
    return shape, np.array(center), np.array(half), rotation(turn)


POINTS = st.tuples(*[st.floats(-3, 3)] * 3).map(np.array)
RAYS = st.tuples(st.floats(-1.2, 1.2), st.floats(-1.2, 1.2), st.just(1.0)).map(np.array)


def rows(scene):
    """Return shapes, geometry and reach as the kernel takes them."""
    shapes = np.array([shape for shape, *_ in scene], np.int64)
    geometry = np.array([np.concatenate([c, h, axes.ravel()]) for _, c, h, axes in scene])
    reach = [
        {Shape.ELLIPSOID: half.max(), Shape.CAPSULE: half[0] + half[2]}.get(
            shape, np.linalg.norm(half)
        )
        for shape, _, half, _ in scene
    ]
    return shapes, geometry.reshape(-1, 15), np.array(reach, float)


def distance(solid, origin, ray):
    _, geometry, _ = rows([solid])
    return hit(int(solid[0]), geometry, 0, *map(float, origin), *map(float, ray))


def inside(geometry, solid, points):
    """Return the implicit function at points of the camera's frame."""
    shape, center, half, axes = solid
    return geometry.implicit(shape, half, (points - center) @ axes.T)


@given(solids(), POINTS, RAYS)
@settings(deadline=None, max_examples=150)
def test_a_ray_ends_where_it_first_enters_a_solid(geometry, solid, origin, ray):
    assume(inside(geometry, solid, origin) > 1e-3)
    t = distance(solid, origin, ray)
    if 0 < t < np.inf:
        assert abs(inside(geometry, solid, origin + t * ray)) < 1e-6
        before = np.linspace(0, t, 500)[:, None]
        assert (inside(geometry, solid, origin + before * ray) > -1e-6).all()
    else:
        ahead = np.linspace(0, 15, 1500)[:, None]
        assert (inside(geometry, solid, origin + ahead * ray) > -1e-6).all()


@given(solids(), RAYS, st.floats(-0.99, 0.99), st.floats(-0.99, 0.99))
@QUICK
def test_a_ray_aimed_at_a_solid_meets_it(geometry, solid, ray, aside, along):
    """The other way round, so that a caster which misses everything does not pass."""
    _, center, half, axes = solid
    within = (half * [0, 0.5 * aside, 0.5 * along]) @ axes + center
    origin = within - 12 * ray
    t = distance(solid, origin, ray)
    assert 0 < t < 12
    assert abs(inside(geometry, solid, origin + t * ray)) < 1e-6


@given(solids(), RAYS, st.floats(-0.9, 0.9))
@QUICK
def test_who_is_in_a_solid_or_past_it_does_not_see_it(solid, ray, share):
    _, center, half, axes = solid
    origin = center + share * half[2] * axes[2] * 0.99
    assert not 0 < distance(solid, origin, ray) < np.inf
    assert not 0 < distance(solid, center + 10 * ray, ray) < np.inf


@given(solids((Shape.ROOM,)), RAYS, st.tuples(*[st.floats(-0.95, 0.95)] * 3))
@settings(deadline=None, max_examples=100)
def test_a_ray_ends_at_the_wall_of_the_room_that_it_starts_in(geometry, solid, ray, start):
    _, center, half, axes = solid
    origin = center + (half * start) @ axes
    t = distance(solid, origin, ray)
    assert 0 < t < np.inf
    assert abs(inside(geometry, solid, origin + t * ray)) < 1e-9
    before = np.linspace(0, t, 50)[:, None]
    assert (inside(geometry, solid, origin + before * ray) > -1e-9).all()


@pytest.mark.parametrize(
    ('shape', 'half', 'wanted'),
    [
        (Shape.BOX, (1, 2, 0.5), 4.5),
        (Shape.ELLIPSOID, (1, 2, 0.5), 4.5),
        (Shape.CAPSULE, (0.25, 0.25, 1), 3.75),
        (Shape.ROOM, (1, 2, 7), 12),
    ],
)
def test_distances_by_hand(shape, half, wanted):
    """Straight ahead, along an axis of each solid; half a meter aside the small ones are missed."""
    solid = shape, np.array([0, 0, 5.0]), np.array(half, float), np.eye(3)
    assert distance(solid, EYE, (0, 0, 1)) == pytest.approx(wanted)
    # A ray twice as long takes half as many lengths.
    assert distance(solid, EYE, (0, 0, 2)) == pytest.approx(wanted / 2)
    if shape != Shape.ROOM:
        assert distance(solid, (2.5, 0, 0), (0, 0, 1)) == np.inf


@given(solids((*Shape,)), RAYS, st.tuples(*[st.floats(-0.5, 0.5)] * 3))
@settings(deadline=None, max_examples=200)
def test_normals_are_the_gradient_and_face_the_camera(geometry, solid, ray, aim):
    shape, center, half, axes = solid
    origin = center + (half * aim) @ axes - (0 if shape == Shape.ROOM else 12) * ray
    t = distance(solid, origin, ray)
    assert 0 < t < np.inf
    point = origin + t * ray
    _, row, _ = rows([solid])
    local = to_local(row, 0, *(point - center))
    np.testing.assert_allclose(local, axes @ (point - center), atol=1e-12)
    if shape in (Shape.BOX, Shape.ROOM):
        # There is no gradient at an edge.
        assume(np.sort(np.abs(local) - half)[1] < -1e-4)
    *normal, face = normal_at(int(shape), row, 0, *local)
    assert np.linalg.norm(normal) == pytest.approx(1)
    assert np.dot(normal, ray) < 1e-5
    step = 1e-6 * np.eye(3)
    gradient = inside(geometry, solid, point + step) - inside(geometry, solid, point - step)
    np.testing.assert_allclose(normal, gradient / np.linalg.norm(gradient), atol=1e-4)
    if shape in (Shape.BOX, Shape.ROOM):
        # Faces are -x, +x, -y and so on; those of a room are seen from the other side.
        outward = (1 if face % 2 else -1) * axes[face // 2]
        np.testing.assert_allclose(normal, outward if shape == Shape.BOX else -outward, atol=1e-9)


@given(st.lists(solids(), max_size=5), st.floats(0.4, 2.5))
@settings(deadline=None, max_examples=20)
def test_every_pixel_shows_the_nearest_of_all_solids(scene, fov):
    """No pixel is lost to the part of the image that is searched for a solid."""
    room = Shape.ROOM, np.zeros(3), np.full(3, 9.0), np.eye(3)
    shapes, geometry, reach = rows([room, *scene])
    height, width = 18, 24
    focal, cx, cy = width / 2 / np.tan(fov / 2), (width - 1) / 2, (height - 1) / 2
    depth = np.full((height, width), np.inf, np.float32)
    solid = np.zeros((height, width), np.int16)
    trace(shapes, geometry, reach, focal, cx, cy, depth, solid)
    for v in range(height):
        for u in range(width):
            ray = (u - cx) / focal, (v - cy) / focal, 1.0
            found = np.array(
                [hit(s, geometry, n, 0.0, 0.0, 0.0, *ray) for n, s in enumerate(shapes)]
            )
            found[~(found > NEAR)] = np.inf
            assert depth[v, u] == pytest.approx(found.min(), rel=1e-5)
            assert found[solid[v, u]] == pytest.approx(found.min(), rel=1e-5)


@given(
    st.tuples(st.floats(-6, 6), st.floats(-6, 6), st.floats(-1, 6)).map(np.array),
    st.floats(0.05, 3),
    st.floats(0.3, 2.8),
)
@settings(deadline=None, max_examples=300)
def test_no_pixel_of_a_ball_is_lost(center, radius, fov):
    """Balls fill the sphere by which the part of the image that is searched is found."""
    ball = Shape.ELLIPSOID, center, np.full(3, radius), np.eye(3)
    height, width = 60, 80
    focal, cx, cy = width / 2 / np.tan(fov / 2), (width - 1) / 2, (height - 1) / 2
    depth = np.full((height, width), np.inf, np.float32)
    trace(*rows([ball]), focal, cx, cy, depth, np.zeros((height, width), np.int16))
    v, u = np.mgrid[:height, :width]
    rays = np.stack([(u - cx) / focal, (v - cy) / focal, np.ones((height, width))], -1)
    square, along = (rays**2).sum(-1), rays @ center
    root = along**2 - square * (center @ center - radius**2)
    wanted = (along - np.sqrt(np.maximum(root, 0))) / square
    # Neither grazing rays nor those that end on the near plane are certain.
    certain = (np.abs(root) > 1e-6) & (np.abs(wanted - NEAR) > 1e-6)
    seen = (root > 0) & (wanted > NEAR)
    assert (np.isfinite(depth) == seen)[certain].all()
    np.testing.assert_allclose(depth[certain & seen], wanted[certain & seen], rtol=1e-4)


def test_the_part_of_the_image_that_is_searched_by_hand():
    """A focal length of 10 pixels, the axis at 9.5: what is 45 degrees aside lands at 19.5."""
    first, last = screen_range(0.0, 0.1, 10.0, 10.0, 9.5, 20)
    assert (first, last) == (9, 11)
    assert screen_range(0.0, 1.0, 0.9, 10.0, 9.5, 20) == (0, 20)
    # Far to the left and to the right there is nothing to search.
    assert screen_range(-30.0, 1.0, 10.0, 10.0, 9.5, 20) == (0, 0)
    assert screen_range(30.0, 1.0, 10.0, 10.0, 9.5, 20) == (20, 20)
    # A sphere that touches the ray at 45 degrees from inside.
    first, last = screen_range(5.0, 5.0 - 5.0 / np.sqrt(2), 5.0, 10.0, 9.5, 40)
    assert first < 19.5 < last < 40


@given(
    st.lists(solids(), min_size=1, max_size=5),
    POINTS,
    st.floats(0, 1),
    POINTS,
    st.floats(0.1, 0.5),
    st.integers(0, 10**6),
)
@settings(deadline=None, max_examples=60)
def test_shadows_are_those_of_all_solids(scene, center, radius, lamp, size, seed):
    """Of the solids that are looked up once for a sphere none is missing, and none too many."""
    room = Shape.ROOM, np.zeros(3), np.full(3, 9.0), np.eye(3)
    shapes, geometry, reach = rows([room, *scene])
    assume(np.linalg.norm(lamp - center) > 1e-3)
    light = np.array([*lamp, 0.7, size])
    found = np.empty(len(shapes), np.int64)
    count = casters(shapes, geometry, reach, center, radius + size, light, found)
    assert 0 not in found[:count]
    random = np.random.default_rng(seed)
    for _ in range(10):
        offset = random.standard_normal(3)
        point = center + radius * random.random() * offset / np.linalg.norm(offset)
        way = lamp + size * random.uniform(-0.5, 0.5, 3) - point
        lengths = [hit(shapes[n], geometry, n, *point, *way) for n in range(1, len(shapes))]
        brute = any(1e-4 < t < 1 for t in lengths)
        assert shadowed(shapes, geometry, reach, found[:count], *point, *way) == brute


@given(POINTS, st.floats(0.1, 1), POINTS, st.floats(0, 0.5), st.floats(0.1, 0.9), POINTS)
@settings(deadline=None, max_examples=200)
def test_no_small_solid_is_left_out_at_the_rim(center, radius, lamp, size, share, aside):
    """From the rim of the sphere to that of the lamp, past a ball that is just in the way."""
    across = np.cross(lamp - center, aside)
    assume(np.linalg.norm(across) > 1e-3)
    across /= np.linalg.norm(across)
    point = center + radius * across
    way = lamp + 0.86 * size * across - point
    assume(np.linalg.norm(way) > 0.5)
    small = 0.02
    beside = np.cross(way, aside + 0.1)
    assume(np.linalg.norm(beside) > 1e-3)
    off = point + share * way + 0.9 * small * beside / np.linalg.norm(beside)
    shapes, geometry, reach = rows([(Shape.ELLIPSOID, off, np.full(3, small), np.eye(3))])
    light, found = np.array([*lamp, 0.7, size]), np.empty(1, np.int64)
    count = casters(shapes, geometry, reach, center, radius + size, light, found)
    assert count == 1
    assert shadowed(shapes, geometry, reach, found[:count], *point, *way)
    # The other side of the lamp is not hidden by a ball that is far enough away from it.
    geometry[0, :3] = center - (radius + size + 1) * (lamp - center) / np.linalg.norm(lamp - center)
    assert casters(shapes, geometry, reach, center, radius, light, found) == 0


def test_a_shadow_by_hand():
    ball = Shape.ELLIPSOID, np.array([0, 0, 5.0]), np.full(3, 0.5), np.eye(3)
    shapes, geometry, reach = rows([ball])
    some = np.array([0])
    for point, wanted in (((0, 0, 7), True), ((0, 0, 3), False), ((2, 0, 7), False)):
        way = np.array([0, 0, 2.0]) - point
        assert shadowed(shapes, geometry, reach, some, *map(float, point), *way) == wanted
    # The light is nearer than the ball.
    assert not shadowed(shapes, geometry, reach, some, 0.0, 0.0, 0.0, 0.0, 0.0, 4.0)
