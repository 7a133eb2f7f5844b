# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Solids, furniture and people as they stand in a room."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from adamtl_ros.scenes.labels import SCENE_CLASSES, SCENE_TASKS, Part, SceneClass
from adamtl_ros.scenes.objects import FURNITURE, Person, ball, box, chair, column, lamp, table
from adamtl_ros.scenes.solids import Shape, Solid, Surface, capsule, transform, yaw_rotation
from adamtl_ros.tasks import PASCAL_PARTS

GREY = Surface((0.5, 0.5, 0.5))
POINTS = st.tuples(*[st.floats(-5, 5)] * 3).map(np.array)
ANGLES = st.floats(-10, 10)
FEW = settings(deadline=None, max_examples=40)


@FEW
@given(POINTS, POINTS)
def test_a_capsule_goes_from_end_to_end(start, end):
    assume(np.linalg.norm(end - start) > 1e-3)
    solid = capsule(start, end, 0.1, GREY, SceneClass.PERSON, Part.HEAD)
    np.testing.assert_allclose(solid.axes @ solid.axes.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(solid.axes) == pytest.approx(1)
    along = solid.half[2] * solid.axes[2]
    np.testing.assert_allclose(solid.center - along, start, atol=1e-9)
    np.testing.assert_allclose(solid.center + along, end, atol=1e-9)
    assert tuple(solid.half[:2]) == (0.1, 0.1)
    assert (solid.shape, solid.class_id, solid.part) == (
        Shape.CAPSULE,
        SceneClass.PERSON,
        Part.HEAD,
    )


def test_a_capsule_without_length_is_a_ball():
    solid = capsule((1, 2, 3), (1, 2, 3), 0.1, GREY, SceneClass.BALL)
    np.testing.assert_allclose(solid.axes @ solid.axes.T, np.eye(3), atol=1e-12)
    assert tuple(solid.half) == (0.1, 0.1, 0)


@FEW
@given(POINTS, POINTS, ANGLES, POINTS)
def test_turning_moves_a_solid_with_its_axes(center, corner, yaw, at):
    solid = Solid(Shape.BOX, center, (1, 2, 3), GREY, SceneClass.BOX)
    (moved,) = transform([solid], yaw, at)
    # A point given in the frame of the solid goes where the whole turn takes it.
    before = center + corner @ solid.axes
    after = moved.center + corner @ moved.axes
    np.testing.assert_allclose(after, yaw_rotation(yaw) @ before + at, atol=1e-9)
    assert after[2] - at[2] == pytest.approx(before[2])
    assert (moved.half, moved.class_id) == (solid.half, solid.class_id)


def test_a_quarter_turn_is_counterclockwise_from_above():
    (moved,) = transform([Solid(Shape.BOX, (1, 0, 0.5), (1, 2, 3), GREY, 0)], np.pi / 2, (0, 0, 1))
    np.testing.assert_allclose(moved.center, (0, 1, 1.5), atol=1e-12)


def test_classes_are_those_of_the_task_table():
    assert SCENE_TASKS['semseg'].classes == SCENE_CLASSES
    assert (SCENE_CLASSES[SceneClass.FLOOR], SCENE_CLASSES[SceneClass.PERSON]) == (
        'floor',
        'person',
    )
    for part in [*Part][1:]:
        assert PASCAL_PARTS[part] == part.name.lower()
        assert SCENE_TASKS['human_parts'].classes[part] == part.name.lower()


@pytest.mark.parametrize(
    ('maker', 'class_id'),
    [
        (table, SceneClass.TABLE),
        (chair, SceneClass.CHAIR),
        (box, SceneClass.BOX),
        (ball, SceneClass.BALL),
        (lamp, SceneClass.LAMP),
    ],
)
def test_furniture_stands_on_the_floor_within_its_circle(geometry, maker, class_id):
    assert maker in FURNITURE
    for seed, texture in itertools.product(range(20), (0, 1)):
        solids, radius = maker(np.random.default_rng(seed), texture)
        assert {solid.class_id for solid in solids} == {class_id}
        assert {solid.part for solid in solids} == {0}
        lowest, highest = zip(*map(geometry.height, solids), strict=True)
        # The pole of a lamp ends in its foot.
        assert -0.021 < min(lowest) < 0.001
        assert 0.15 < max(highest) < 2.1
        for solid in solids:
            out = np.abs(solid.center[:2]) + solid.half[:2]
            reach = np.hypot(*out) if solid.shape == Shape.BOX else out.max()
            # The back of a chair stands out a little.
            assert reach < radius + (0.025 if maker is chair else 1e-9)


def test_columns_reach_from_floor_to_ceiling(geometry):
    shapes = set()
    for seed in range(10):
        (solid,), radius = column(np.random.default_rng(seed), 0.5, 2.7)
        lowest, highest = geometry.height(solid)
        assert lowest <= 0
        assert highest >= 2.7
        assert solid.half[0] <= radius
        assert solid.class_id == SceneClass.COLUMN
        shapes.add(solid.shape)
    assert shapes == {Shape.BOX, Shape.CAPSULE}


def person(seed, texture=0.5):
    return Person.random(np.random.default_rng(seed), texture)


WALKS = list(itertools.product(range(12), np.linspace(0, 1.5, 7)))


def test_all_parts_of_a_person_are_there():
    for seed, walked in WALKS:
        solids = person(seed).solids((1, 2), 0.3, walked)
        assert {solid.class_id for solid in solids} == {SceneClass.PERSON}
        assert {solid.part for solid in solids} == set(Part) - {Part.NONE}
        counts = [solid.part for solid in solids]
        for limb in (Part.UPPER_ARM, Part.UPPER_LEG):
            assert counts.count(limb) == 2
        middle = {
            part: np.mean([s.center[2] for s in solids if s.part == part]) for part in set(counts)
        }
        assert middle[Part.HEAD] > middle[Part.TORSO] > middle[Part.UPPER_LEG]
        assert middle[Part.UPPER_LEG] > middle[Part.LOWER_LEG]


def test_people_are_as_tall_as_they_say_and_stand_on_the_floor(geometry):
    for seed, walked in WALKS:
        someone = person(seed)
        assert 1.45 <= someone.height <= 1.95
        for moving in (0, 1):
            solids = someone.solids((1, 2), 0.3, walked, moving)
            lowest, highest = zip(*map(geometry.height, solids), strict=True)
            assert max(highest) == pytest.approx(someone.height, rel=0.08 if moving else 0.025)
            # Hips sink as the legs spread, so that a foot is always on the floor.
            assert min(lowest) == pytest.approx(0, abs=1e-3)
            # Nobody is wider than their arms reach.
            for solid in solids:
                assert np.hypot(*(solid.center - [1, 2, 0])[:2]) < 0.7


def test_joints_hold_together():
    """Limbs end where the next one begins."""
    for seed, walked in WALKS:
        solids = person(seed).solids((0, 0), 0.7, walked)
        ends = {}
        for solid in solids:
            if solid.shape == Shape.CAPSULE:
                along = solid.half[2] * solid.axes[2]
                ends.setdefault(solid.part, []).append((solid.center - along, solid.center + along))
        for upper, lower in (
            (Part.UPPER_ARM, Part.LOWER_ARM),
            (Part.UPPER_LEG, Part.LOWER_LEG),
        ):
            for _, joint in ends[upper]:
                assert min(np.linalg.norm(joint - start) for start, _ in ends[lower]) < 1e-9


def test_left_and_right_take_turns():
    """After a step both sides have exchanged; after two all is as before."""
    someone = person(3)
    step = 0.72 * someone.height / 1.75

    def knees(walked):
        solids = someone.solids((0, 0), 0, walked)
        return np.array([s.center for s in solids if s.part == Part.UPPER_LEG])

    right, left = knees(step / 2)
    assert right[0] * left[0] < 0
    assert abs(right[0] - left[0]) > 0.05
    np.testing.assert_allclose(knees(1.5 * step)[:, 0], (left[0], right[0]), atol=1e-9)
    np.testing.assert_allclose(knees(2.5 * step), (right, left), atol=1e-9)


def test_who_stands_does_not_move():
    first, later = (person(4).solids((1, 1), 0.5, walked, 0) for walked in (0, 0.4))
    for one, other in zip(first, later, strict=True):
        np.testing.assert_allclose(one.center, other.center, atol=1e-12)


def test_people_differ_and_busy_clothes_have_patterns():
    assert len({person(seed).height for seed in range(20)}) == 20
    assert not any(person(seed, 0).shirt.pattern for seed in range(10))
    assert all(person(seed, 1).shirt.pattern for seed in range(10))
    assert person(7) == person(7)
