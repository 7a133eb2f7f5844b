# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Controller of a target temperature."""

import math

import pytest

from adamtl_ros.governor.limiters import Input
from adamtl_ros.governor.limiters.thermal import MAX_SENSORS, ThermalLimiter, ThermalSettings

SETTINGS = ThermalSettings(target_c=70, max_c=80, floor_budget=0.25, hysteresis_c=3)


def allowed(limiter, celsius, now, **options):
    limiter.update('cpu', celsius, now, **options)
    return limiter.limit(now)


def test_a_cool_device_is_not_limited():
    limiter = ThermalLimiter(SETTINGS)
    for now in range(100):
        found = allowed(limiter, 40 + 0.1 * now, float(now))
        assert found.budget == 1
        assert found.input is Input.RECEIVED
    assert limiter.celsius == pytest.approx(49.9)


def test_one_step_by_hand():
    """The step is proportional to the degrees in the band, and to the time above the target."""
    settings = ThermalSettings(target_c=70, gain=0.05, band_c=4, integral=0.002)
    limiter = ThermalLimiter(settings)
    assert allowed(limiter, 66.0, 0.0).budget == 1
    assert allowed(limiter, 72.0, 0.0).budget == pytest.approx(1 - 0.05 * 6)
    assert allowed(limiter, 73.0, 1.0).budget == pytest.approx(1 - 0.05 * 7 - 0.002 * 3)


@pytest.mark.parametrize('temperatures', [[45, 65], [60, 64, 56, 64, 56, 60], [20, 65, 30, 65]])
def test_below_the_band_nothing_is_limited_at_any_rate_of_warming(temperatures):
    limiter = ThermalLimiter(SETTINGS)
    assert {allowed(limiter, c, 0.1 * n).budget for n, c in enumerate(temperatures)} == {1}


def test_a_hot_start_is_met_at_once():
    limiter = ThermalLimiter(ThermalSettings(target_c=75))
    assert allowed(limiter, 87.0, 0.0).budget == 0.25


def test_a_changed_target_is_not_a_rise():
    limiter = ThermalLimiter(SETTINGS)
    allowed(limiter, 60.0, 0.0)
    limiter.settings = ThermalSettings(target_c=65, max_c=80)
    assert allowed(limiter, 60.0, 1.0).budget == 1


def simulated(full_power_c, seconds=3600.0, step=0.5, **settings):
    """Step from rest to a device that settles at that temperature at full budget."""
    limiter, celsius, air = ThermalLimiter(ThermalSettings(**settings)), 30.0, 25.0
    limits, temperatures = [], []
    for tick in range(int(seconds / step)):
        limit = allowed(limiter, celsius, tick * step).budget
        celsius += (air + (full_power_c - air) * limit - celsius) * step / 240
        limits.append(limit)
        temperatures.append(celsius)
    return limits, temperatures


def turns(values, least=0.02):
    """Return the number of significant turning points of a curve."""
    count, direction, extreme = 0, 0, values[0]
    for value in values:
        if (direction >= 0 and value < extreme - least) or (
            direction <= 0 and value > extreme + least
        ):
            count += direction != 0
            direction, extreme = (-1 if value < extreme else 1), value
        elif direction:
            extreme = max(extreme, value) if direction > 0 else min(extreme, value)
    return count


@pytest.mark.parametrize('full_power_c', [80.0, 95.0, 120.0])
def test_a_step_settles_at_the_target_without_overshoot_or_a_limit_cycle(full_power_c):
    limits, temperatures = simulated(full_power_c)
    assert max(temperatures) <= 75 + 5
    assert turns(limits) <= 3
    assert temperatures[-1] == pytest.approx(75, abs=0.5)
    assert limits[-1] == pytest.approx(50 / (full_power_c - 25), abs=0.02)


def test_turns_are_counted():
    assert turns([0, 1, 2, 1, 0, 1, 2]) == 2
    assert turns([1.0, 0.5, 0.51, 0.5, 0.2]) == 0


def test_it_recovers_when_the_air_cools():
    limiter = ThermalLimiter(SETTINGS)
    for now in range(60):
        allowed(limiter, 76.0, float(now))
    assert allowed(limiter, 76.0, 60.0).budget < 0.6
    for now in range(61, 200):
        found = allowed(limiter, 60.0, float(now))
    assert found.budget == 1


def test_overheating_gives_the_floor_until_it_has_cooled():
    limiter = ThermalLimiter(SETTINGS)
    assert allowed(limiter, 60.0, 0.0).budget == 1
    assert allowed(limiter, 80.0, 0.1).budget == 0.25
    assert allowed(limiter, 77.5, 1.0).budget == 0.25
    # Below the hysteresis the controller goes on from the floor.
    recovering = [allowed(limiter, 60.0, 2.0 + n).budget for n in range(40)]
    assert 0.25 < recovering[0] < 0.3
    assert recovering == sorted(recovering)
    assert recovering[-1] > 0.7


def test_a_sensor_can_report_overheating_itself():
    limiter = ThermalLimiter(SETTINGS)
    assert allowed(limiter, 65.0, 0.0, too_hot=True).budget == 0.25


def test_the_hottest_sensor_counts():
    limiter = ThermalLimiter(SETTINGS)
    limiter.update('gpu', 50.0, 0.0)
    limiter.update('cpu', 85.0, 0.0)
    assert limiter.limit(0.0).budget == 0.25
    assert limiter.celsius == 85


@pytest.mark.parametrize('celsius', [math.nan, math.inf, -math.inf, 45_000.0, -273.0])
def test_implausible_temperatures_are_ignored(celsius):
    limiter = ThermalLimiter(SETTINGS)
    found = allowed(limiter, celsius, 0.0)
    assert math.isnan(found.budget)
    assert found.input is Input.IMPLAUSIBLE
    assert found.note.startswith('cpu reports')
    assert math.isnan(limiter.celsius)


def test_a_silent_sensor_does_not_limit_and_is_named():
    limiter = ThermalLimiter(SETTINGS)
    allowed(limiter, 75.0, 0.0)
    found = limiter.limit(SETTINGS.timeout_s + 1)
    assert math.isnan(found.budget)
    assert found.input is Input.SILENT
    assert 'cpu' in found.note
    limiter.unwatch('cpu')
    assert limiter.limit(20.0).input is Input.ABSENT


def test_an_implausible_sensor_that_vanishes_is_reported_as_silent():
    limiter = ThermalLimiter(SETTINGS)
    allowed(limiter, math.nan, 0.0)
    found = limiter.limit(20.0)
    assert found.input is Input.SILENT
    assert found.note == 'no temperature from cpu'


def test_a_watched_sensor_that_sends_nothing_is_silent():
    limiter = ThermalLimiter(SETTINGS)
    limiter.watch('cpu', 0.0)
    assert limiter.limit(1.0).input is Input.ABSENT
    limiter.watch('cpu', 9.0)
    assert limiter.limit(11.0).input is Input.SILENT
    assert allowed(limiter, 50.0, 12.0).input is Input.RECEIVED


def test_one_silent_sensor_is_reported_while_the_other_limits():
    limiter = ThermalLimiter(SETTINGS)
    limiter.update('gpu', 60.0, 0.0)
    limiter.update('cpu', 85.0, 15.0)
    found = limiter.limit(15.0)
    assert found.budget == 0.25
    assert found.input is Input.SILENT
    assert found.note == 'no temperature from gpu'


def test_a_long_pause_is_not_made_up_for():
    settings = ThermalSettings(target_c=70, gain=0, integral=0.01, timeout_s=1e9)
    limiter = ThermalLimiter(settings)
    allowed(limiter, 72.0, 0.0)
    assert allowed(limiter, 72.0, 1e6).budget == pytest.approx(1 - 0.01 * 2 * 5)


def test_a_disabled_limiter_does_not_limit():
    limiter = ThermalLimiter(ThermalSettings(enabled=False))
    assert allowed(limiter, 99.0, 0.0).input is Input.OFF


def test_names_of_sensors_are_not_collected_for_ever():
    """A hundred thousand names, as of a publisher with a new frame_id each time."""
    limiter = ThermalLimiter(SETTINGS)
    for number in range(100_000):
        limiter.update(f'sensor {number}', 30.0, 1.0 * number)
    assert len(limiter._readings) <= MAX_SENSORS
    found = limiter.limit(100_000.0)
    assert found.input is Input.SILENT
    assert found.note.endswith(f'and {MAX_SENSORS - 14} more')  # four named, ten fresh
    assert len(found.note) < 200


def test_a_sensor_that_sends_is_never_forgotten_for_a_new_name():
    limiter = ThermalLimiter(SETTINGS)
    for number in range(1000):
        limiter.update('cpu', 85.0, 1.0 * number)
        limiter.update(f'sensor {number}', 30.0, 1.0 * number)
    assert limiter.celsius == 85
    assert limiter.limit(1000.0).budget == 0.25


def test_the_hottest_of_the_sensors_beyond_the_cap_counts():
    limiter = ThermalLimiter(SETTINGS)
    for number in range(MAX_SENSORS):
        limiter.update(f'sensor {number}', 30.0, 0.0)
    limiter.update('late and hot', 85.0, 0.0)
    limiter.update('late and cool', 20.0, 0.0)
    assert limiter.celsius == 85
    assert limiter.limit(0.0).budget == 0.25
    limiter.update('late and cool', 20.0, 30.0)
    assert limiter.celsius == 20
