# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Patterns in space."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamtl_ros.scenes.kernel import hashed, pattern_at
from adamtl_ros.scenes.solids import Pattern, Surface

PLACES = st.floats(-20, 20)


def share(pattern, point, flat=-1, scale=0.25):
    surface = np.array(Surface((0, 0, 0), (1, 1, 1), pattern, scale).to_row(), float)
    return pattern_at(surface, flat, *map(float, point))


@given(st.sampled_from(Pattern), st.integers(-1, 2), PLACES, PLACES, PLACES)
@settings(deadline=None, max_examples=60)
def test_a_pattern_is_a_share_of_the_second_color(pattern, flat, x, y, z):
    assert 0 <= share(pattern, (x, y, z), flat) <= 1


@given(st.sampled_from(Pattern), st.integers(0, 2), PLACES, PLACES, PLACES, PLACES)
@settings(deadline=None, max_examples=60)
def test_a_face_does_not_cut_its_pattern(pattern, flat, x, y, z, moved):
    point, other = np.array([x, y, z]), np.array([x, y, z])
    other[flat] = moved
    assert share(pattern, point, flat) == share(pattern, other, flat)


@pytest.mark.parametrize('pattern', [*Pattern][1:])
@pytest.mark.parametrize('flat', [-1, 0, 1, 2])
def test_both_colors_appear_on_every_face(pattern, flat):
    points = np.random.default_rng(0).uniform(-2, 2, (400, 3))
    shares = np.array([share(pattern, point, flat) for point in points])
    assert shares.min() < 0.35
    assert shares.max() > 0.6
    assert share(Pattern.PLAIN, points[0], flat) == 0


def test_checkers_and_stripes_by_hand():
    """Fields of 0.25 m; a dark and a bright stripe are 0.25 m together."""
    for step, wanted in ((0.25, True), (0.5, False), (0.75, True)):
        for axis in np.eye(3):
            start = np.full(3, 0.1)
            moved = share(Pattern.CHECKER, start + step * axis)
            assert (moved != share(Pattern.CHECKER, start)) == wanted
    heights = [share(Pattern.STRIPES, (0, 0, z)) for z in (0.05, 0.175, 0.3, 0.425)]
    assert heights == [0, 1, 0, 1]


def test_hashes_are_spread_evenly():
    values = np.array([hashed(a, b, 5) for a in range(-40, 40) for b in range(40)])
    assert 0 <= values.min() < 0.01
    assert 0.99 < values.max() < 1
    assert abs(values.mean() - 0.5) < 0.02
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.05
