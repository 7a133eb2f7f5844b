# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Spearman's rank correlation: missing values, ties, and cases in which it is undefined."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from adamtl_ros.evaluation.metrics import rank_correlation

# Few values, so that many are equal, and some that are not known.
VALUES = st.integers(-3, 3).map(float) | st.just(math.nan) | st.floats(-1e3, 1e3)
PAIRS = st.lists(st.tuples(VALUES, VALUES), max_size=20)


def expected(one, other):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return float(spearmanr(one, other, nan_policy='omit').statistic)


@given(PAIRS)
def test_equals_scipy_with_ties_and_unknown_values(pairs):
    one, other = np.array(pairs).reshape(-1, 2).T
    known = np.isfinite(one) & np.isfinite(other)
    found = rank_correlation(one, other)
    if known.sum() < 2:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(expected(one[known], other[known]), abs=1e-9, nan_ok=True)


def test_ties_share_their_mean_rank():
    # Ranks 1, 2.5, 2.5, 4 and 2, 1, 3, 4: sums of squares 4.5 and 5, of products 3.
    found = rank_correlation([1, 5, 5, 9], [0.2, 0.1, 0.3, 0.4])
    assert found == pytest.approx(3 / math.sqrt(4.5 * 5))


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=10, unique=True))
def test_what_rises_together_correlates_whatever_the_shape(values):
    spent = np.array(values)
    assert rank_correlation(spent, spent) == pytest.approx(1)
    assert rank_correlation(spent, np.argsort(np.argsort(-spent))) == pytest.approx(-1)


@pytest.mark.parametrize(
    ('one', 'other'),
    [([], []), ([1], [2]), ([1, 2], [3, 3]), ([1, 2, math.nan], [1, math.nan, 3])],
)
def test_none_where_nothing_can_be_said(one, other):
    assert math.isnan(rank_correlation(one, other))
