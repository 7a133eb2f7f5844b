# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Choosing rungs by images: the least loss within a mean budget, by hand."""

import numpy as np
import pytest
from rung_choice import choose, mixed, predict

FRACTIONS = np.array([1.0, 0.5, 0.25])
LOSSES = np.array([[1.0, 1.0, 1.0], [1.0, 1.1, 2.0], [1.0, 1.2, 1.25], [1.0, 2.0, 3.0]])


def test_the_oracle_spends_where_it_counts():
    # 1 + 0.5 + 0.25 + 0.25: the last image keeps everything, the second half of it.
    assert choose(LOSSES, FRACTIONS, 0.5).tolist() == [2, 1, 2, 0]
    assert choose(LOSSES, FRACTIONS, 0.82).tolist() == [2, 0, 0, 0]


def test_two_rungs_are_mixed():
    means = LOSSES.mean(0)  # 1, 1.325, 1.8125
    assert mixed(LOSSES, FRACTIONS, 0.75) == pytest.approx((means[0] + means[1]) / 2)
    # Of half the MACs, all at the middle rung, or a third at the first and the others at the last.
    assert mixed(LOSSES, FRACTIONS, 0.5) == pytest.approx(
        min(means[1], means[0] / 3 + 2 * means[2] / 3)
    )


def test_what_features_tell_is_predicted():
    features = np.random.default_rng(0).normal(size=(3000, 4))
    losses = features[:, :1] * [1.0, 2.0] + [0.0, 1.0]
    guess = predict(features, losses)
    assert np.corrcoef(guess[:, 1], losses[:, 1])[0, 1] > 0.99
    noise = np.random.default_rng(1).normal(size=(3000, 2))
    assert abs(np.corrcoef(predict(features, noise)[:, 0], noise[:, 0])[0, 1]) < 0.1
