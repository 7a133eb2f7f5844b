# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Simulation of a device in a scenario, with the governor of the node or without one.

A `Scenario` (YAML) describes a device and its surroundings over time, `simulate()` runs it,
`summary()` and `plot()` compare the two runs.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from adamtl_ros.config import ConfigError, from_dict, read_yaml
from adamtl_ros.governor.governor import Decision, Governor, GovernorSettings, Reason
from adamtl_ros.governor.limiters.battery import BatteryReading

if TYPE_CHECKING:
    from collections.abc import Mapping


class Device:
    """Device with first-order heating, an ideal battery and firmware that throttles.

    Attributes:
        settings: Properties of the device.
        celsius: Temperature [degrees Celsius].
        charge: State of charge, 0..1; NaN without a battery.
        throttled: Whether the firmware throttles.

    """

    def __init__(self, settings: DeviceSettings, ambient_c: float) -> None:
        """Start idle and in equilibrium with an ambient temperature [degrees Celsius]."""
        self.settings = settings
        self.celsius = ambient_c + settings.idle_w * settings.heat_c_per_w
        self.charge = settings.charge if settings.battery_wh else math.nan
        self.throttled = False

    @property
    def empty(self) -> bool:
        """Whether the battery is empty."""
        return self.charge <= 0

    def latency_ms(self, budget: float, load: float) -> float:
        """Return the latency of a frame [ms]; `load` multiplies it."""
        slowdown = self.settings.throttle_slowdown if self.throttled else 1.0
        return self.settings.full_ms * self._relative_cost(budget) * load * slowdown

    def rate_hz(self, budget: float, load: float) -> float:
        """Return the frames processed per second."""
        return min(self.settings.camera_hz, 1000 / self.latency_ms(budget, load))

    def step(
        self, seconds: float, budget: float, load: float, ambient_c: float, charger_w: float
    ) -> None:
        """Advance time while frames are processed at a budget."""
        s = self.settings
        power = s.idle_w + s.frame_j * self._relative_cost(budget) * self.rate_hz(budget, load)
        self._heat(seconds, ambient_c + power * s.heat_c_per_w)
        if self.celsius >= s.throttle_c:
            self.throttled = True
        elif self.celsius < s.throttle_recovers_c:
            self.throttled = False
        if s.battery_wh:
            gained = (charger_w - power) * seconds / 3600 / s.battery_wh
            self.charge = min(1.0, max(0.0, self.charge + gained))

    def step_off(self, seconds: float, ambient_c: float) -> None:
        """Advance time while the device is switched off."""
        self._heat(seconds, ambient_c)
        self.throttled = False

    def _heat(self, seconds: float, target_c: float) -> None:
        fraction = -math.expm1(-seconds / (60 * self.settings.heat_minutes))
        self.celsius += (target_c - self.celsius) * fraction

    def _relative_cost(self, budget: float) -> float:
        return self.settings.fixed + (1 - self.settings.fixed) * budget


Profile = tuple[tuple[float, float], ...]
"""Pairs of minutes and value, interpolated linearly; two at the same time make a step."""


class ScenarioError(ConfigError):
    """Invalid scenario; the message names the entry."""


@dataclass(frozen=True)
class DeviceSettings:
    """Properties of a simulated device.

    Attributes:
        camera_hz: Frame rate of the camera [Hz].
        full_ms: Latency of a frame at full budget [ms].
        fixed: Fraction of the latency and of the energy of a frame that no budget saves.
        noise: Standard deviation of the logarithm of the latency.
        idle_w: Power while no frame is processed [W].
        frame_j: Energy of a frame at full budget [J].
        heat_c_per_w: Thermal resistance to the ambient air [degrees Celsius per W].
        heat_minutes: Thermal time constant [min].
        throttle_c: Temperature at which the firmware begins to throttle [degrees Celsius].
        throttle_recovers_c: Temperature below which it stops throttling [degrees Celsius].
        throttle_slowdown: Factor on the latency while throttled.
        battery_wh: Capacity of the battery [Wh]; 0: mains.
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
            ScenarioError: A number outside its range.

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
    """Device and its surroundings over time.

    Attributes:
        name: Title of the plot.
        hours: Duration [h].
        device: Properties of the device.
        step_s: Time between two decisions [s].
        seed: Seed of the noise.
        ambient_c: Ambient temperature over time [degrees Celsius].
        load: Factor on the latency by other processes, over time.
        charger_w: Power of the charger over time [W].
        user: Budget of the user over time.
        governor: Settings of the governor, named as the parameters of the node.

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
            ScenarioError: A duration that is not positive, or times that decrease.

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
    """Return the values of a profile at times [s], constant beyond its ends."""
    minutes, values = np.array(profile).T
    # At a step the later value holds.
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
    """Read a scenario from a YAML file.

    Raises:
        ScenarioError: Invalid YAML, or an entry that is unknown or outside its range.

    """
    try:
        scenario = from_dict(Scenario, read_yaml(path), '')
    except ConfigError as error:
        raise ScenarioError(f'{path}: {error}') from error
    assert isinstance(scenario, Scenario)
    return scenario


@dataclass(frozen=True)
class SimulationRun:
    """Results of a simulation: arrays (steps,), NaN while the battery is empty.

    Attributes:
        seconds: Times [s].
        budget: Effective budgets.
        reason: Numbers of `Reason`.
        celsius: Temperatures [degrees Celsius].
        charge: States of charge, 0..1; NaN without a battery.
        rate_hz: Frames processed per second.
        latency_ms: Latencies [ms].
        throttled: 1 where the firmware throttled, else 0.

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
        """Minutes until the firmware first throttled; infinite if it never did."""
        return self._first_minute(self.throttled == 1)

    @property
    def minutes_to_empty(self) -> float:
        """Minutes until the battery was first empty; infinite if it never was."""
        return self._first_minute(np.isnan(self.budget))

    @property
    def mean_budget(self) -> float:
        """Mean effective budget while the device ran."""
        return float(np.nanmean(self.budget))

    def _first_minute(self, mask: np.ndarray) -> float:
        return float(self.seconds[mask.argmax()] / 60) if mask.any() else math.inf


def simulate(scenario: Scenario, *, governed: bool = True) -> SimulationRun:
    """Simulate a scenario.

    Args:
        scenario: Scenario to simulate.
        governed: Whether a governor decides; else the user's budget is the effective one.

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
            device.step_off(scenario.step_s, float(air))
            continue
        decision = _decide(governor, device, float(user), float(now), float(charger))
        budget = decision.budget if governed else float(user)
        rows[index] = (
            budget, decision.reason if governed else Reason.USER, device.celsius, device.charge,
            device.rate_hz(budget, load), device.latency_ms(budget, load), device.throttled,
        )  # fmt: skip
        _process_frames(governor, device, scenario.step_s, budget, float(load), rng)
        device.step(scenario.step_s, budget, float(load), float(air), float(charger))
    return SimulationRun(times, *rows.T)


def _decide(
    governor: Governor, device: Device, user: float, now: float, charger_w: float
) -> Decision:
    """Update the governor with the sensors of the device, and let it decide."""
    governor.thermal.update('device', device.celsius, now)
    if not math.isnan(device.charge):
        governor.battery.update(BatteryReading(device.charge, charging=charger_w > 0), now)
    return governor.decide(user, now)


MAX_FRAMES_PER_STEP = 8
"""Frames simulated per step; they are alike, so more would add nothing."""


def _process_frames(
    governor: Governor,
    device: Device,
    seconds: float,
    budget: float,
    load: float,
    rng: np.random.Generator,
) -> None:
    """Update the governor with the latencies of the frames of a step."""
    count = min(MAX_FRAMES_PER_STEP, max(1, round(device.rate_hz(budget, load) * seconds)))
    latency = device.latency_ms(budget, load)
    for noise in rng.normal(0, device.settings.noise, count):
        governor.deadline.update(budget, latency * math.exp(noise))


COLORS = {
    Reason.USER: '#bbbbbb',
    Reason.BATTERY: '#2ca02c',
    Reason.THERMAL: '#d62728',
    Reason.DEADLINE: '#1f77b4',
    Reason.FLOOR: '#000000',
    Reason.STALE: '#9467bd',
}


def summary(scenario: Scenario, governed: SimulationRun, ungoverned: SimulationRun) -> str:
    """Return a human-readable table of the two runs.

    Args:
        scenario: Simulated scenario.
        governed: Run with a governor.
        ungoverned: Run without one.

    """
    deadline = scenario.governor.deadline.deadline_ms
    lines = [f'{scenario.name}: {scenario.hours:g} h', f'{"":28}{"governor":>12}{"none":>12}']
    rows = [
        ('minutes to throttling', [r.minutes_to_throttling for r in (governed, ungoverned)]),
        ('minutes to empty', [r.minutes_to_empty for r in (governed, ungoverned)]),
        ('hottest [degrees Celsius]', [np.nanmax(r.celsius) for r in (governed, ungoverned)]),
        ('mean budget', [r.mean_budget for r in (governed, ungoverned)]),
        ('mean frames per second', [np.nanmean(r.rate_hz) for r in (governed, ungoverned)]),
    ]
    if deadline:
        late = [float(np.nanmean(r.latency_ms > deadline)) for r in (governed, ungoverned)]
        rows.append((f'time over {deadline:g} ms [%]', [100 * fraction for fraction in late]))
    lines += [f'{name:28}{_number(a):>12}{_number(b):>12}' for name, (a, b) in rows]
    return '\n'.join(lines)


def plot(
    scenario: Scenario, governed: SimulationRun, ungoverned: SimulationRun, path: Path
) -> None:
    """Plot budget, temperature, charge, frame rate and latency over time to an image file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = {
        'budget': 'effective budget',
        'celsius': 'temperature [°C]',
        'charge': 'charge',
        'rate_hz': 'frames per second',
        'latency_ms': 'latency [ms]',
    }
    if not scenario.device.battery_wh:
        del panels['charge']
    figure = Figure(figsize=(9, 1 + 1.6 * len(panels)), layout='constrained')
    FigureCanvasAgg(figure)
    axes = dict(zip(panels, figure.subplots(len(panels), 1, sharex=True), strict=True))
    for name, axis in axes.items():
        axis.plot(
            ungoverned.seconds / 60,
            getattr(ungoverned, name),
            '--',
            color='0.6',
            label='no governor',
        )
        axis.plot(governed.seconds / 60, getattr(governed, name), 'k', lw=1.2, label='governor')
        axis.set_ylabel(panels[name])
        axis.grid(alpha=0.3)
    _mark_reasons(axes['budget'], governed)
    _mark_limits(axes, scenario)
    axes['budget'].set_title(scenario.name)
    axes['budget'].legend(fontsize=7, ncols=3, loc='lower left')
    axes['latency_ms'].set_xlabel('minutes')
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def _mark_reasons(axis: Any, run: SimulationRun) -> None:
    """Color the background by the reason of the limit."""
    for reason, color in COLORS.items():
        where = run.reason == reason
        if reason != Reason.USER and where.any():
            axis.fill_between(
                run.seconds / 60, 0, 1, where=where, color=color, alpha=0.25, lw=0,
                label=reason.name.lower(),
            )  # fmt: skip


def _mark_limits(axes: Mapping[str, Any], scenario: Scenario) -> None:
    """Draw the targets of the governor and the throttling temperature of the firmware."""
    thermal, device = scenario.governor.thermal, scenario.device
    if thermal.enabled:
        axes['celsius'].axhline(thermal.target_c, color='tab:orange', lw=0.8)
    axes['celsius'].axhline(device.throttle_c, color='tab:red', lw=0.8)
    if scenario.governor.deadline.deadline_ms:
        axes['latency_ms'].axhline(
            scenario.governor.deadline.deadline_ms, color='tab:orange', lw=0.8
        )


def _number(value: float) -> str:
    return 'never' if math.isinf(value) else f'{value:.2f}'
