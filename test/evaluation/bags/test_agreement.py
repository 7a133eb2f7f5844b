# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Where two results of a task differ so that one sees it."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adamtl_ros.evaluation.bags.scores import DifferenceRates, differing_fraction, subsample
from adamtl_ros.tasks import TASKS

NAN = float('nan')


def share(task, one, other, kind=np.float32):
    """Return how much two rows of pixels differ, which must be the same in both directions."""
    one, other = np.array([one], kind), np.array([other], kind)
    found = differing_fraction(task, one, other)
    assert found == pytest.approx(differing_fraction(task, other, one))
    return found


@pytest.mark.parametrize('task', ['semseg', 'human_parts'])
def test_labels_differ_where_they_are_not_the_same(task):
    assert share(task, [1, 2, 255, 255, 0], [1, 3, 255, 0, 255], np.uint8) == pytest.approx(0.6)


@pytest.mark.parametrize('task', ['saliency', 'edges'])
def test_probabilities_differ_above_a_quarter(task):
    assert share(task, [0, 0, 255, 255, 100], [64, 65, 191, 190, 100], np.uint8) == 0.4
    assert share(task, [0, 255], [255, 0], np.uint8) == 1


def test_depths_differ_above_a_ratio_of_five_to_four():
    assert share('depth', [4, 4, 5, 1, 0.5], [5, 5.001, 4, 1, 0.6251]) == pytest.approx(0.4)


def test_normals_differ_above_an_angle():
    def turned(degrees):
        angle = math.radians(degrees)
        return [0, math.sin(angle), -math.cos(angle)]

    ahead = turned(0)
    others = [turned(11.2), turned(-11.2), turned(11.3), turned(-11.3), turned(180)]
    assert share('normals', [ahead] * 5, others) == pytest.approx(0.6)


@pytest.mark.parametrize('task', ['depth', 'normals'])
def test_unknown_agrees_with_unknown_only(task):
    def pixels(*values):
        return [[value, 0, 0] for value in values] if task == 'normals' else list(values)

    assert share(task, pixels(NAN, NAN, 1, 1), pixels(NAN, 1, NAN, 1)) == 0.5
    assert share(task, pixels(NAN), pixels(NAN)) == 0
    assert share(task, pixels(NAN), pixels(1)) == 1


@pytest.mark.parametrize('task', TASKS)
def test_results_of_other_shapes_cannot_be_compared(task):
    end = (3,) if task == 'normals' else ()
    kind = np.float32 if task in ('depth', 'normals') else np.uint8
    one, other = np.ones((4, 6, *end), kind), np.ones((6, 4, *end), kind)
    assert math.isnan(differing_fraction(task, one, other))
    assert differing_fraction(task, one, one) == 0


def test_every_fourth_pixel_is_compared():
    pixels = np.arange(9 * 10, dtype=np.uint8).reshape(9, 10)
    found = subsample({'edges': pixels})['edges']
    assert found.tolist() == [[0, 4, 8], [40, 44, 48], [80, 84, 88]]
    assert found.flags.c_contiguous
    assert subsample({'normals': np.zeros((9, 10, 3))})['normals'].shape == (3, 3, 3)


def test_shares_are_averaged_over_frames():
    total = DifferenceRates(['depth', 'edges'])
    for value in (0.0, 0.05, 0.06, 0.29, NAN):
        total.add('depth', value)
    found = total.compute()
    assert found['depth'] == {'pixels': pytest.approx(0.1), 'frames': 0.5}
    assert all(math.isnan(value) for value in found['edges'].values())


@given(st.lists(st.one_of(st.floats(0, 1), st.just(NAN)), max_size=12), st.integers(0, 12))
def test_merging_equals_adding(shares, split):
    one, other, whole = (DifferenceRates(['depth']) for _ in range(3))
    for index, value in enumerate(shares):
        (one if index < split else other).add('depth', value)
        whole.add('depth', value)
    one.merge(other)
    expected = whole.compute()['depth']
    assert one.compute()['depth'] == pytest.approx(expected, nan_ok=True)
    known = [value for value in shares if not math.isnan(value)]
    if known:
        assert expected['pixels'] == pytest.approx(np.mean(known))
        assert expected['frames'] == pytest.approx(np.mean(np.array(known) > 0.05))


def test_merging_takes_tasks_that_another_one_lacks():
    total, part = DifferenceRates(['depth', 'edges']), DifferenceRates(['edges'])
    part.add('edges', 0.5)
    total.merge(part)
    assert total.compute()['edges']['pixels'] == 0.5
    assert math.isnan(total.compute()['depth']['pixels'])
