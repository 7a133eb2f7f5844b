# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What a pinhole camera sees, by hand and against the solids themselves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamtl_ros.scenes.compose import random_scene
from adamtl_ros.scenes.labels import SceneClass
from adamtl_ros.scenes.render import Camera, Light, render
from adamtl_ros.scenes.solids import Pattern, Shape, Solid, Surface, capsule

SEEDS = range(4)


@pytest.fixture(scope='module')
def scenes():
    """Return solids, camera and rendering of crowded scenes."""
    found = []
    for seed in SEEDS:
        scene = random_scene(seed, 0.9)
        solids, _ = scene.solids(1.5)
        camera = scene.view.camera(1.5, (72, 96))
        seen = render(solids, scene.surfaces, camera, scene.lighting, samples=1)
        found.append((solids, camera, seen))
    return found


def test_a_wall_three_meters_away(geometry):
    """Depth is along the optical axis: the same all over a wall that faces the camera."""
    seen = geometry.look(size=(49, 65), fov=1.5)
    wall = seen.face == 3
    assert wall[24, :].all()
    np.testing.assert_allclose(seen.depth[wall], 3, rtol=1e-6)
    np.testing.assert_allclose(seen.normals[wall], np.tile([0, 0, -1], (wall.sum(), 1)), atol=1e-6)
    # 1.5 m below the axis and 3 m away the floor begins; f = 32.5 / tan(0.75).
    focal = 32.5 / np.tan(0.75)
    assert wall[:, 32].sum() == 2 * int(focal / 2) + 1
    floor = seen.face == 4
    rows = np.nonzero(floor)[0]
    np.testing.assert_allclose(seen.depth[floor], 1.5 * focal / (rows - 24), rtol=1e-5)


def test_the_optical_frame_has_x_right_y_down_z_forward(geometry):
    seen = geometry.look(fov=2.2)
    towards = {0: (1, 0, 0), 1: (-1, 0, 0), 3: (0, 0, -1), 4: (0, -1, 0), 5: (0, 1, 0)}
    assert set(np.unique(seen.face)) == set(towards)
    for face, normal in towards.items():
        np.testing.assert_allclose(seen.normals[seen.face == face].mean(0), normal, atol=1e-6)
    rows, columns = np.mgrid[:48, :64]
    for face, place, low in ((0, columns, True), (1, columns, False), (5, rows, True)):
        assert (place[seen.face == face].mean() < place.mean()) == low


@pytest.mark.parametrize(
    ('at', 'left', 'up'),
    [((2, 3, 1.5), True, None), ((4, 3, 1.5), False, None), ((3, 3, 2), None, True),
     ((3, 3, 1), None, False)],
)  # fmt: skip
def test_a_solid_on_the_left_is_on_the_left(geometry, at, left, up):
    rows, columns = np.nonzero(geometry.look([geometry.ball(*at)]).solid)
    assert rows.size
    if left is None:
        assert (rows < 24).all() == up
        assert (rows > 23).all() != up
        assert columns.mean() == pytest.approx(31.5)
    else:
        assert (columns < 32).all() == left
        assert (columns > 31).all() != left
        assert rows.mean() == pytest.approx(23.5)


@given(st.floats(1.5, 4.5), st.floats(2.5, 3.8), st.floats(0.5, 2.5), st.floats(-0.5, 0.5))
@settings(deadline=None, max_examples=25)
def test_a_known_point_lands_where_a_pinhole_puts_it(geometry, x, y, z, roll):
    point = np.array([x, y, z])
    eye, at, fov = np.array([3, 0.4, 1.5]), np.array([3.2, 4, 1.4]), 1.4
    camera = Camera.look_at(eye, at, (96, 128), fov, roll)
    lighting = random_scene(0).lighting
    ball = geometry.ball(*point, 0.06)
    seen = render([geometry.room, ball], [geometry.grey] * 3, camera, lighting, samples=1)
    # By angles from the optical axis, without the matrix of the camera.
    forward = (at - eye) / np.linalg.norm(at - eye)
    depth = (point - eye) @ forward
    right = np.array([forward[1], -forward[0], 0]) / np.hypot(*forward[:2])
    up = np.array([-forward[0] * forward[2], -forward[1] * forward[2], 1 - forward[2] ** 2])
    up /= np.linalg.norm(up)
    aside, down = (point - eye) @ right, -(point - eye) @ up
    c, s = np.cos(roll), np.sin(roll)
    focal = 64 / np.tan(fov / 2)
    column = 63.5 + focal * (c * aside + s * down) / depth
    row = 47.5 + focal * (c * down - s * aside) / depth
    if 4 < column < 123 and 4 < row < 91:
        rows, columns = np.nonzero(seen.solid == 1)
        assert columns.mean() == pytest.approx(column, abs=0.6)
        assert rows.mean() == pytest.approx(row, abs=0.6)
        assert seen.depth[seen.solid == 1].min() == pytest.approx(depth - 0.06, abs=0.01)


def test_the_camera_is_a_right_handed_rotation():
    camera = Camera.look_at(np.array([1, 2, 1.5]), np.array([3, 1, 1.2]), (48, 64), 1.2, roll=0.3)
    np.testing.assert_allclose(camera.axes @ camera.axes.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(camera.axes) == pytest.approx(1)
    assert camera.principal_point == (31.5, 23.5)
    # The field of view spans the width.
    assert 2 * np.arctan(32 / camera.focal) == pytest.approx(1.2)


def test_the_nearer_solid_hides_the_farther(geometry):
    near, far = geometry.ball(3, 2, 1.5, 0.3), geometry.ball(3, 3, 1.5, 0.3)
    for order, number in (([near, far], 1), ([far, near], 2)):
        seen = geometry.look(order)
        assert seen.solid[24, 32] == number
        assert seen.depth[24, 32] == pytest.approx(0.7, abs=0.01)
    # What is behind a wall or behind the camera is not seen.
    hidden = [geometry.ball(3, 4.5, 1.5, 0.3), geometry.ball(3, 0.4, 1.5, 0.3)]
    assert (geometry.look(hidden).solid == 0).all()


def test_every_pixel_lies_on_its_solid(geometry, scenes):
    for solids, camera, seen in scenes:
        points = geometry.world(camera, seen.depth)
        for number in np.unique(seen.solid):
            solid = solids[number]
            local = (points[seen.solid == number] - solid.center) @ np.asarray(solid.axes).T
            # Half floats have no part in it: depth is off by 1e-7 of itself.
            off = geometry.implicit(solid.shape, solid.half, local) * np.min(solid.half)
            assert np.abs(off).max() < 1e-5
        assert len(np.unique(seen.solid)) > 10


def test_no_solid_is_before_what_a_pixel_shows(geometry, scenes):
    for solids, camera, seen in scenes:
        for share in (0.5, 0.9, 0.99):
            points = geometry.world(camera, share * seen.depth)
            for solid in solids[1:]:
                local = (points - solid.center) @ np.asarray(solid.axes).T
                assert geometry.implicit(solid.shape, solid.half, local).min() > -1e-6


def test_normals_are_those_of_the_depth_within_a_face(geometry, scenes):
    """The cross product of the ways to the right and to the lower neighbour points away."""
    for solids, camera, seen in scenes:
        points = (geometry.world(camera, seen.depth) - camera.eye) @ camera.axes.T
        right, down = points[:-1, 1:] - points[:-1, :-1], points[1:, :-1] - points[:-1, :-1]
        across = -np.cross(right, down)
        across /= np.linalg.norm(across, axis=-1, keepdims=True)
        flat = np.isin([s.shape for s in solids], (Shape.BOX, Shape.ROOM))[seen.solid]
        same = flat[:-1, :-1]
        for plane in (seen.solid, seen.face):
            same = same & (plane[:-1, :-1] == plane[:-1, 1:]) & (plane[:-1, :-1] == plane[1:, :-1])
        assert same.mean() > 0.5
        agree = (across * seen.normals[:-1, :-1]).sum(-1)[same]
        assert agree.min() > 0.999


def test_normals_are_unit_vectors_towards_the_camera(geometry, scenes):
    for _, camera, seen in scenes:
        np.testing.assert_allclose(np.linalg.norm(seen.normals, axis=-1), 1, atol=1e-6)
        rays = (geometry.world(camera, seen.depth) - camera.eye) @ camera.axes.T
        rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
        assert (seen.normals * rays).sum(-1).max() < 1e-3


def test_more_rays_change_the_image_but_not_the_labels(geometry):
    solids = [
        geometry.ball(2.5, 2.5, 1.2, 0.4, Surface((0.8, 0.1, 0.1), pattern=Pattern.CHECKER)),
        capsule((3.2, 3, 0), (3.6, 3.2, 2), 0.2, geometry.grey, SceneClass.COLUMN),
    ]
    one = geometry.look(solids, samples=1)
    for samples in (2, 3, 4):
        seen = geometry.look(solids, samples=samples)
        assert (seen.solid == one.solid).mean() > 0.998
        same = seen.solid == one.solid
        np.testing.assert_allclose(seen.depth[same], one.depth[same], rtol=1e-5)
        np.testing.assert_allclose(seen.normals[same], one.normals[same], atol=1e-3)
        difference = np.abs(seen.image.astype(int) - one.image)
        assert difference.max() > 5
        assert difference.mean() < 5


def test_noise_follows_from_the_seed(geometry):
    first, again, other = (geometry.look(noise=0.02, seed=seed).image for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).mean() > 0.5
    clean = geometry.look(seed=1).image
    assert (clean == geometry.look(seed=2).image).all()
    spread = (first.astype(float) - clean).std()
    assert spread == pytest.approx(0.02 * 255, rel=0.1)


def test_more_light_makes_a_brighter_image(geometry):
    def brightness(solids=(), **lighting):
        return geometry.look(solids, **lighting).image.mean()

    assert brightness(ambient=0.2) < brightness(ambient=0.4) < brightness(ambient=0.4, exposure=1.5)
    dark = geometry.look([geometry.ball(3, 3, 1.5)], lights=())
    lit = geometry.look([geometry.ball(3, 3, 1.5)])
    assert (lit.image >= dark.image).all()
    assert brightness(lights=()) < brightness()
    glowing = Surface((0.5, 0.5, 0.5), glow=0.8)
    seen = geometry.look([geometry.ball(3, 3, 1.5, surface=glowing)])
    ball = seen.solid == 1
    assert (seen.image[ball].mean(0) > lit.image[ball].mean(0) + 10).all()
    assert (seen.image[~ball] == lit.image[~ball]).all()


def test_a_shiny_ball_has_a_highlight(geometry):
    shiny = Surface((0.5, 0.5, 0.5), shine=0.5)
    # The lamp is where the camera is, so the mirror image is in the middle of the ball.
    lamp = (Light(np.array([3, 1.0, 1.5]), 0.6),)
    matt = geometry.look([geometry.ball(3, 2.5, 1.5, 0.5)], lights=lamp).image
    gloss = geometry.look([geometry.ball(3, 2.5, 1.5, 0.5, shiny)], lights=lamp).image
    more = gloss.astype(int)[..., 0] - matt[..., 0]
    assert more.min() >= 0
    assert more.max() > 20
    assert more[23:25, 31:33].min() >= more.max() - 2
    assert more[0, 0] == 0


def test_surfaces_give_floor_walls_and_ceiling_their_colors(geometry):
    colors = [Surface(rgb) for rgb in ((0.6, 0, 0), (0, 0.6, 0), (0, 0, 0.6))]
    lighting = random_scene(0, 0).lighting
    camera = geometry.camera_at(fov=2)
    seen = render([geometry.room], colors, camera, lighting, samples=1)
    channel = np.array([1, 1, 1, 1, 0, 2])[seen.face]
    assert (seen.image.argmax(-1) == channel).all()


def test_shadows_lie_where_solids_are_before_the_lamp(geometry):
    """For a lamp without size, against an independent test of every way to the lamp."""
    lamp = np.array([3.0, 2.5, 2.9])
    random = np.random.default_rng(2)
    balls = [geometry.ball(*at, 0.08) for at in random.uniform((1, 1.3, 0.8), (5, 3.7, 2), (25, 3))]
    box = Solid(Shape.BOX, (3.1, 2.6, 1.8), (0.3, 0.2, 0.05), geometry.grey, SceneClass.BOX)
    view = {'lights': (Light(lamp, 0.8, 0.0),), 'fov': 1.9, 'size': (72, 96)}
    seen, empty = geometry.look([*balls, box], **view), geometry.look(**view)
    points = geometry.world(geometry.camera_at((72, 96), 1.9), seen.depth)
    ways = lamp - points
    between = points + np.linspace(0.001, 1, 100)[:, None, None, None] * ways - box.center
    blocked = geometry.implicit(Shape.BOX, box.half, between).min(0) < 0
    for ball in balls:
        # The nearest that the way to the lamp comes to the middle of a ball.
        share = ((ball.center - points) * ways).sum(-1) / (ways**2).sum(-1)
        nearest = points + np.clip(share, 0, 1)[..., None] * ways
        blocked |= np.linalg.norm(nearest - ball.center, axis=-1) < ball.half[0]
    around = seen.solid == 0
    darker = seen.image[..., 0] < empty.image[..., 0]
    assert (darker == blocked)[around].mean() > 0.997
    assert 300 < (darker & around).sum() < around.sum() / 2


def test_large_lamps_throw_soft_shadows(geometry):
    """Where the shadow of a small lamp ends at once, that of a large one thins out."""
    plate = Solid(Shape.BOX, (3, 2.6, 1.8), (0.4, 0.3, 0.05), geometry.grey, SceneClass.BOX)
    changes = []
    for size in (0.0, 0.8):
        light = (Light(np.array([3, 2.5, 2.9]), 0.8, size),)
        seen, empty = (geometry.look(solids, lights=light, fov=1.9) for solids in ([plate], []))
        shaded = ((seen.image < empty.image).all(-1) & (seen.solid == 0)).astype(int)
        assert shaded.sum() > 50
        changes.append(np.abs(np.diff(shaded)).sum())
    assert changes[1] > 2 * changes[0]
