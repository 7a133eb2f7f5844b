# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Thermal limiter: a PI controller that holds a target temperature with the budget."""

from __future__ import annotations

import math
from dataclasses import dataclass

from adamtl_ros.governor.limiters import BudgetLimit, Input, SteppedClock

MIN_PLAUSIBLE_C, MAX_PLAUSIBLE_C = -60.0, 200.0
"""Range outside of which a reading is implausible [degrees Celsius]."""
MAX_SENSORS = 128
"""Largest number of sensors that are told apart; more share one entry, `OTHERS`."""
OTHERS = 'other sensors'
MAX_NAMED = 4
"""Largest number of sensors that a note names."""
MAX_STEP_S = 5.0
"""Longest step of the controller; a longer pause between two calls is cut to it [s]."""


@dataclass(frozen=True)
class ThermalSettings:
    """Settings of the thermal limiter.

    Attributes:
        enabled: Whether the limiter is active.
        target_c: Target temperature [degrees Celsius].
        max_c: Temperature from which only `floor_budget` is allowed; above the target.
        floor_budget: Lowest limit.
        gain: Proportional gain: reduction of the budget per degree above `target_c - band_c`.
        band_c: Width of the band below the target in which the proportional part acts.
        integral: Integral gain: reduction of the budget per second and degree above the target.
        timeout_s: Age from which a reading is ignored [s].
        hysteresis_c: Distance below `max_c` to cool down to before more is allowed again.
        margin_c: Distance of the target below a zone's passive trip point, where the kernel
            throttles.

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
    time: float
    trip_c: float = math.inf
    too_hot: bool = False
    received: bool = True  # False: a sensor that is watched and has sent nothing yet

    @property
    def usable(self) -> bool:
        return self.received and MIN_PLAUSIBLE_C <= self.celsius <= MAX_PLAUSIBLE_C


class ThermalLimiter:
    """PI controller on the hottest of several sensors.

    The proportional part acts in the band below the target and above it only, so that a cold
    device may warm up at any speed. The integral is frozen while the limit is saturated
    (anti-windup).
    """

    def __init__(self, settings: ThermalSettings | None = None) -> None:
        self.settings = settings or ThermalSettings()
        self._clock, self._steps = SteppedClock(), SteppedClock()
        self._readings: dict[str, _Reading] = {}
        self._integral = 0.0
        self._too_hot = False

    @property
    def celsius(self) -> float:
        """Hottest of the latest temperatures; NaN if none is known."""
        return max((r.celsius for r in self._fresh().values() if r.usable), default=math.nan)

    def update(
        self,
        source: str,
        celsius: float,
        now: float,
        *,
        trip_c: float = math.inf,
        too_hot: bool = False,
    ) -> None:
        """Update with the temperature of a sensor, received at `now` [s].

        With `MAX_SENSORS` of them, a new one takes the place of the one that has been silent for
        longest. If none is silent, it shares `OTHERS` with further ones, where the hottest counts.

        Args:
            source: Name of the sensor.
            celsius: Temperature [degrees Celsius].
            now: Time [s].
            trip_c: Temperature at which the sensor's device is throttled.
            too_hot: Whether the sensor itself reports overheating, whatever `max_c` is.

        """
        self._clock.advance(now)
        source = self._place_of(source)
        reading = _Reading(celsius, self._clock.now, trip_c, too_hot)
        other = self._fresh().get(OTHERS)
        if source != OTHERS or not (other and other.usable and reading.celsius < other.celsius):
            self._readings[source] = reading

    def _place_of(self, source: str) -> str:
        """Return the name under which a sensor is kept."""
        if source in self._readings or len(self._readings) < MAX_SENSORS:
            return source
        oldest = min(self._readings, key=lambda name: self._readings[name].time)
        if oldest in self._fresh():
            return OTHERS
        del self._readings[oldest]
        return source

    def watch(self, source: str, now: float) -> None:
        """Report a sensor as silent if it sends nothing within `timeout_s` from now on."""
        self._clock.advance(now)
        self._readings.setdefault(source, _Reading(math.nan, self._clock.now, received=False))

    def unwatch(self, source: str) -> None:
        """Drop a sensor that was removed on purpose."""
        self._readings.pop(source, None)

    def limit(self, now: float) -> BudgetLimit:
        """Step the controller to a time [s] and return the limit."""
        self._clock.advance(now)
        passed = min(self._steps.advance(now), MAX_STEP_S)
        if not self.settings.enabled:
            self._integral, self._too_hot = 0.0, False
            return BudgetLimit(input=Input.OFF)
        fresh = self._fresh()
        usable = [reading for reading in fresh.values() if reading.usable]
        state, note = self._input_state(fresh)
        if not usable:
            self._integral, self._too_hot = 0.0, False
            return BudgetLimit(input=state, note=note)
        budget = self._step(max(self._excess(reading) for reading in usable), passed)
        self._check_overheating(max(r.celsius for r in usable), any(r.too_hot for r in usable))
        return BudgetLimit(self.settings.floor_budget if self._too_hot else budget, state, note)

    def _excess(self, reading: _Reading) -> float:
        """Return the degrees above the target, which a trip point lowers."""
        s = self.settings
        return reading.celsius - min(s.target_c, reading.trip_c - s.margin_c)

    def _step(self, excess: float, passed: float) -> float:
        """Advance the integral unless the limit is saturated, and return the limit."""
        s = self.settings
        proportional = s.gain * max(0.0, excess + s.band_c)
        if excess < 0 or 1 - proportional - self._integral > s.floor_budget:
            self._integral += s.integral * excess * passed
        # The integral may cancel the proportional part at the target, to allow the full budget.
        self._integral = max(self._integral, -min(proportional, s.gain * s.band_c))
        return min(1.0, max(s.floor_budget, 1 - proportional - self._integral))

    def _check_overheating(self, celsius: float, too_hot: bool) -> None:
        s = self.settings
        if too_hot or celsius >= s.max_c:
            self._too_hot = True
            self._integral = 1 - s.floor_budget
        elif celsius < s.max_c - s.hysteresis_c:
            self._too_hot = False

    def _fresh(self) -> dict[str, _Reading]:
        oldest, now = self._clock.now - self.settings.timeout_s, self._clock.now
        return {name: r for name, r in self._readings.items() if oldest <= r.time <= now}

    def _input_state(self, fresh: dict[str, _Reading]) -> tuple[Input, str]:
        """Return the state of the sensors and a note about those that are unusable."""
        silent = [name for name in self._readings if name not in fresh]
        if silent:
            return Input.SILENT, f'no temperature from {_named(silent, ", ")}'
        received = {name: reading for name, reading in fresh.items() if reading.received}
        implausible = [
            f'{name} reports {reading.celsius:g} degrees Celsius'
            for name, reading in received.items()
            if not reading.usable
        ]
        if implausible:
            return Input.IMPLAUSIBLE, _named(implausible, '; ')
        return (Input.RECEIVED if received else Input.ABSENT), ''


def _named(entries: list[str], sign: str) -> str:
    """Return the first entries, and the number of the others."""
    more = len(entries) - MAX_NAMED
    return sign.join(entries[:MAX_NAMED]) + (f' and {more} more' if more > 0 else '')
