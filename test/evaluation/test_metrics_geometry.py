# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Errors of normals and depth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_percentage_error, root_mean_squared_error

from adamtl_ros.evaluation.metrics import (
    EIGEN_CROP,
    PROTOCOLS,
    WHOLE,
    AngularError,
    Crop,
    DepthError,
    metric_for,
)
from adamtl_ros.tasks import TASKS

SEEDS = st.integers(0, 10_000)
QUICK = settings(deadline=None, max_examples=25)


def computed(metric, result, label):
    metric.update(np.asarray(result, np.float32), np.asarray(label, np.float32))
    return metric.compute()


def turned(*degrees):
    """Return normals that are turned from the camera by angles, (1, W, 3)."""
    angles = np.radians(degrees)
    return np.stack([np.sin(angles), 0 * angles, -np.cos(angles)], axis=-1)[None]


def test_angles_by_hand():
    got = computed(AngularError(), turned(0, 10, 20, 90), turned(0, 0, 0, 0))
    assert got == pytest.approx(
        {
            'mean_angle': 30,
            'median_angle': 15,
            'within_11.25': 0.5,
            'within_22.5': 0.75,
            'within_30': 0.75,
        },
        abs=0.011,
    )


@QUICK
@given(seed=SEEDS, count=st.integers(1, 40))
def test_angles_are_those_of_the_arc_cosine(seed, count):
    result, label = np.random.default_rng(seed).normal(size=(2, 1, count, 3)).astype(np.float32)
    cosine = (result * label).sum(-1) / np.linalg.norm(result, axis=-1)
    angles = np.degrees(np.arccos(np.clip(cosine / np.linalg.norm(label, axis=-1), -1, 1)))
    got = computed(AngularError(), result, label)
    assert got['mean_angle'] == pytest.approx(angles.mean(), abs=0.01)
    assert got['median_angle'] == pytest.approx(np.median(angles), abs=0.011)


def test_the_right_normals_have_no_error_at_all():
    normals = np.random.default_rng(0).normal(size=(20, 30, 3)).astype(np.float32)
    for length in (1, 0.5):
        got = computed(AngularError(), normals * np.float32(length), normals)
        assert got['mean_angle'] == got['median_angle'] == 0
        assert got['within_11.25'] == 1
    assert computed(AngularError(), -normals, normals)['mean_angle'] == pytest.approx(180)


@pytest.mark.parametrize('missing', [np.nan, np.inf, 0])
def test_a_missing_normal_is_the_worst(missing):
    result = turned(0, 0)
    result[0, 1] = missing
    assert computed(AngularError(), result, turned(0, 0))['mean_angle'] == 90


@QUICK
@given(seed=SEEDS)
def test_depth_is_that_of_scikit_learn(seed):
    result, label = np.random.default_rng(seed).uniform(0.1, 9, (2, 5, 7)).astype(np.float32)
    label[0, :3] = np.nan, 0, np.inf
    known = np.isfinite(label) & (label > 0)
    guess, truth = result[known], label[known]
    ratio = np.maximum(guess / truth, truth / guess)
    assert computed(DepthError(), result, label) == pytest.approx(
        {
            'rmse': root_mean_squared_error(truth, guess),
            'log_rmse': root_mean_squared_error(np.log(truth), np.log(guess)),
            'abs_rel': mean_absolute_percentage_error(truth, guess),
            'delta_1': (ratio < 1.25).mean(),
            'delta_2': (ratio < 1.25**2).mean(),
            'delta_3': (ratio < 1.25**3).mean(),
            'log10': np.abs(np.log10(guess) - np.log10(truth)).mean(),
        },
        rel=1e-5,
    )


def test_depth_by_hand():
    got = computed(DepthError(), [[1.2, 3, 10]], [[1, 2, 5]])  # ratios 1.2, 1.5 and 2
    logs = np.log([1.2, 1.5, 2])
    expected = {
        'rmse': np.sqrt((0.04 + 1 + 25) / 3),
        'log_rmse': np.sqrt((logs**2).mean()),
        'abs_rel': (0.2 + 0.5 + 1) / 3,
        'delta_1': 1 / 3,  # 1.25
        'delta_2': 2 / 3,  # 1.5625
        'delta_3': 2 / 3,  # 1.953
        'log10': np.log10(1.2 * 1.5 * 2) / 3,
    }
    assert got == pytest.approx(expected, rel=1e-6)
    perfect = computed(DepthError(), [[1, 2]], [[1, 2]])
    assert perfect == {name: float('delta' in name) for name in expected}


def test_a_mean_over_images_is_not_one_over_pixels():
    metric = DepthError({'per_image': WHOLE})
    unknown = np.full((1, 3), np.nan, np.float32)
    metric.update(np.float32([[2, 3, 3]]), np.float32([[1, 2, 2]]))  # three errors of 1 m
    metric.update(np.float32([[4, 9, 9]]), np.float32([[1, np.nan, np.nan]]))  # one of 3 m
    metric.update(np.float32([[1, 1, 1]]), unknown)
    got = metric.compute()
    assert got['rmse'] == pytest.approx(np.sqrt((3 * 1 + 9) / 4))
    assert got['rmse_per_image'] == pytest.approx((1 + 3) / 2)
    assert got['abs_rel'] == pytest.approx((1 + 0.5 + 0.5 + 3) / 4)
    assert got['abs_rel_per_image'] == pytest.approx((2 / 3 + 3) / 2)


def per_image(pairs, part):
    """Return errors of depth per image within a part, by numpy alone, the mean over images."""
    rows = []
    for result, label in pairs:
        guess, truth = (map_[part].astype(np.float64) for map_ in (result, label))
        known = np.isfinite(truth)
        guess, truth = guess[known], truth[known]
        ratio = np.maximum(guess / truth, truth / guess)
        rows.append({
            'rmse': np.sqrt(np.mean((guess - truth) ** 2)),
            'log_rmse': np.sqrt(np.mean((np.log(guess) - np.log(truth)) ** 2)),
            'abs_rel': np.mean(np.abs(guess - truth) / truth),
            **{f'delta_{n}': np.mean(ratio < 1.25**n) for n in (1, 2, 3)},
            'log10': np.mean(np.abs(np.log10(guess / truth))),
        })  # fmt: skip
    return {name: np.mean([row[name] for row in rows]) for name in rows[0]}


@QUICK
@given(seed=SEEDS)
def test_the_protocol_of_nyud_adds_values_per_image(seed):
    draw = np.random.default_rng(seed)
    pairs = []
    for _ in range(3):
        result, label = draw.uniform(0.5, 9, (2, 48, 64)).astype(np.float32)
        label[draw.random(label.shape) < draw.random() / 2] = np.nan
        pairs.append((result, label))
    metric, plain = metric_for(TASKS['depth'], PROTOCOLS['nyud']), DepthError()
    for pair in pairs:
        metric.update(*pair)
        plain.update(*pair)
    got = metric.compute()
    # Rows 4.5 to 47.1 and columns 4.1 to 60.1 of 48x64, by the centers of the pixels.
    for suffix, part in (
        ('per_image', (slice(None), slice(None))),
        ('per_image_eigen', (slice(4, 47), slice(4, 60))),
    ):
        for name, value in per_image(pairs, part).items():
            assert got.pop(f'{name}_{suffix}') == pytest.approx(value, rel=1e-5), (name, suffix)
    assert got == plain.compute()


def test_crops_at_other_sizes_have_the_pixels_whose_centers_are_inside():
    assert EIGEN_CROP.slices(480, 640) == (slice(45, 471), slice(41, 601))
    assert EIGEN_CROP.slices(240, 320) == (slice(22, 235), slice(20, 300))
    assert EIGEN_CROP.slices(960, 1280) == (slice(90, 942), slice(82, 1202))
    assert WHOLE.slices(7, 5) == (slice(0, 7), slice(0, 5))


@QUICK
@given(
    edges=st.lists(st.integers(0, 30), min_size=2, max_size=2).map(sorted),
    size=st.integers(1, 90),
)
def test_crops_by_brute_force(edges, size):
    part, _ = Crop(tuple(edges), (0, 1), (30, 1)).slices(size, 1)
    inside = [
        i for i in range(size) if edges[0] * 2 * size <= (2 * i + 1) * 30 < edges[1] * 2 * size
    ]
    assert list(range(size))[part] == inside


def test_accumulators_of_other_protocols_cannot_be_added():
    with pytest.raises(ValueError, match=r"crops \['per_image'\] cannot be added to \[\]"):
        DepthError().merge(DepthError({'per_image': WHOLE}))


@pytest.mark.parametrize('missing', [np.nan, np.inf, 0, -3])
def test_a_missing_depth_is_wrong(missing):
    got = computed(DepthError(), [[missing, 4]], [[2, 4]])
    assert got['delta_1'] == 0.5
    assert got['rmse'] == pytest.approx(1.999 / np.sqrt(2))
    assert got['log_rmse'] == pytest.approx(np.log(2000) / np.sqrt(2))
