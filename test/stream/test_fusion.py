# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Fusion of answers by their variances."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adamtl_ros.stream.flow import Signs
from adamtl_ros.stream.fusion import (
    DRIFTS,
    Drift,
    fuse,
    mirrored,
    rung_variance,
    to_fusable,
    weight,
)
from adamtl_ros.tasks import TASKS


def plane(*values):
    return np.array([values], np.float32)


def test_weights_by_hand():
    np.testing.assert_allclose(weight(plane(1, 3, 0.5), 1.0), plane(1 / 2, 3 / 4, 1 / 3))


@given(st.lists(st.floats(-10, 10, width=32), min_size=2, max_size=20))
def test_answers_to_what_does_not_change_are_averaged(values):
    known, variance = {'depth': plane(values[0])[None]}, plane(1)
    for value in values[1:]:
        share = weight(variance, 1.0)
        known = fuse(known, {'depth': plane(value)[None]}, {'depth': share})
        variance = share * 1.0
    np.testing.assert_allclose(known['depth'].item(), np.mean(values), atol=1e-4)
    np.testing.assert_allclose(variance.item(), 1 / len(values), rtol=1e-5)


def test_unknown_pixels_do_not_hide_known_ones():
    known = {'depth': np.float32([[[1, np.nan, np.nan]]])}
    new = {'depth': np.float32([[[np.nan, 2, np.nan]]])}
    fused = fuse(known, new, {'depth': plane(0.5, 0.5, 0.5)})
    np.testing.assert_array_equal(fused['depth'], [[[1, 2, np.nan]]])


def test_drift_by_hand():
    signs = Signs(2.0, plane(0.01), plane(3), plane(0.5))
    grown = Drift(age=0.1, motion=10, residual=0.5, lost=4).growth(signs)
    np.testing.assert_allclose(grown, plane(2 * 0.1 + 0.1 + 1.5 + 2))


def test_every_task_has_a_drift():
    assert set(DRIFTS) == set(TASKS)


def test_smaller_rungs_are_worse():
    assert rung_variance(1.0) == 1
    assert rung_variance(0.25) == pytest.approx(8)


@given(st.integers(0, 100))
def test_classes_are_fused_as_probabilities(seed):
    logits = np.random.default_rng(seed).normal(0, 30, (21, 4, 5)).astype(np.float32)
    made = to_fusable(TASKS['semseg'], logits)
    assert np.isfinite(made).all()
    np.testing.assert_allclose(made.sum(0), 1, rtol=1e-5)
    np.testing.assert_array_equal(made.argmax(0), logits.argmax(0))


@pytest.mark.parametrize('name', ['normals', 'depth', 'saliency', 'edges'])
def test_others_are_fused_as_they_are(name):
    planes = np.ones((TASKS[name].channels, 2, 3), np.float32)
    assert to_fusable(TASKS[name], planes) is planes


@pytest.mark.parametrize('name', list(TASKS))
def test_the_mirror_image_of_a_mirror_image(name):
    task = TASKS[name]
    planes = np.random.default_rng(0).normal(size=(task.channels, 3, 4)).astype(np.float32)
    np.testing.assert_array_equal(mirrored(task, mirrored(task, planes)), planes)
    flipped = mirrored(task, planes)
    assert flipped.flags['C_CONTIGUOUS']
    sign = -1 if name == 'normals' else 1
    np.testing.assert_array_equal(flipped[0], sign * planes[0, :, ::-1])
    np.testing.assert_array_equal(flipped[1:], planes[1:, :, ::-1])
