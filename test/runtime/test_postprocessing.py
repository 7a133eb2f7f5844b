# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Raw maps to results, against plain torch and by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from adamtl_ros.runtime.pre_post_processing import depth, labels, normals, postprocess, probability
from adamtl_ros.tasks import TASKS, UNLABELLED

SIZES = st.tuples(st.integers(1, 70), st.integers(1, 70))


def planes(channels, height=12, width=16, seed=0):
    return np.random.default_rng(seed).normal(size=(channels, height, width)).astype(np.float32)


def resized(raw, size):
    """Resize bilinearly with torch."""
    image = torch.from_numpy(raw)[None]
    return functional.interpolate(image, size, mode='bilinear', align_corners=False)[0].numpy()


@settings(deadline=None, max_examples=30)
@given(size=SIZES, seed=st.integers(0, 99))
def test_shapes_and_types(size, seed):
    for task in TASKS.values():
        result = postprocess(task, planes(task.channels, 9, 11, seed), size)
        assert result.shape == ((*size, 3) if task.name == 'normals' else size)
        assert result.dtype == (np.float32 if '32F' in task.encoding else np.uint8)


def test_labels_are_the_argmax_at_small_sizes():
    raw = planes(21)
    expected = resized(raw, (20, 30)).argmax(0)
    assert (labels(raw, (20, 30)) == expected).mean() > 0.999


def test_labels_at_large_sizes_differ_at_borders_only():
    raw = planes(21)
    got, expected = labels(raw, (480, 640)), resized(raw, (480, 640)).argmax(0)
    wrong = got != expected
    assert wrong.mean() < 0.03
    near = torch.from_numpy(expected).float()[None, None]
    same = functional.max_pool2d(near, 5, 1, 2) == -functional.max_pool2d(-near, 5, 1, 2)
    assert not wrong[same[0, 0].numpy()].any()


def test_labels_of_one_class_and_of_unknown_pixels():
    assert not labels(planes(1), (6, 8)).any()
    raw = planes(3, 4, 4)
    raw[1, 0, 0] = np.nan
    got = labels(raw, (4, 4))
    assert got[0, 0] == UNLABELLED
    assert (got[1:, 1:] == resized(raw, (4, 4))[:, 1:, 1:].argmax(0)).all()


@pytest.mark.parametrize('size', [(480, 640), (7, 9)])
def test_normals_are_unit_vectors_of_the_right_direction(size):
    raw = planes(3)
    got = normals(raw, size)
    np.testing.assert_allclose(np.linalg.norm(got, axis=-1), 1, atol=1e-6)
    expected = resized(raw, size).transpose(1, 2, 0)
    cosine = (got * expected).sum(-1) / np.linalg.norm(expected, axis=-1)
    assert cosine.min() > 0.999


def test_a_zero_normal_is_nan():
    raw = np.zeros((3, 2, 2), np.float32)
    assert np.isnan(normals(raw, (2, 2))).all()


def test_depth_by_hand():
    raw = np.log(np.array([[[0.5, 2.0], [4.0, 1.0]]], np.float32))
    np.testing.assert_allclose(depth(raw, (2, 2)), [[0.5, 2], [4, 1]], rtol=1e-6)
    raw[0, 0, 0] = np.nan
    raw[0, 0, 1] = 500
    got = depth(raw, (2, 2))
    assert np.isnan(got[0, 0])
    assert got[0, 1] == pytest.approx(1000, rel=0.01)


def test_probability_by_hand():
    raw = np.array([[[0, np.log(3), -100], [100, np.nan, np.inf]]], np.float32)
    assert probability(raw, (2, 3)).tolist() == [[128, 191, 0], [255, 0, 255]]
