# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The budget as the handle that keeps a device at its target temperature."""

from __future__ import annotations

import math
from dataclasses import dataclass

from adamtl_ros.governor.limiters import BudgetLimit, Clock, Input

COLDEST_C, HOTTEST_C = -60.0, 200.0
"""Outside of these a reading is garbage."""
LONGEST_S = 5.0
"""A controller that was not asked for longer than this does not make up for it."""


@dataclass(frozen=True)
class ThermalSettings:
    """How heat limits the budget.

    Attributes:
        enabled: Whether it does at all.
        target_c: Temperature that is held [degrees Celsius].
        max_c: Temperature at which only `floor_budget` is allowed, above the target.
        floor_budget: Least budget that heat asks for.
        gain: Budget taken for each degree, from `band_c` below the target on.
        band_c: See `gain`.
        integral: Budget taken for each second and degree above the target.
        timeout_s: A reading this old counts no longer.
        hysteresis_c: So far below `max_c` it must cool before more is allowed again.
        margin_c: So far below a passive trip point, where the kernel throttles, is the target
            of a zone that has one.

    """

    enabled: bool = True
    target_c: float = 75.0
    max_c: float = 90.0
    floor_budget: float = 0.25
    gain: float = 0.08
    band_c: float = 4.0
    integral: float = 0.0015
    timeout_s: float = 10.0
    hysteresis_c: float = 3.0
    margin_c: float = 3.0


@dataclass(frozen=True)
class _Reading:
    celsius: float
    heard: float
    trip_c: float = math.inf
    too_hot: bool = False
    spoken: bool = True

    @property
    def usable(self) -> bool:
        return self.spoken and COLDEST_C <= self.celsius <= HOTTEST_C


class ThermalLimiter:
    """A PI controller on the hottest of several temperatures.

    What is proportional acts near the target and above it only: how fast a cold device warms up
    is nobody's business. The integral stands still while the limit is at either of its ends.
    """

    def __init__(self, settings: ThermalSettings | None = None) -> None:
        self.settings = settings or ThermalSettings()
        self._clock, self._steps = Clock(), Clock()
        self._readings: dict[str, _Reading] = {}
        self._taken = 0.0
        self._too_hot = False

    @property
    def celsius(self) -> float:
        """Hottest of the latest temperatures; NaN if none is known."""
        return max((r.celsius for r in self._fresh().values() if r.usable), default=math.nan)

    def hear(
        self,
        source: str,
        celsius: float,
        now: float,
        *,
        trip_c: float = math.inf,
        too_hot: bool = False,
    ) -> None:
        """Take in the temperature of a sensor.

        Args:
            source: Name of the sensor.
            celsius: Degrees Celsius.
            now: Time [s].
            trip_c: Temperature at which something throttles this sensor's device.
            too_hot: The sensor itself calls this too hot, whatever `max_c` says.

        """
        self._clock.advance(now)
        self._readings[source] = _Reading(celsius, self._clock.now, trip_c, too_hot)

    def expect(self, source: str, now: float) -> None:
        """Count a sensor that should be there as silent if it does not speak in time."""
        self._clock.advance(now)
        self._readings.setdefault(source, _Reading(math.nan, self._clock.now, spoken=False))

    def forget(self, source: str) -> None:
        """Expect no more of a sensor that was taken away on purpose."""
        self._readings.pop(source, None)

    def opinion(self, now: float) -> BudgetLimit:
        """Return what is allowed at a time [s]; the controller takes a step."""
        self._clock.advance(now)
        passed = min(self._steps.advance(now), LONGEST_S)
        if not self.settings.enabled:
            self._taken, self._too_hot = 0.0, False
            return BudgetLimit(input=Input.OFF)
        fresh = self._fresh()
        usable = [reading for reading in fresh.values() if reading.usable]
        state, note = self._input(fresh)
        if not usable:
            self._taken, self._too_hot = 0.0, False
            return BudgetLimit(input=state, note=note)
        limit = self._step(max(self._excess(reading) for reading in usable), passed)
        self._judge(max(r.celsius for r in usable), any(r.too_hot for r in usable))
        return BudgetLimit(self.settings.floor_budget if self._too_hot else limit, state, note)

    def _excess(self, reading: _Reading) -> float:
        """Degrees above the target, which a trip point lowers."""
        s = self.settings
        return reading.celsius - min(s.target_c, reading.trip_c - s.margin_c)

    def _step(self, excess: float, passed: float) -> float:
        """Return the limit, and let the integral go on where the limit can follow it."""
        s = self.settings
        proportional = s.gain * max(0.0, excess + s.band_c)
        if excess < 0 or 1 - proportional - self._taken > s.floor_budget:
            self._taken += s.integral * excess * passed
        # It may give back what the band takes at the target, so that all is allowed there too.
        self._taken = max(self._taken, -min(proportional, s.gain * s.band_c))
        return min(1.0, max(s.floor_budget, 1 - proportional - self._taken))

    def _judge(self, celsius: float, too_hot: bool) -> None:
        s = self.settings
        if too_hot or celsius >= s.max_c:
            self._too_hot = True
            self._taken = 1 - s.floor_budget
        elif celsius < s.max_c - s.hysteresis_c:
            self._too_hot = False

    def _fresh(self) -> dict[str, _Reading]:
        oldest, now = self._clock.now - self.settings.timeout_s, self._clock.now
        return {name: r for name, r in self._readings.items() if oldest <= r.heard <= now}

    def _input(self, fresh: dict[str, _Reading]) -> tuple[Input, str]:
        """Say what is known of the sensors, and what is wrong with them."""
        silent = [name for name in self._readings if name not in fresh]
        if silent:
            return Input.SILENT, f'no temperature from {", ".join(silent)}'
        spoken = {name: reading for name, reading in fresh.items() if reading.spoken}
        garbage = [
            f'{name} says {reading.celsius:g} degrees Celsius'
            for name, reading in spoken.items()
            if not reading.usable
        ]
        if garbage:
            return Input.IMPLAUSIBLE, '; '.join(garbage)
        return (Input.HEARD if spoken else Input.ABSENT), ''
