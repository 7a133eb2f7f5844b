# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Constant answers for depth and normals: scores by hand, and the median of a data set."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adamtl_ros.evaluation.floors import MOST_DEPTH, Floors, median_depth
from adamtl_ros.sample import Sample
from adamtl_ros.tasks import TASKS

INDOOR = Path(__file__).resolve().parents[2] / '../shared/bags/indoor_rgbd'


class Depths:
    """Data set of depths alone; None is an image without a label."""

    tasks = TASKS

    def __init__(self, *depths):
        self.depths, self.read = depths, []

    def __len__(self):
        return len(self.depths)

    def __getitem__(self, index):
        self.read.append(index)
        depth = self.depths[index]
        labels = {} if depth is None else {'depth': np.array(depth, np.float32)}
        return Sample(np.zeros((1, 1, 3), np.uint8), labels)


def test_scores_by_hand():
    floors = Floors(['depth', 'normals', 'semseg'], 2)
    slanted = [0, math.sin(0.5), -math.cos(0.5)]
    normals = np.array([[[0, 0, -1], [0, 0, 1], slanted]], np.float32)
    floors.update({'depth': np.array([[1, 2, np.nan]], np.float32), 'normals': normals})
    floors.update({'depth': np.array([[4]], np.float32), 'semseg': np.zeros((1, 1), np.uint8)})
    found = floors.compute()
    assert list(found) == ['depth', 'normals']
    assert found['depth']['rmse'] == pytest.approx(math.sqrt((1 + 0 + 4) / 3))
    assert found['depth']['abs_rel'] == pytest.approx((1 + 0 + 0.5) / 3)
    assert found['depth']['delta_1'] == pytest.approx(1 / 3)
    assert found['normals']['mean_angle'] == pytest.approx((0 + 180 + math.degrees(0.5)) / 3)


def test_only_what_is_asked_for_is_answered():
    assert list(Floors(['normals'], 2.0).compute()) == ['normals']
    assert list(Floors(['depth', 'normals'], None).compute()) == ['normals']
    assert math.isnan(Floors(['depth'], 2.0).compute()['depth']['rmse'])


@pytest.mark.parametrize('depth', [0, -1, math.inf, math.nan])
def test_depths_that_cannot_be(depth):
    with pytest.raises(ValueError, match=f'positive and finite, got {depth} m'):
        Floors(['depth'], depth)


@given(st.lists(st.lists(st.integers(1, 20_000), max_size=5), min_size=1, max_size=5))
def test_median_is_that_of_all_pixels(millimeters):
    dataset = Depths(*(np.array(some)[None] / 1000 for some in millimeters))
    pixels = sorted(pixel for some in millimeters for pixel in some)
    if pixels:
        assert median_depth(dataset) * 1000 == pytest.approx(pixels[(len(pixels) - 1) // 2])
    else:
        with pytest.raises(ValueError, match='no known depth; give the constant depth'):
            median_depth(dataset)


def test_median_of_what_is_known():
    assert median_depth(Depths([[np.nan, 3]], None, [[np.inf, 0]])) == 3
    assert median_depth(Depths([[5000]])) == MOST_DEPTH


def test_median_of_large_data_sets_is_that_of_some_images():
    dataset = Depths(*[[[1.0]]] * 5000)
    assert median_depth(dataset) == 1
    assert len(dataset.read) == len(set(dataset.read)) == 1000
    assert (dataset.read[0], dataset.read[-1]) == (0, 4999)


@pytest.mark.skipif(not INDOOR.exists(), reason='needs ../shared/bags')
def test_constant_answers_on_a_real_recording():
    from adamtl_ros.data.labelled_bag import LabelledBag

    bag = LabelledBag(INDOOR, depth_camera=True)
    floors = Floors(bag.tasks, 2.0)
    for index in range(0, len(bag), 20):
        floors.update(bag[index].labels)
    found = floors.compute()
    # A room of some meters: neither right nor absurd.
    assert 0.5 < found['depth']['rmse'] < 3
    assert 40 < found['normals']['mean_angle'] < 60
