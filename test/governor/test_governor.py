# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""How the limits come together, and that no input whatever breaks the result."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamtl_ros.governor.governor import Governor, GovernorSettings, Reason
from adamtl_ros.governor.limiters.battery import BatteryReading, BatterySettings
from adamtl_ros.governor.limiters.deadline import DeadlineSettings
from adamtl_ros.governor.limiters.thermal import ThermalSettings

FLOOR = 0.2
SETTINGS = GovernorSettings(
    floor=FLOOR,
    fall_per_s=1.0,
    rise_per_s=0.1,
    battery=BatterySettings(high=0.5, low=0.1, floor_budget=0.2),
    thermal=ThermalSettings(target_c=70, max_c=80, floor_budget=0.3),
    deadline=DeadlineSettings(deadline_ms=50.0),
)


def governor(**changes):
    return Governor(GovernorSettings(**{**vars(SETTINGS), **changes}))


def test_without_any_input_the_user_decides():
    made = governor()
    for user in (1.0, 0.4, 0.7):
        decision = made.decide(user, 0.0)
        assert decision.budget == user
        assert decision.reason is Reason.USER
        assert not decision.input_problems


def test_the_least_counts_and_gives_the_reason():
    made = governor()
    made.battery.update(BatteryReading(0.3), 0.0)
    assert made.decide(1.0, 0.0).budget == pytest.approx(0.6)
    assert made.decide(1.0, 0.0).reason is Reason.BATTERY
    made.thermal.update('cpu', 85.0, 0.0)
    decision = made.decide(1.0, 10.0)
    assert decision.budget == pytest.approx(0.3)
    assert decision.reason is Reason.THERMAL
    assert decision.limits[Reason.BATTERY].budget == pytest.approx(0.6)


def test_the_user_wins_when_lower():
    made = governor()
    made.battery.update(BatteryReading(0.3), 0.0)
    decision = made.decide(0.5, 0.0)
    assert decision.budget == 0.5
    assert decision.reason is Reason.USER


def test_the_first_decision_is_not_slowed_down():
    made = governor()
    made.battery.update(BatteryReading(0.1), 0.0)
    assert made.decide(1.0, 0.0).budget == pytest.approx(0.2)


def test_it_falls_fast_and_rises_slowly():
    made = governor()
    made.decide(1.0, 0.0)
    made.battery.update(BatteryReading(0.1), 0.0)
    assert made.decide(1.0, 0.5).budget == pytest.approx(0.5)
    assert made.decide(1.0, 2.0).budget == pytest.approx(0.2)
    made.battery.update(BatteryReading(0.1, charging=True), 2.0)
    rising = made.decide(1.0, 4.0)
    assert rising.budget == pytest.approx(0.4)
    assert rising.reason is Reason.BATTERY
    done = made.decide(1.0, 11.0)
    assert done.budget == 1
    assert done.reason is Reason.USER


def test_the_users_own_changes_are_at_once():
    made = governor()
    budgets = [made.decide(user, 0.001 * n).budget for n, user in enumerate((1.0, 0.2, 0.9))]
    assert budgets == [1.0, 0.2, 0.9]


def test_a_small_rise_waits():
    made = governor(battery=BatterySettings(high=0.5, low=0.1, floor_budget=0.2, hysteresis=0))
    made.battery.update(BatteryReading(0.3), 0.0)
    low = made.decide(1.0, 0.0).budget
    made.battery.update(BatteryReading(0.305), 1.0)
    assert made.decide(1.0, 60.0).budget == low
    made.battery.update(BatteryReading(0.32), 60.0)
    # A rise that has begun is finished.
    assert made.decide(1.0, 60.1).budget == pytest.approx(low + 0.01)
    assert made.decide(1.0, 119.0).budget == pytest.approx(0.2 + 0.8 * 0.22 / 0.4)


def test_a_user_may_go_below_the_floor_of_the_limiters():
    decision = governor().decide(0.1, 0.0)
    assert decision.budget == 0.1
    assert decision.reason is Reason.USER


def test_limiters_stop_at_the_floor():
    made = governor(battery=BatterySettings(high=0.5, low=0.1, floor_budget=0.05))
    made.battery.update(BatteryReading(0.05), 0.0)
    decision = made.decide(1.0, 0.0)
    assert decision.budget == FLOOR
    assert decision.reason is Reason.FLOOR


def test_a_load_that_comes_and_goes_is_followed_within_30_frames_at_15_hz():
    made = Governor(GovernorSettings(deadline=DeadlineSettings(deadline_ms=60.0)))
    budgets, now = [], 0.0
    for load in (1.0, 2.0, 1.0):
        for _ in range(60):
            now += 1 / 15
            budgets.append(made.decide(1.0, now).budget)
            made.deadline.update(budgets[-1], load * (10 + 40 * budgets[-1]))
    assert budgets[59] == 1
    assert budgets[90] == pytest.approx((27.6 - 10) / 40, abs=0.04)
    assert max(budgets[90:120]) - min(budgets[90:120]) < 0.04
    assert budgets[150] == 1


def test_silence_is_reported_and_limits_nothing():
    made = governor()
    made.battery.update(BatteryReading(0.1), 0.0)
    made.decide(1.0, 0.0)
    decision = made.decide(1.0, 1000.0)
    assert decision.budget == 1
    assert decision.reason is Reason.STALE
    assert list(decision.input_problems) == ['battery']


def test_other_settings_keep_the_state():
    made = governor()
    made.battery.update(BatteryReading(0.3), 0.0)
    made.configure(GovernorSettings(battery=BatterySettings(high=0.3)))
    assert made.decide(1.0, 0.0).limits[Reason.BATTERY].budget == 1


NUMBERS = st.floats(allow_nan=True, allow_infinity=True) | st.floats(-1, 2) | st.floats(0, 120)
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just('watch'), st.sampled_from(['cpu', 'gpu'])),
        st.tuples(st.just('unwatch'), st.sampled_from(['cpu', 'gpu'])),
        st.tuples(st.just('trip'), NUMBERS, NUMBERS),
        st.tuples(st.just('configure'), st.booleans()),
        st.tuples(st.just('battery'), NUMBERS, st.booleans(), st.booleans()),
        st.tuples(st.just('thermal'), NUMBERS, st.booleans()),
        st.tuples(st.just('frame'), NUMBERS, NUMBERS),
        st.tuples(st.just('time'), NUMBERS),
        st.tuples(st.just('user'), st.floats(0.01, 1.0)),
    ),
    max_size=60,
)


def happen(made, now, kind, values):
    """Apply an event to a governor."""
    if kind == 'battery':
        made.battery.update(BatteryReading(*values), now)
    elif kind == 'thermal':
        made.thermal.update('cpu', values[0], now, too_hot=values[1])
    elif kind == 'trip':
        made.thermal.update('gpu', values[0], now, trip_c=values[1])
    elif kind == 'watch':
        made.thermal.watch(values[0], now)
        made.battery.watch(now)
    elif kind == 'unwatch':
        made.thermal.unwatch(values[0])
    elif kind == 'configure':
        made.configure(SETTINGS if values[0] else GovernorSettings())
    elif kind == 'frame':
        made.deadline.update(*values)


@settings(max_examples=300, deadline=None)
@given(EVENTS)
def test_no_input_breaks_it(events):
    made, now, user = governor(), 0.0, 1.0
    for kind, *values in events:
        now = values[0] if kind == 'time' else now
        user = values[0] if kind == 'user' else user
        happen(made, now, kind, values)
        decision = made.decide(user, now)
        assert min(FLOOR, user) <= decision.budget <= user
        assert isinstance(decision.reason, Reason)
        for limit in decision.limits.values():
            assert math.isnan(limit.budget) or 0 < limit.budget <= 1
        if decision.reason is Reason.USER:
            assert decision.budget == user
