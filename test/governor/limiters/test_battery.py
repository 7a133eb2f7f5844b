# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Limit by a battery, in every state that drivers report."""

import math

import pytest

from adamtl_ros.governor.limiters import Input
from adamtl_ros.governor.limiters.battery import BatteryLimiter, BatteryReading, BatterySettings

LINE = BatterySettings(high=0.5, low=0.1, floor_budget=0.2)


def allowed(percentage, settings=LINE, age=0.0, **reading):
    limiter = BatteryLimiter(settings)
    limiter.update(BatteryReading(percentage, **reading), 100.0)
    return limiter.limit(100.0 + age)


@pytest.mark.parametrize(
    ('percentage', 'limit'),
    [(1.0, 1.0), (0.5, 1.0), (0.4, 0.8), (0.3, 0.6), (0.2, 0.4), (0.1, 0.2), (0.02, 0.2), (0, 0.2)],
)
def test_the_line_between_high_and_low(percentage, limit):
    found = allowed(percentage)
    assert found.budget == pytest.approx(limit)
    assert found.input is Input.RECEIVED


def test_a_driver_that_sends_percent():
    settings = BatterySettings(high=0.5, low=0.1, floor_budget=0.2, full_scale=100.0)
    assert allowed(30.0, settings).budget == pytest.approx(0.6)
    # 1 % of the charge, and not all of it.
    assert allowed(1.0, settings).budget == pytest.approx(0.2)


@pytest.mark.parametrize('percentage', [87.0, 1.2, math.inf])
def test_the_scale_is_not_guessed(percentage):
    found = allowed(percentage)
    assert math.isnan(found.budget)
    assert found.input is Input.IMPLAUSIBLE
    assert f'{percentage:g}' in found.note
    assert 'battery.full_scale' in found.note
    assert '100' in found.note


@pytest.mark.parametrize('percentage', [math.nan, -1.0, -0.01, -math.inf])
def test_an_unknown_charge_does_not_limit(percentage):
    found = allowed(percentage)
    assert math.isnan(found.budget)
    assert found.input is Input.RECEIVED
    assert not found.note


def test_no_battery_does_not_limit():
    assert math.isnan(allowed(0.05, present=False).budget)


def test_charging_lifts_the_limit():
    assert allowed(0.05, charging=True).budget == 1


def test_another_scale_counts_from_the_next_limit():
    limiter = BatteryLimiter(LINE)
    limiter.update(BatteryReading(30.0), 0.0)
    assert limiter.limit(0.0).input is Input.IMPLAUSIBLE
    limiter.settings = BatterySettings(high=0.5, low=0.1, floor_budget=0.2, full_scale=100.0)
    assert limiter.limit(0.0).budget == pytest.approx(0.6)


def test_a_charge_slightly_above_full_is_full():
    assert allowed(1.005).budget == 1


def test_an_old_reading_is_ignored():
    assert allowed(0.3, age=LINE.timeout_s).input is Input.RECEIVED
    found = allowed(0.3, age=LINE.timeout_s + 1)
    assert math.isnan(found.budget)
    assert found.input is Input.SILENT
    assert '61 s' in found.note


def test_an_absent_input_is_not_silent():
    found = BatteryLimiter(LINE).limit(5.0)
    assert math.isnan(found.budget)
    assert found.input is Input.ABSENT


def test_a_disabled_limiter_does_not_limit():
    found = allowed(0.05, BatterySettings(enabled=False))
    assert math.isnan(found.budget)
    assert found.input is Input.OFF


def test_noise_does_not_raise_the_limit():
    limiter = BatteryLimiter(LINE)
    limits = []
    for now, charge in enumerate((0.400, 0.395, 0.403, 0.396, 0.404)):
        limiter.update(BatteryReading(charge), float(now))
        limits.append(limiter.limit(float(now)).budget)
    assert limits == sorted(limits, reverse=True)
    limiter.update(BatteryReading(0.45), 9.0)
    assert limiter.limit(9.0).budget == pytest.approx(0.2 + 0.8 * (0.44 - 0.1) / 0.4)


def test_the_charge_is_as_read():
    limiter = BatteryLimiter(BatterySettings(full_scale=100.0))
    assert math.isnan(limiter.charge)
    limiter.update(BatteryReading(42.0), 0.0)
    assert limiter.charge == pytest.approx(0.42)
    limiter.limit(1e5)
    assert math.isnan(limiter.charge)


def test_a_clock_that_was_set_back_makes_the_reading_old():
    limiter = BatteryLimiter(LINE)
    limiter.update(BatteryReading(0.3), 1000.0)
    assert limiter.limit(5.0).input is Input.SILENT
    assert 'clock was set back' in limiter.limit(5.0).note
    limiter.update(BatteryReading(0.3), 6.0)
    assert limiter.limit(7.0).budget == pytest.approx(0.6)
