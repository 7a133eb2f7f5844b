# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Budget account: what any demand on any camera may spend."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adamtl_ros.stream.account import TOLERANCE, WINDOW_S, Account

SHARES = (1.0, 0.72, 0.55, 0.47, 0.39, 0.25)


def play(rate, budgets, demands):
    """Let a camera of a rate [Hz] run; return what each frame spent.

    A demand is the share that a frame asks for, 0 for none, with 'urgent' or not. The first frame
    always gets an answer of 1, as a stream gives it.
    """
    account, spent = Account(), []
    for number, (budget, (share, urgent)) in enumerate(zip(budgets, demands, strict=True)):
        account.pay(budget, 1 / rate if number else 0.0)
        granted = 1.0 if number == 0 else share
        if number and not (share and account.affords(share, urgent=urgent)):
            granted = 0.0
        if granted:
            account.draw(granted)
        spent.append(granted)
    return account, spent


DEMAND = st.tuples(st.sampled_from((0.0, *SHARES)), st.booleans())
GREEDY = [(1.0, True)] * 400
BURSTS = ([(0.0, False)] * 100 + [(1.0, True)] * 100) * 2


def windows(values, frames):
    """Return the sums over all runs of a number of frames."""
    return [sum(values[start : start + frames]) for start in range(len(values) - frames + 1)]


@given(
    st.sampled_from([5, 10, 15, 24, 30, 60]),
    st.floats(0.06, 1),
    st.lists(DEMAND, min_size=1, max_size=400),
)
@example(30, 0.25, GREEDY)
@example(30, 0.125, BURSTS)
@example(15, 0.25, BURSTS)
@example(5, 0.125, GREEDY)
@example(60, 1.0, GREEDY)
def test_no_demand_overspends_any_three_seconds(rate, budget, demands):
    _, spent = play(rate, [budget] * len(demands), demands)
    frames = round(WINDOW_S * rate)
    for total in windows(spent, frames):
        assert total <= frames * (budget + TOLERANCE) + 1e-6


@given(st.lists(st.tuples(st.floats(0.1, 1), DEMAND), min_size=100, max_size=300))
def test_budgets_may_change_from_frame_to_frame(frames):
    budgets = [budget for budget, _ in frames]
    _, spent = play(30, budgets, [demand for _, demand in frames])
    for total, paid in zip(windows(spent, 90), windows(budgets, 90), strict=True):
        # Where the budget falls, an answer may lie in a window that no longer pays for it.
        assert total <= paid + 90 * TOLERANCE + 1


@pytest.mark.parametrize('budget', [0.0625, 0.125, 0.25, 0.5, 0.9])
def test_a_greedy_stream_spends_its_budget_in_the_long_run(budget):
    _, spent = play(30, [budget] * 3000, [(1.0, False)] * 3000)
    assert sum(spent) / len(spent) == pytest.approx(budget, abs=0.001)


def test_what_a_still_scene_saves_can_be_spent_at_once():
    demands = [(0.0, False)] * 150 + [(1.0, False)] * 30
    _, spent = play(30, [0.25] * 180, demands)
    # A second of budgets (7.5), what the 30 frames pay (7.5), and half an overdraft.
    assert sum(spent[150:]) == 15
    assert all(spent[150:157])


def test_the_first_answer_is_paid_back():
    account, spent = play(30, [0.125] * 40, [(1.0, False)] * 40)
    assert spent[0] == 1
    assert not any(spent[1:11])
    assert account.balance >= -1


def test_the_pace_is_that_of_the_camera():
    account = Account()
    for elapsed in (0.0, 0.1, 5.0, -3.0, 0.0):
        account.pay(0.5, elapsed)
    assert account.interval == 0.1


def test_the_share_is_that_of_the_last_three_seconds():
    account, _ = play(10, [0.5] * 60, [(1.0, False)] * 20 + [(0.0, False)] * 40)
    assert account.share == 0
    account.draw(0.6)
    assert account.share == pytest.approx(0.6 / 30)
    account.draw(-0.3)
    assert account.share == pytest.approx(0.3 / 30)
