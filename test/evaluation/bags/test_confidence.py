# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Standard errors, degrees of freedom and margins."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adamtl_ros.evaluation.bags.confidence import (
    Confidence,
    JackknifeSamples,
    jackknife,
    paired,
    student_t,
    welch,
)

VALUES = st.lists(st.floats(-10, 10), min_size=2, max_size=20)


def left_out(values):
    """Return the mean without each value."""
    return [(sum(values) - value) / (len(values) - 1) for value in values]


@pytest.mark.parametrize('freedom', [*range(1, 41), 100, 1000, 10**6])
def test_quantiles_against_scipy(freedom):
    stats = pytest.importorskip('scipy.stats', reason='needs scipy')
    assert student_t(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-5)


def test_quantiles_that_any_table_has():
    assert student_t(15) == pytest.approx(2.1314, abs=5e-5)
    assert student_t(math.inf) == pytest.approx(1.95996, abs=5e-6)


def test_between_whole_numbers_the_smaller_one_counts():
    assert student_t(4.99) == student_t(4)
    assert student_t(5 - 1e-12) == student_t(5)
    with pytest.raises(ValueError, match=r'1 degree of freedom or more, got 0\.5'):
        student_t(0.5)


@given(VALUES)
def test_the_jackknife_of_a_mean_is_its_standard_error(values):
    expected = np.std(values, ddof=1) / math.sqrt(len(values))
    assert jackknife(left_out(values)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize('values', [[], [0.5]])
def test_fewer_than_two_units_tell_nothing(values):
    assert math.isnan(jackknife(values))
    assert math.isnan(JackknifeSamples('stretch', {'miou': values}, 0).errors['miou'])


@given(VALUES, st.floats(-1, 1))
def test_a_constant_difference_has_no_error(values, step):
    assert paired(left_out(values), left_out([v + step for v in values])).error < 1e-9


def test_pairs_by_hand():
    """Differences 1, 2 and 3 with mean 2: standard error 1 / sqrt(3)."""
    found = paired(left_out([5.0, 1.0, 7.0]), left_out([6.0, 3.0, 10.0]))
    assert found == Confidence(pytest.approx(1 / math.sqrt(3)), 2, paired=True)
    assert found.margin == pytest.approx(4.302653 / math.sqrt(3))


def test_degrees_of_freedom_of_independent_values():
    """(0.09 + 0.16)^2 / (0.09^2 / 3 + 0.16^2 / 8) = 10.593."""
    found = welch((0.3, 0.4), (4, 9))
    assert (found.error, found.freedom) == (pytest.approx(0.5), pytest.approx(10.5932, rel=1e-5))
    assert welch((0.1, 0.1), (16, 16)).freedom == pytest.approx(30)
    assert welch((0.0, 0.1), (2, 5)).freedom == pytest.approx(4)
    assert welch((0.0, 0.0), (2, 2)).margin == 0


@given(st.integers(2, 50), st.integers(2, 50), st.floats(0.01, 10))
def test_freedom_lies_between_that_of_the_smaller_and_that_of_both(one, other, ratio):
    freedom = welch((1.0, ratio), (one, other)).freedom
    assert min(one, other) - 1 - 1e-9 <= freedom <= one + other - 2 + 1e-9


def test_five_percent_of_equal_runs_exceed_the_margin():
    """With few units, where two standard errors would be exceeded twice as often."""
    draw, count, beyond = np.random.default_rng(0), 4, 0
    for _ in range(2000):
        before, after = draw.normal(size=(2, count))
        chance = paired(left_out(before.tolist()), left_out(after.tolist()))
        beyond += abs(after.mean() - before.mean()) > chance.margin
    assert beyond / 2000 == pytest.approx(0.05, abs=0.015)
