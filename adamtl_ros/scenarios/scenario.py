# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What happens to a simulated device, from a YAML file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import yaml

from adamtl_ros.entries import EntryError, build
from adamtl_ros.runtime.governor import GovernorSettings

if TYPE_CHECKING:
    from pathlib import Path

Profile = tuple[tuple[float, float], ...]
"""Pairs of minutes and value; a line between them, two at one time make a step."""


class ScenarioError(EntryError):
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


def read_scenario(path: Path) -> Scenario:
    """Read a scenario.

    Raises:
        ScenarioError: Not YAML, or an entry that is unknown or cannot be so.

    """
    try:
        scenario = build(Scenario, yaml.safe_load(path.read_text()), '')
    except yaml.YAMLError as error:
        raise ScenarioError(f'{path} is not YAML: {error}') from error
    except EntryError as error:
        raise ScenarioError(f'{path}: {error}') from error
    assert isinstance(scenario, Scenario)
    return scenario
