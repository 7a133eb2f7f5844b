# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Simulated devices, against what can be worked out by hand."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from adamtl_ros.governor.governor import GovernorSettings, Reason
from adamtl_ros.governor.limiters.battery import BatterySettings
from adamtl_ros.governor.limiters.thermal import ThermalSettings
from adamtl_ros.governor.simulation import (
    Device,
    DeviceSettings,
    Scenario,
    ScenarioError,
    plot,
    read_scenario,
    simulate,
    summary,
    value_at,
)

SHIPPED = sorted((Path(__file__).parents[2] / 'config' / 'scenarios').glob('*.yaml'))
OFF = GovernorSettings(
    thermal=ThermalSettings(enabled=False), battery=BatterySettings(enabled=False)
)


def test_a_device_warms_up_as_an_exponential():
    """2 W of idling and 30 frames of 0.1 J: 5 W, 10 degrees each."""
    device = Device(DeviceSettings(idle_w=2, frame_j=0.1, full_ms=20, heat_minutes=5), 20.0)
    assert device.celsius == 40
    for _ in range(600):
        device.step(0.5, 1.0, 1.0, 20.0, 0.0)
    assert device.celsius == pytest.approx(70 - 30 * math.exp(-1), abs=0.01)


def test_a_battery_counts_joules():
    device = Device(DeviceSettings(idle_w=2, frame_j=0.1, full_ms=20, battery_wh=10), 20.0)
    device.step(3600.0, 1.0, 1.0, 20.0, 0.0)
    assert device.charge == pytest.approx(0.5)
    device.step(3600.0, 1.0, 1.0, 20.0, 8.0)
    assert device.charge == pytest.approx(0.8)


def test_firmware_throttles_until_it_has_cooled():
    settings = DeviceSettings(throttle_c=50, throttle_recovers_c=45, full_ms=40)
    device = Device(settings, 60.0)
    device.step(1.0, 1.0, 1.0, 60.0, 0.0)
    assert device.throttled
    assert device.latency_ms(1.0, 1.5) == 40 * 1.5 * 2
    assert device.rate_hz(1.0, 1.5) == pytest.approx(1000 / 120)
    device.step(1e6, 0.2, 1.0, 20.0, 0.0)
    assert not device.throttled


def test_profiles_have_lines_and_steps():
    profile = ((1.0, 0.0), (2.0, 10.0), (2.0, 5.0))
    seconds = np.array([0, 60, 90, 119.999, 120, 999])
    assert value_at(profile, seconds).tolist() == pytest.approx([0, 0, 5, 10, 5, 5], abs=0.01)


def scenario(**changes):
    device = DeviceSettings(idle_w=2, frame_j=0.1, full_ms=20, battery_wh=1.0)
    return Scenario(**{'name': 'x', 'hours': 0.4, 'device': device, 'governor': OFF, **changes})


def test_without_a_governor_the_battery_lasts_as_long_as_its_energy():
    run = simulate(scenario(), governed=False)
    assert run.minutes_to_empty == pytest.approx(60 / 5, abs=0.02)
    assert run.mean_budget == 1
    assert run.minutes_to_throttling == math.inf
    assert np.isnan(run.budget[-1])


def test_the_governor_is_the_nodes_own():
    lines = GovernorSettings(battery=BatterySettings(high=0.9, low=0.1, floor_budget=0.25))
    run = simulate(scenario(governor=lines))
    assert run.minutes_to_empty > 14
    middle = np.nanargmin(abs(run.charge - 0.5))
    assert run.budget[middle] == pytest.approx(0.625, abs=0.02)
    assert run.reason[middle] == Reason.BATTERY


def test_a_run_can_be_repeated():
    first, again = simulate(scenario()), simulate(scenario())
    assert np.array_equal(first.budget, again.budget, equal_nan=True)


def test_an_empty_device_cools_and_starts_again_on_the_charger():
    charger = ((0.0, 0.0), (18.0, 0.0), (18.0, 20.0))
    run = simulate(scenario(charger_w=charger), governed=False)
    off, on = np.isnan(run.budget[: 60 * 2 * 15]).any(), run.budget[60 * 2 * 19]
    assert off
    assert on == 1
    assert run.celsius[60 * 2 * 18 + 1] < np.nanmax(run.celsius) - 10


@pytest.mark.parametrize('path', SHIPPED, ids=lambda path: path.stem)
def test_shipped_scenarios_are_better_with_a_governor(path, tmp_path):
    whole = read_scenario(path)
    coarse = dataclasses.replace(whole, step_s=2.0)
    governed, free = simulate(coarse), simulate(coarse, governed=False)
    better = [
        governed.minutes_to_empty > free.minutes_to_empty,
        governed.minutes_to_throttling > free.minutes_to_throttling,
        np.nanmean(governed.rate_hz) > np.nanmean(free.rate_hz) + 0.5,
    ]
    assert any(better)
    assert 0.2 <= governed.mean_budget < 1
    plot(coarse, governed, free, tmp_path / 'plot.png')
    assert (tmp_path / 'plot.png').stat().st_size > 20_000
    text = summary(coarse, governed, free)
    assert whole.name in text
    assert 'minutes to throttling' in text


def test_three_scenarios_ship():
    assert len(SHIPPED) == 3


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('name: x\nhours: 0\ndevice: {}', 'hours'),
        ('name: x\nhours: 1\ndevice: {watts: 3}', 'device.watts'),
        ('name: x\nhours: 1\ndevice: {}\nload: [[5, 1], [2, 1]]', "times of 'load'"),
        ('name: x\nhours: 1\ndevice: {}\nload: []', 'load'),
        ('name: x\nhours: 1\ndevice: {full_ms: 0}', 'full_ms must be positive'),
        ('name: x\nhours: 1\ndevice: {noise: -1}', 'noise must not be negative'),
        (
            'name: x\nhours: 1\ndevice: {}\ngovernor: {battery: {low: 0.9}}',
            'battery.low 0.9 must be below',
        ),
        ('name: [', 'not YAML'),
    ],
)
def test_a_bad_scenario_is_reported(text, message, tmp_path):
    path = tmp_path / 'bad.yaml'
    path.write_text(text)
    with pytest.raises(ScenarioError, match=message):
        read_scenario(path)
