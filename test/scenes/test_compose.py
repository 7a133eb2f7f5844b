# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Random scenes."""

import numpy as np
import pytest

from adamtl_ros.scenes.compose import CLEAR_M, random_scene
from adamtl_ros.scenes.labels import SceneClass
from adamtl_ros.scenes.solids import Shape

SEEDS = range(30)
SMALL = (48, 64)


def mean_over_seeds(measure, level, seeds=range(8)):
    return np.mean([measure(random_scene(seed, level).frame(1, SMALL, 1)) for seed in seeds])


def test_the_same_seed_gives_the_same_scene():
    for level in (None, 0.7):
        one, other = (random_scene(11, level).frame(2, SMALL) for _ in range(2))
        assert (one.image == other.image).all()
        for name, label in one.labels.items():
            assert (label == other.labels[name]).all()
        assert one.difficulty == other.difficulty


def test_other_seeds_give_other_scenes():
    images = [random_scene(seed, 0.5).frame(2, SMALL, 1).image for seed in range(5)]
    for number, image in enumerate(images):
        for other in images[:number]:
            assert np.abs(image.astype(int) - other).mean() > 5


def test_difficulty_is_drawn_if_it_is_not_given():
    levels = [random_scene(seed).difficulty for seed in range(100)]
    assert 0 <= min(levels) < 0.1
    assert 0.9 < max(levels) <= 1
    assert random_scene(3, 0.25).difficulty == 0.25


@pytest.mark.parametrize('level', [-0.01, 1.01, float('nan'), float('inf')])
def test_difficulties_out_of_range_are_refused(level):
    with pytest.raises(ValueError, match=f'difficulty must lie in 0..1, got {level}'):
        random_scene(0, level)


def test_a_room_without_difficulty_is_all_but_bare():
    scenes = [random_scene(seed, 0) for seed in SEEDS]
    assert {len(scene.things) for scene in scenes} == {0, 1}
    assert {len(scene.walkers) for scene in scenes} == {0, 1}
    assert not any(scene.decoration for scene in scenes)


def test_a_difficult_room_is_full():
    scenes = [random_scene(seed, 1) for seed in SEEDS]
    things, people = ([len(getattr(s, kind)) for s in scenes] for kind in ('things', 'walkers'))
    assert 7 <= min(things) < max(things) <= 15
    assert np.mean(things) > 11
    assert 2 <= min(people) < max(people) <= 5
    assert np.mean(people) > 3


def test_what_a_room_holds_grows_with_difficulty():
    counts = [
        np.mean([len(random_scene(seed, level).things) for seed in SEEDS])
        for level in (0, 0.25, 0.5, 0.75, 1)
    ]
    assert counts == sorted(counts)


def test_difficult_scenes_have_more_edges_and_are_darker_and_noisier():
    share = [mean_over_seeds(lambda f: f.labels['edges'].mean(), level) for level in (0, 0.5, 1)]
    assert 1.5 * share[0] < share[1]
    assert 1.25 * share[1] < share[2]
    light = [mean_over_seeds(lambda f: f.image.mean(), level) for level in (0, 1)]
    assert light[1] < light[0] - 10
    noise = [np.mean([random_scene(s, level).lighting.noise for s in SEEDS]) for level in (0, 1)]
    assert noise[1] > 1.5 * noise[0]


def gap(solid, point):
    """Return how far above or beside a solid's outline on the floor a point is."""
    local = solid.axes @ np.array([*(point - np.asarray(solid.center)[:2]), 0])
    if solid.shape == Shape.BOX:
        return np.linalg.norm(np.maximum(np.abs(local[:2]) - solid.half[:2], 0))
    return np.linalg.norm(local[:2]) - solid.half[0]


def test_things_and_people_keep_clear_of_the_camera():
    for seed in SEEDS[:12]:
        scene = random_scene(seed, 0.8)
        eye = scene.view.eye[:2]
        for solid in (solid for thing in scene.things for solid in thing):
            assert gap(solid, eye) > CLEAR_M
        for someone in scene.walkers:
            for time in np.linspace(0, 20, 12):
                body = [np.asarray(s.center)[:2] for s in someone.solids(time)]
                assert np.linalg.norm(np.mean(body, 0) - eye) > CLEAR_M


def test_nothing_comes_close_to_the_lens():
    """The camera sways towards what keeps clear of it, but not into it."""
    for seed in range(12):
        scene = random_scene(seed, 0.9)
        for time in (0, 3, 6):
            frame = scene.frame(time, (24, 32), 1)
            things = frame.labels['semseg'] > SceneClass.CEILING
            assert frame.labels['depth'][things].min(initial=9) > 0.3


def test_all_stands_in_the_room():
    for seed in SEEDS:
        scene = random_scene(seed, 0.8)
        size = 2 * scene.room.half
        assert (size[:2] >= 4.5).all()
        assert (size[:2] <= 9).all()
        for thing in scene.things:
            middle = np.mean([np.asarray(s.center)[:2] for s in thing], 0)
            assert (middle > 0).all()
            assert (middle < size[:2]).all()
        for someone in scene.walkers:
            for end in (someone.start, someone.end):
                assert (end > 0.3).all()
                assert (end < size[:2] - 0.3).all()
        for time in np.linspace(0, 20, 20):
            eye = scene.view.camera(time, SMALL).eye
            assert (eye > 0.1).all()
            assert (eye < size - 0.1).all()
        for lamp in scene.lighting.lights:
            assert (lamp.at > 0).all()
            assert (lamp.at < size).all()


def test_things_do_not_stand_in_each_other():
    """They have a circle of their own each; a chair's back may stand out by 2 cm."""
    for seed in SEEDS:
        things = random_scene(seed, 1).things
        middles = [np.mean([np.asarray(s.center)[:2] for s in thing], 0) for thing in things]
        for number, middle in enumerate(middles):
            for other in middles[:number]:
                assert np.linalg.norm(middle - other) > 0.2


def test_every_meaning_appears():
    seen = set()
    for seed in range(20):
        seen |= set(np.unique(random_scene(seed, 1).frame(0, SMALL, 1).labels['semseg']))
    assert seen == set(SceneClass)


def test_most_people_walk_and_some_stand():
    speeds = [w.speed for seed in range(60) for w in random_scene(seed, 1).walkers]
    share = np.mean([speed > 0 for speed in speeds])
    assert 0.4 < share < 0.9
    assert max(speeds) <= 1.5
    assert all(speed == 0 or speed >= 0.6 for speed in speeds)
