# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Plays a scenario through the very governor that the node uses, or without any."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from adamtl_ros.runtime.governor import Decision, Governor, Reason
from adamtl_ros.runtime.limiters.battery import BatteryReading
from adamtl_ros.scenarios.device import Device
from adamtl_ros.scenarios.scenario import value_at

if TYPE_CHECKING:
    from adamtl_ros.scenarios.scenario import Scenario


@dataclass(frozen=True)
class Run:
    """A scenario as it went; arrays over time, NaN once the battery was empty.

    Attributes:
        seconds: Times.
        budget: Effective budgets.
        reason: Numbers of `Reason`.
        celsius: Temperatures.
        charge: States of charge, 0..1; NaN without a battery.
        rate_hz: Frames per second.
        latency_ms: Latencies.
        throttled: 1 where the firmware slowed the device down, else 0.

    """

    seconds: np.ndarray
    budget: np.ndarray
    reason: np.ndarray
    celsius: np.ndarray
    charge: np.ndarray
    rate_hz: np.ndarray
    latency_ms: np.ndarray
    throttled: np.ndarray

    @property
    def minutes_to_throttling(self) -> float:
        """Minutes until the firmware throttled; infinite if it never did."""
        return self._first(self.throttled == 1)

    @property
    def minutes_to_empty(self) -> float:
        """Minutes until the battery was empty; infinite if it never was."""
        return self._first(np.isnan(self.budget))

    @property
    def mean_budget(self) -> float:
        """Mean effective budget while it ran."""
        return float(np.nanmean(self.budget))

    def _first(self, happened: np.ndarray) -> float:
        return float(self.seconds[happened.argmax()] / 60) if happened.any() else math.inf


def simulate(scenario: Scenario, *, governed: bool = True) -> Run:
    """Play a scenario.

    Args:
        scenario: What happens.
        governed: With a governor; else the user's budget is the effective one.

    """
    times = scenario.seconds
    profiles = [
        value_at(profile, times)
        for profile in (scenario.user, scenario.load, scenario.ambient_c, scenario.charger_w)
    ]
    device = Device(scenario.device, float(profiles[2][0]))
    governor = Governor(scenario.governor)
    rng = np.random.default_rng(scenario.seed)
    rows = np.full((len(times), 7), math.nan)
    for index, (now, user, load, air, charger) in enumerate(zip(times, *profiles, strict=True)):
        if device.empty and not charger:
            device.rest(scenario.step_s, float(air))
            continue
        decision = _ask(governor, device, float(user), float(now), float(charger))
        budget = decision.budget if governed else float(user)
        rows[index] = (
            budget, decision.reason if governed else Reason.USER, device.celsius, device.charge,
            device.rate_hz(budget, load), device.latency_ms(budget, load), device.throttled,
        )  # fmt: skip
        _frames(governor, device, scenario.step_s, budget, float(load), rng)
        device.live(scenario.step_s, budget, float(load), float(air), float(charger))
    return Run(times, *rows.T)


def _ask(governor: Governor, device: Device, user: float, now: float, charger_w: float) -> Decision:
    """Tell the governor what the sensors of the device say, and let it decide."""
    governor.thermal.hear('device', device.celsius, now)
    if not math.isnan(device.charge):
        governor.battery.hear(BatteryReading(device.charge, charging=charger_w > 0), now)
    return governor.decide(user, now)


MOST_FRAMES = 8
"""Of a step: more say nothing new, since all of them are alike."""


def _frames(
    governor: Governor,
    device: Device,
    seconds: float,
    budget: float,
    load: float,
    rng: np.random.Generator,
) -> None:
    """Tell the governor of the latency of each frame of a step."""
    count = min(MOST_FRAMES, max(1, round(device.rate_hz(budget, load) * seconds)))
    latency = device.latency_ms(budget, load)
    for noise in rng.normal(0, device.settings.noise, count):
        governor.deadline.hear(budget, latency * math.exp(noise))
