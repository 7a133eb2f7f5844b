# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""People who walk, the camera that sways, and the scene of the demo."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamtl_ros.scenes.compose import demo_scene, random_scene
from adamtl_ros.scenes.labels import ROOM_FACES, Part, SceneClass
from adamtl_ros.scenes.objects import Person
from adamtl_ros.scenes.render import render
from adamtl_ros.scenes.scene import View, Walker

PERSON = Person.random(np.random.default_rng(1), 0.5)
START, END = np.array([1.0, 2.0]), np.array([4.0, 6.0])
"""5 m apart."""


def walker(speed=1.0, **options):
    return Walker(PERSON, START, END, speed, **options)


def place(solids):
    """Return where on the floor somebody is: between their hips."""
    chest = [s.center[:2] for s in solids if s.part == Part.TORSO]
    return np.mean(chest, 0)


def faces(solids):
    """Return the direction in which somebody looks: from the hair to the face."""
    _, face, hair = (np.asarray(s.center) for s in solids if s.part == Part.HEAD)
    return (face - hair)[:2] / np.linalg.norm((face - hair)[:2])


@pytest.mark.parametrize(
    ('time', 'share', 'forward'),
    [(0, 0, 1), (1, 0.2, 1), (4.9, 0.98, 1), (5.1, 0.98, -1), (7.5, 0.5, -1), (9.9, 0.02, -1),
     (10.1, 0.02, 1), (11, 0.2, 1), (-1, 0.2, -1), (-5, 1, 1), (102.5, 0.5, 1)],
)  # fmt: skip
def test_a_walker_goes_to_and_fro(time, share, forward):
    solids = walker().solids(time)
    np.testing.assert_allclose(place(solids), START + share * (END - START), atol=1e-6)
    if 0 < share < 1:
        np.testing.assert_allclose(faces(solids), forward * np.array([0.6, 0.8]), atol=1e-6)


@settings(deadline=None, max_examples=40)
@given(st.floats(-50, 50), st.floats(0.1, 2), st.floats(0, 10))
def test_a_walker_keeps_to_the_way_and_to_the_speed(time, speed, offset):
    someone = walker(speed, offset=offset)
    here, then = place(someone.solids(time)), place(someone.solids(time + 0.1))
    share = (here - START) @ (END - START) / 25
    assert -1e-6 < share < 1 + 1e-6
    np.testing.assert_allclose(here, START + share * (END - START), atol=1e-6)
    assert np.linalg.norm(then - here) < 0.1 * speed + 1e-6


def test_an_offset_is_time_gained():
    np.testing.assert_allclose(
        place(walker(0.5, offset=2).solids(1)), place(walker(0.5).solids(5)), atol=1e-9
    )


def test_who_does_not_walk_stands_at_the_start_and_looks_to_the_end():
    for time in (-3, 0, 8):
        solids = walker(0.0).solids(time)
        np.testing.assert_allclose(place(solids), START, atol=1e-9)
        np.testing.assert_allclose(faces(solids), (0.6, 0.8), atol=1e-9)


def test_nobody_is_there_before_they_enter():
    someone = walker(enters=3.0)
    for time in (-1, 0, 2.99):
        assert someone.solids(time) == []
    np.testing.assert_allclose(place(someone.solids(3)), START, atol=1e-9)
    np.testing.assert_allclose(place(someone.solids(5.5)), (START + END) / 2, atol=1e-9)


VIEW = View(
    np.array([2.0, 1, 1.5]), np.array([3.0, 4, 1.2]), sway=0.2, pan=0.3, period=8, fov=1.2,
    phase=0.7,
)  # fmt: skip


def test_the_camera_sways_and_pans_within_its_bounds():
    middle = VIEW.target - VIEW.eye
    turns = []
    for time in np.linspace(-10, 30, 200):
        camera = VIEW.camera(time, (48, 64))
        assert np.abs(camera.eye - VIEW.eye).max() <= 0.2 + 1e-9
        np.testing.assert_allclose(camera.axes @ camera.axes.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(camera.axes) == pytest.approx(1)
        assert camera.axes[1, 2] < -0.9
        forward = camera.axes[2]
        turn = np.arctan2(forward[1], forward[0]) - np.arctan2(middle[1], middle[0])
        turns.append(turn)
        assert (camera.height, camera.width) == (48, 64)
        assert camera.focal == pytest.approx(32 / np.tan(0.6))
    assert max(turns) == pytest.approx(0.3, abs=0.01)
    assert min(turns) == pytest.approx(-0.3, abs=0.01)


def test_the_camera_moves_smoothly():
    eyes = np.array([VIEW.camera(t, (48, 64)).eye for t in np.arange(0, 20, 1 / 15)])
    assert 0 < np.linalg.norm(np.diff(eyes, axis=0), axis=1).max() < 0.03


def test_a_still_camera_stays_as_it_is_at_a_time():
    then = VIEW.camera(5.0, (48, 64))
    for time in (-2, 0, 5, 60):
        camera = VIEW.walking().still(5.0).camera(time, (48, 64))
        assert np.array_equal(camera.eye, VIEW.walking().still(5.0).camera(0, (48, 64)).eye)
        still = VIEW.still(5.0).camera(time, (48, 64))
        np.testing.assert_allclose(still.eye, then.eye, atol=1e-9)
        np.testing.assert_allclose(still.axes, then.axes, atol=1e-9)


def test_a_carried_camera_walks_and_steps():
    times = np.arange(0, 8, 1 / 30)
    eyes = np.array([VIEW.walking().camera(t, (48, 64)).eye for t in times])
    speed = np.linalg.norm(np.diff(eyes[:, :2], axis=0), axis=1) * 30
    assert 0.3 < speed.mean() < 0.7
    steps = np.diff(np.sign(np.diff(eyes[:, 2])))
    assert 24 <= np.count_nonzero(steps) <= 34  # 1.8 a second, up and down


def test_solids_know_the_thing_that_they_belong_to():
    scene = random_scene(4, 1)
    solids, owners = scene.solids(2)
    assert len(solids) == len(owners)
    assert solids[0] is scene.room
    first = 1 + len(scene.decoration)
    assert (owners[:first] < ROOM_FACES).all()
    groups = len(scene.things) + len(scene.walkers)
    assert set(owners[first:]) == set(range(ROOM_FACES, ROOM_FACES + groups))
    for number in set(owners[first:]):
        class_ids = {s.class_id for s, o in zip(solids, owners, strict=True) if o == number}
        assert len(class_ids) == 1
        assert (class_ids == {SceneClass.PERSON}) == (number >= ROOM_FACES + len(scene.things))


def test_a_moment_always_looks_the_same():
    scene = random_scene(2)
    for time in (-1.5, 0, 3):
        one, other = (scene.frame(time, (24, 32)) for _ in range(2))
        assert (one.image == other.image).all()
        for name, label in one.labels.items():
            assert (label == other.labels[name]).all()
    first, later = scene.frame(0, (24, 32)), scene.frame(0.2, (24, 32))
    assert (first.image != later.image).any()
    assert first.difficulty == scene.difficulty
    assert first.name == 'scene 2 at 0.00 s'


def things_in_view(scene, time):
    solids, owners = scene.solids(time)
    camera = scene.view.camera(time, (72, 96))
    seen = render(solids, scene.surfaces, camera, scene.lighting, samples=1)
    found, counts = np.unique(owners[seen.solid], return_counts=True)
    return {owner for owner in found[counts > 3] if owner >= ROOM_FACES}


@pytest.mark.parametrize('duration', [5, 10])
def test_the_demo_scene_begins_with_less_in_view_than_it_ends_with(duration):
    scene = demo_scene(duration)
    counts = [len(things_in_view(scene, share * duration)) for share in (0.05, 0.5, 0.95)]
    assert counts[0] < counts[1] < counts[2]
    marked = [
        scene.frame(share * duration, (48, 64), 1).labels['edges'].mean() for share in (0.05, 0.95)
    ]
    assert 2 * marked[0] < marked[1]
    assert np.isnan(scene.difficulty)


def test_people_enter_the_demo_scene_one_after_the_other():
    scene = demo_scene()
    there = [
        sum(bool(someone.solids(time)) for someone in scene.walkers) for time in (-1, 0, 5, 10)
    ]
    assert there[:2] == [0, 1]
    assert there[2:] == [3, 5]
    assert len(things_in_view(scene, 10) & set(range(ROOM_FACES + len(scene.things), 99))) > 1
    for someone in scene.walkers:
        # They come from behind a wall.
        inside = (someone.start > 0) & (someone.start < 2 * scene.room.half[:2])
        assert not inside.all()


def test_the_demo_scene_follows_from_its_seed():
    one, other, again = (demo_scene(seed=seed).frame(4, (24, 32)).image for seed in (2, 3, 2))
    assert (one == again).all()
    assert (one != other).any()
