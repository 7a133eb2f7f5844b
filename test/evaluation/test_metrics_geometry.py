# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Errors of normals and depth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_percentage_error, root_mean_squared_error

from adamtl_ros.evaluation.metrics import AngularError, DepthError

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
        },
        rel=1e-5,
    )


def test_depth_by_hand():
    got = computed(DepthError(), [[1.2, 3]], [[1, 2]])
    log = np.sqrt((np.log(1.2) ** 2 + np.log(1.5) ** 2) / 2)
    expected = {'rmse': np.sqrt(0.52), 'log_rmse': log, 'abs_rel': 0.35, 'delta_1': 0.5}
    assert got == pytest.approx(expected, rel=1e-6)
    perfect = computed(DepthError(), [[1, 2]], [[1, 2]])
    assert perfect == {'rmse': 0, 'log_rmse': 0, 'abs_rel': 0, 'delta_1': 1}


@pytest.mark.parametrize('missing', [np.nan, np.inf, 0, -3])
def test_a_missing_depth_is_wrong(missing):
    got = computed(DepthError(), [[missing, 4]], [[2, 4]])
    assert got['delta_1'] == 0.5
    assert got['rmse'] == pytest.approx(1.999 / np.sqrt(2))
    assert got['log_rmse'] == pytest.approx(np.log(2000) / np.sqrt(2))
