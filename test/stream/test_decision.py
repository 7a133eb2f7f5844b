# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""When a refresh is worth what it costs."""

import numpy as np
import pytest

from adamtl_ros.stream.account import Account
from adamtl_ros.stream.decision import LARGEST_PRICE, LEAST_PRICE, Price, gain, is_worth


def planes(*values):
    return [np.full((2, 3), value, np.float32) for value in values]


def test_gain_by_hand():
    # An answer as good as the known one takes half of its variance.
    assert gain(planes(1), 1.0) == pytest.approx(0.5)
    assert gain(planes(1, 0), 1.0) == pytest.approx(0.25)  # the mean over tasks
    assert gain(planes(3), 1.5) == pytest.approx(2)


def test_what_changed_in_a_part_counts_by_its_area():
    known = np.zeros((4, 4), np.float32)
    known[0] = 9
    assert gain([known], 1.0) == pytest.approx(8.1 / 4)


def test_a_cheaper_answer_must_gain_less():
    assert is_worth(planes(1), 1.0, 0.4)
    assert not is_worth(planes(1), 1.0, 0.6)
    # Variance 8 at a quarter of the MACs: 1 / 9 gained, for 0.1.
    assert is_worth(planes(1), 0.25, 0.4)


def settled(frames, spend):
    """Return the price after frames of which each spends what a function of its number says."""
    account, price = Account(), Price()
    for number in range(frames):
        account.pay(0.25, 1 / 30)
        price.update(account)
        account.draw(spend(number))
    return price.value


def test_the_price_falls_while_nothing_is_bought_and_has_a_floor():
    prices = [settled(frames, lambda n: 0.3 * (n < 300)) for frames in (300, 330, 360, 390)]
    assert prices == sorted(prices, reverse=True)
    assert settled(3000, lambda _: 0) == LEAST_PRICE


def test_the_price_rises_while_too_much_is_bought_and_has_a_ceiling():
    assert settled(30, lambda _: 0.3) > settled(15, lambda _: 0.3)
    assert settled(3000, lambda _: 0.3) == LARGEST_PRICE


def test_after_a_long_rest_the_price_is_there_at_once():
    rested = settled(3000, lambda _: 0)
    assert settled(3200, lambda number: 0.3 * (number >= 3000)) > 2 * rested
