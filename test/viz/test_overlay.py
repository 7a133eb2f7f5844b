# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Overlay: colors by hand, what stays as it is, and sizes."""

import numpy as np
import pytest

from adamtl_ros.tasks import TASKS, UNLABELLED
from adamtl_ros.viz.colorize import class_colors
from adamtl_ros.viz.legend import BACKGROUND
from adamtl_ros.viz.overlay import OPACITY, Overlay

GRAY = np.full((120, 160, 3), 100, np.uint8)


def draw(results, image=GRAY, **options):
    return Overlay(TASKS).draw(image, results, **options)


def test_classes_are_blended_and_background_is_not():
    ids = np.zeros((120, 160), np.uint8)
    ids[:40], ids[40:80] = 15, UNLABELLED
    picture = draw({'semseg': ids}, legend=False)
    color = class_colors(TASKS['semseg'].classes)[15].astype(float)
    expected = OPACITY['semseg'] * color + (1 - OPACITY['semseg']) * 100
    np.testing.assert_allclose(picture[:40], np.broadcast_to(expected, (40, 160, 3)), atol=1)
    np.testing.assert_array_equal(picture[40:], GRAY[40:])
    assert GRAY.min() == GRAY.max() == 100  # the image itself stays


def test_people_have_an_outline():
    parts = np.zeros((120, 160), np.uint8)
    parts[30:60, 50:90] = 2
    picture = draw({'human_parts': parts})
    assert (picture[30, 50:90] == 255).all()
    assert (picture[45, 70] != 255).any()
    np.testing.assert_array_equal(picture[:29], GRAY[:29])


@pytest.mark.parametrize('level', [0, 100, 200, 255])
def test_edges_are_what_stands_out_at_any_level(level):
    """A thin line 55 above its neighborhood is drawn, a plateau of any height is not."""
    probability = np.full((120, 160), level, np.uint8)
    np.testing.assert_array_equal(draw({'edges': probability}), GRAY)
    if level <= 200:
        probability[60, 20:140] = level + 55
        picture = draw({'edges': probability})
        assert (picture[60, 30:130] > 180).all()
        np.testing.assert_array_equal(picture[:58], GRAY[:58])


def test_the_legend_is_within_the_picture():
    image = np.full((480, 640, 3), 100, np.uint8)
    ids = np.full((480, 640), 9, np.uint8)
    plain, named = (draw({'semseg': ids}, image, legend=legend) for legend in (False, True))
    assert named.shape == image.shape
    changed = np.flatnonzero((plain != named).any(axis=(1, 2)))
    assert changed.min() > 430
    assert changed.max() == 479
    assert named[470:].mean() < plain[470:].mean()
    assert BACKGROUND < named[475, 600].mean() < 100


@pytest.mark.parametrize('shape', [(1, 1), (7, 3), (24, 32), (240, 320)])
def test_results_of_any_size(shape):
    rng = np.random.default_rng(0)
    results = {
        'semseg': rng.integers(0, 256, shape, np.uint8),
        'human_parts': rng.integers(0, 256, shape, np.uint8),
        'edges': rng.integers(0, 256, shape, np.uint8),
        'depth': np.full(shape, np.nan, np.float32),
    }
    assert draw(results).shape == GRAY.shape
    image = np.zeros((*shape, 3), np.uint8)
    assert draw(results, image).shape == image.shape


def test_without_results_it_is_the_image():
    np.testing.assert_array_equal(draw({}), GRAY)
