# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Labels of rendered scenes: rules by hand, and their form on whole scenes."""

import numpy as np
import pytest

from adamtl_ros.sample import valid_mask
from adamtl_ros.scenes.compose import demo_scene, random_scene
from adamtl_ros.scenes.labels import (
    ROOM_FACES,
    STRUCTURE,
    Part,
    SceneClass,
    edges,
    saliency,
    scene_labels,
)
from adamtl_ros.scenes.render import Rendering, render
from adamtl_ros.scenes.solids import Shape, Solid, Surface
from adamtl_ros.tasks import TASKS, Kind

GREY = Surface((0.5, 0.5, 0.5))


@pytest.fixture(scope='module')
def frames():
    """Return frames from bare to crowded."""
    levels = (0, 0.3, 0.6, 0.9, 1)
    return [random_scene(seed, level).frame(seed, (48, 64)) for seed, level in enumerate(levels)]


def test_edges_by_hand():
    thing = np.array([
        [1, 1, 2, 2],
        [1, 1, 2, 2],
        [1, 3, 3, 2],
    ], np.int16)  # fmt: skip
    marked = edges(thing)
    assert marked.dtype == np.uint8
    assert marked.tolist() == [[0, 1, 0, 0], [0, 1, 1, 0], [1, 0, 1, 0]]
    assert not edges(np.full((3, 4), 7, np.int16)).any()
    assert edges(np.array([[1, 2]], np.int16)).tolist() == [[1, 0]]
    assert edges(np.array([[1], [2]], np.int16)).tolist() == [[1], [0]]


def plane(*patches):
    """Return things and class_ids of 10x10 pixels: a wall, and (rows, columns, class_id)."""
    thing, class_id = np.zeros((10, 10), np.int16), np.full((10, 10), SceneClass.WALL, np.uint8)
    for number, (rows, columns, what) in enumerate(patches, ROOM_FACES):
        thing[rows, columns], class_id[rows, columns] = number, what
    return class_id, thing


MIDDLE, RIGHT, CORNER = np.s_[3:7], np.s_[7:9], np.s_[0:2]


def test_the_largest_thing_is_salient_and_the_small_one_aside_is_not():
    """Roots of the areas are 0.4 and 0.2; whoever has less than 0.6 of the largest is out."""
    big = (MIDDLE, MIDDLE, SceneClass.BOX)
    mask = saliency(*plane(big, (CORNER, CORNER, SceneClass.BALL)))
    assert mask.dtype == np.uint8
    assert mask[MIDDLE, MIDDLE].all()
    assert mask.sum() == 16


def test_people_stand_out_where_things_do_not():
    """At 0.48 of the way to the corner, 0.2 * 0.76 is too little for a ball.

    It is enough for a person, whose weight is half as much again: the box in the middle has
    0.4 * (1 - 0.5 * 0.31) = 0.34, of which 0.6 are 0.2.
    """
    big = (MIDDLE, MIDDLE, SceneClass.BOX)
    beside = (np.s_[4:6], RIGHT)
    assert saliency(*plane(big, (*beside, SceneClass.BALL))).sum() == 16
    assert saliency(*plane(big, (*beside, SceneClass.PERSON))).sum() == 20
    # In the corner even a person does not.
    assert saliency(*plane(big, (CORNER, CORNER, SceneClass.PERSON))).sum() == 16


def test_what_is_central_stands_out_among_equals():
    """At the corner half of the weight is lost, which is less than 0.6."""
    thing = np.s_[4:6]
    twins = ((thing, thing, SceneClass.BOX), (np.s_[8:10], np.s_[8:10], SceneClass.BOX))
    mask = saliency(*plane(*twins))
    assert mask[thing, thing].all()
    assert mask.sum() == 4


@pytest.mark.parametrize('class_id', STRUCTURE)
def test_the_room_is_never_salient(class_id):
    assert not saliency(*plane((MIDDLE, MIDDLE, class_id))).any()


def test_specks_are_not_salient():
    """One pixel of 400 is less than 0.3 per cent; two are more."""
    class_id, thing = np.full((20, 20), SceneClass.WALL, np.uint8), np.zeros((20, 20), np.int16)
    class_id[9, 9], thing[9, 9] = SceneClass.BALL, 7
    assert not saliency(class_id, thing).any()
    class_id[9, 10], thing[9, 10] = SceneClass.BALL, 7
    assert saliency(class_id, thing).sum() == 2


def test_labels_of_a_tiny_view_by_hand():
    """A room, a picture on its third wall, and somebody's head and torso."""
    room = Solid(Shape.ROOM, (0, 0, 0), (1, 1, 1), GREY, SceneClass.FLOOR)
    picture = Solid(Shape.BOX, (0, 0, 0), (1, 1, 1), GREY, SceneClass.WALL)
    head = Solid(Shape.ELLIPSOID, (0, 0, 0), (1, 1, 1), GREY, SceneClass.PERSON, Part.HEAD)
    torso = Solid(Shape.ELLIPSOID, (0, 0, 0), (1, 1, 1), GREY, SceneClass.PERSON, Part.TORSO)
    seen = Rendering(
        np.zeros((3, 4, 3), np.uint8),
        np.arange(12, dtype=np.float32).reshape(3, 4) + 1,
        np.full((3, 4, 3), 0.5, np.float32),
        np.array([[0, 0, 1, 0], [0, 2, 1, 0], [0, 3, 3, 0]], np.int16),
        # What the sides of other solids are called does not matter.
        np.array([[5, 5, 4, 5], [3, 4, 4, 0], [4, 1, 2, 4]], np.int8),
    )
    labels = scene_labels(seen, [room, picture, head, torso], np.array([0, 3, 6, 6], np.int16))
    assert list(labels) == list(TASKS)
    floor, wall, ceiling, person = (
        SceneClass.FLOOR,
        SceneClass.WALL,
        SceneClass.CEILING,
        SceneClass.PERSON,
    )
    assert labels['semseg'].tolist() == [
        [ceiling, ceiling, wall, ceiling],
        [wall, person, wall, wall],
        [floor, person, person, floor],
    ]
    assert labels['human_parts'].tolist() == [[0, 0, 0, 0], [0, 1, 0, 0], [0, 2, 2, 0]]
    assert labels['saliency'].tolist() == [[0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0]]
    # Between head and torso there is no edge, nor between a picture and its wall.
    assert labels['edges'].tolist() == [[1, 1, 1, 1], [1, 1, 1, 1], [1, 0, 1, 0]]
    assert (labels['depth'] == seen.depth).all()
    assert (labels['normals'] == seen.normals).all()


def test_a_picture_makes_no_edge_on_its_wall():
    scene = next(scene for scene in map(random_scene, range(99)) if len(scene.decoration) > 3)
    for side, solid in scene.decoration:
        assert solid.class_id == SceneClass.WALL
        # It hangs on the wall that it belongs to.
        wall = (0, 2 * scene.room.half[side // 2])[side % 2]
        assert solid.center[side // 2] == pytest.approx(wall)
    bare, owners = scene.solids(0)
    assert set(owners[1 : len(scene.decoration) + 1]) == {side for side, _ in scene.decoration}
    camera = scene.view.camera(0, (48, 64))
    count = len(scene.decoration)
    kept = [0, *range(count + 1, len(bare))]
    with_them = scene_labels(
        render(bare, scene.surfaces, camera, scene.lighting, samples=1), bare, owners
    )
    some = [bare[i] for i in kept]
    without = scene_labels(
        render(some, scene.surfaces, camera, scene.lighting, samples=1), some, owners[kept]
    )
    for task in ('semseg', 'human_parts', 'saliency', 'edges'):
        # They stand 15 mm off the wall, and may reach as much round a corner.
        assert (with_them[task] == without[task]).mean() > 0.995


def test_labels_have_the_form_of_a_sample(frames):
    for frame in frames:
        assert (frame.image.shape, frame.image.dtype) == ((48, 64, 3), np.uint8)
        assert list(frame.labels) == list(TASKS)
        for name, label in frame.labels.items():
            vector = TASKS[name].kind is Kind.NORMALS
            assert label.shape == ((48, 64, 3) if vector else (48, 64))
            exact = TASKS[name].kind in (Kind.NORMALS, Kind.DEPTH)
            assert label.dtype == (np.float32 if exact else np.uint8)
            assert valid_mask(name, label).all()
            assert label.flags.c_contiguous
        np.testing.assert_allclose(np.linalg.norm(frame.labels['normals'], axis=-1), 1, atol=1e-6)
        assert 0.2 < frame.labels['depth'].min() < frame.labels['depth'].max() < 13
        assert set(np.unique(frame.labels['semseg'])) <= set(SceneClass)
        assert set(np.unique(frame.labels['human_parts'])) <= set(Part)
        for name in ('saliency', 'edges'):
            assert set(np.unique(frame.labels[name])) <= {0, 1}


def test_all_of_a_person_and_nothing_else_has_parts(frames):
    people = 0
    for frame in [*frames, demo_scene().frame(9, (48, 64))]:
        person = frame.labels['semseg'] == SceneClass.PERSON
        assert ((frame.labels['human_parts'] > 0) == person).all()
        people += person.sum()
    assert people > 500


def test_where_classes_meet_there_is_an_edge(frames):
    for frame in frames:
        semseg, marked = frame.labels['semseg'], frame.labels['edges'].astype(bool)
        assert marked[:, :-1][semseg[:, :-1] != semseg[:, 1:]].all()
        assert marked[:-1][semseg[:-1] != semseg[1:]].all()
        # Where there is no edge, depth is steady: less than a third from pixel to pixel.
        depth = frame.labels['depth']
        step = np.abs(np.diff(depth, axis=1)) / depth[:, :-1]
        assert np.median(step[marked[:, :-1]]) > np.median(step[~marked[:, :-1]])


def test_structure_is_never_salient_and_salient_things_are_whole(frames):
    for frame in frames:
        mask = frame.labels['saliency'].astype(bool)
        assert not np.isin(frame.labels['semseg'][mask], STRUCTURE).any()
        border = mask[:, :-1] != mask[:, 1:]
        assert frame.labels['edges'][:, :-1][border].all()
