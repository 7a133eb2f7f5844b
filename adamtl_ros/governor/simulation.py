# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Plays a scenario through the very governor that the node uses, or without any."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import yaml

from adamtl_ros.config import ConfigError, from_dict
from adamtl_ros.governor.governor import Decision, Governor, GovernorSettings, Reason
from adamtl_ros.governor.limiters.battery import BatteryReading


class Device:
    """First-order heat, a battery that counts joules, and firmware that throttles.

    Attributes:
        celsius: Temperature.
        charge: State of charge, 0..1; NaN without a battery.
        throttled: Whether the firmware slows it down.

    """

    def __init__(self, settings: DeviceSettings, ambient_c: float) -> None:
        """Start at rest in air of a temperature, not computing."""
        self.settings = settings
        self.celsius = ambient_c + settings.idle_w * settings.heat_c_per_w
        self.charge = settings.charge if settings.battery_wh else math.nan
        self.throttled = False

    @property
    def empty(self) -> bool:
        """Whether the battery has run out."""
        return self.charge <= 0

    def latency_ms(self, budget: float, load: float) -> float:
        """Return how long a frame takes."""
        slowdown = self.settings.throttle_slowdown if self.throttled else 1.0
        return self.settings.full_ms * self._relative(budget) * load * slowdown

    def rate_hz(self, budget: float, load: float) -> float:
        """Return how many frames it makes per second."""
        return min(self.settings.camera_hz, 1000 / self.latency_ms(budget, load))

    def live(
        self, seconds: float, budget: float, load: float, ambient_c: float, charger_w: float
    ) -> None:
        """Let time pass at a budget."""
        s = self.settings
        power = s.idle_w + s.frame_j * self._relative(budget) * self.rate_hz(budget, load)
        self._warm(seconds, ambient_c + power * s.heat_c_per_w)
        if self.celsius >= s.throttle_c:
            self.throttled = True
        elif self.celsius < s.throttle_recovers_c:
            self.throttled = False
        if s.battery_wh:
            gained = (charger_w - power) * seconds / 3600 / s.battery_wh
            self.charge = min(1.0, max(0.0, self.charge + gained))

    def rest(self, seconds: float, ambient_c: float) -> None:
        """Let time pass while it is switched off."""
        self._warm(seconds, ambient_c)
        self.throttled = False

    def _warm(self, seconds: float, target_c: float) -> None:
        way = -math.expm1(-seconds / (60 * self.settings.heat_minutes))
        self.celsius += (target_c - self.celsius) * way

    def _relative(self, budget: float) -> float:
        return self.settings.fixed + (1 - self.settings.fixed) * budget


Profile = tuple[tuple[float, float], ...]
"""Pairs of minutes and value; a line between them, two at one time make a step."""


class ScenarioError(ConfigError):
    """A scenario that cannot be played; says which entry is wrong."""


@dataclass(frozen=True)
class DeviceSettings:
    """A device that heats up and drains.

    Attributes:
        camera_hz: Frames of the camera per second.
        full_ms: Latency of a frame at full budget.
        fixed: Share of the latency, and of the energy of a frame, that no budget saves.
        noise: Spread of the latencies, as the standard deviation of their logarithm.
        idle_w: Power without any frame.
        frame_j: Energy of a frame at full budget.
        heat_c_per_w: How much warmer than the air one watt makes it in the end.
        heat_minutes: Time in which it gets 63 % of the way there.
        throttle_c: Temperature at which the firmware slows the clock down.
        throttle_recovers_c: Temperature at which it stops to do so.
        throttle_slowdown: How many times longer a frame then takes.
        battery_wh: Capacity; 0: mains.
        charge: State of charge at the start, 0..1.

    """

    camera_hz: float = 30.0
    full_ms: float = 40.0
    fixed: float = 0.2
    noise: float = 0.05
    idle_w: float = 1.0
    frame_j: float = 0.1
    heat_c_per_w: float = 10.0
    heat_minutes: float = 5.0
    throttle_c: float = 95.0
    throttle_recovers_c: float = 90.0
    throttle_slowdown: float = 2.0
    battery_wh: float = 0.0
    charge: float = 1.0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ScenarioError: A number that no device has.

        """
        positive = ('camera_hz', 'full_ms', 'heat_minutes', 'throttle_slowdown')
        for name in positive:
            if not getattr(self, name) > 0:
                raise ScenarioError(f'{name} must be positive, got {getattr(self, name)}')
        for name in ('fixed', 'noise', 'idle_w', 'frame_j', 'heat_c_per_w', 'battery_wh', 'charge'):
            if not getattr(self, name) >= 0:
                raise ScenarioError(f'{name} must not be negative, got {getattr(self, name)}')


@dataclass(frozen=True)
class Scenario:
    """What a device goes through.

    Attributes:
        name: Title of the plot.
        hours: Length.
        step_s: Time between two decisions.
        seed: Of the noise.
        device: The device.
        ambient_c: Temperature of the air over time.
        load: How many times longer a frame takes since others use the machine, over time.
        charger_w: Power of the charger over time.
        user: The user's budget over time.
        governor: Settings of the governor, as the node's parameters.

    """

    name: str
    hours: float
    device: DeviceSettings
    step_s: float = 0.5
    seed: int = 0
    ambient_c: Profile = ((0.0, 25.0),)
    load: Profile = ((0.0, 1.0),)
    charger_w: Profile = ((0.0, 0.0),)
    user: Profile = ((0.0, 1.0),)
    governor: GovernorSettings = field(default_factory=GovernorSettings)

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ScenarioError: A length that is not positive, or times that go back.

        """
        if not (self.hours > 0 and self.step_s > 0):
            raise ScenarioError(f'hours and step_s must be positive: {self.hours}, {self.step_s}')
        if self.governor.contradiction:
            raise ScenarioError(self.governor.contradiction)
        for name in ('ambient_c', 'load', 'charger_w', 'user'):
            profile: Profile = getattr(self, name)
            minutes = [minute for minute, _ in profile]
            if not minutes or minutes != sorted(minutes):
                raise ScenarioError(f"times of '{name}' must ascend, got {minutes}")

    @property
    def seconds(self) -> np.ndarray:
        """Times of the decisions [s]."""
        return np.arange(0, 3600 * self.hours, self.step_s)


def value_at(profile: Profile, seconds: np.ndarray) -> np.ndarray:
    """Return the values of a profile at times [s]; the first and last hold beyond its ends."""
    minutes, values = np.array(profile).T
    # A step belongs to what comes after it.
    return np.interp(seconds / 60 + 1e-9, minutes, values)


def scenario_file(name: str) -> Path:
    """Return the file of a scenario.

    Args:
        name: Path of a YAML file, or the name of a file in `config/scenarios/` of the checkout
            or of the installed package.

    Raises:
        ScenarioError: There is no such file.

    """
    if Path(name).is_file():
        return Path(name)
    prefixes = os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)
    shares = [Path(prefix, 'share', 'adamtl_ros') for prefix in prefixes if prefix]
    shipped = {
        path.stem: path
        for folder in (*reversed(shares), Path(__file__).parents[2])
        for path in folder.glob('config/scenarios/*.yaml')
    }
    if name not in shipped:
        raise ScenarioError(
            f"no scenario '{name}'; give a YAML file"
            + (f', or one of: {", ".join(sorted(shipped))}' if shipped else '')
        )
    return shipped[name]


def read_scenario(path: Path) -> Scenario:
    """Read a scenario.

    Raises:
        ScenarioError: Not YAML, or an entry that is unknown or cannot be so.

    """
    try:
        scenario = from_dict(Scenario, yaml.safe_load(path.read_text()), '')
    except yaml.YAMLError as error:
        raise ScenarioError(f'{path} is not YAML: {error}') from error
    except ConfigError as error:
        raise ScenarioError(f'{path}: {error}') from error
    assert isinstance(scenario, Scenario)
    return scenario


@dataclass(frozen=True)
class SimulationRun:
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


def simulate(scenario: Scenario, *, governed: bool = True) -> SimulationRun:
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
    return SimulationRun(times, *rows.T)


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
