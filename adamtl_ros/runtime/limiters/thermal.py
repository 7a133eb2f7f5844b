# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The budget as the handle that keeps a device at its target temperature."""

from __future__ import annotations

import math
from dataclasses import dataclass

from adamtl_ros.runtime.limiters.opinion import Clock, Input, Opinion

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
        gain: Budget taken for each degree of rise.
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
    gain: float = 0.05
    integral: float = 0.0015
    timeout_s: float = 10.0
    hysteresis_c: float = 3.0
    margin_c: float = 3.0


@dataclass(frozen=True)
class _Reading:
    celsius: float
    heard: float
    trip_c: float
    too_hot: bool


class ThermalLimiter:
    """A PI controller on the hottest of several temperatures.

    In its velocity form: each step adds to the last output, which is clamped, so that there is
    no integral to wind up, and a steep rise is met before the target is reached.
    """

    def __init__(self, settings: ThermalSettings | None = None) -> None:
        self.settings = settings or ThermalSettings()
        self._clock, self._steps = Clock(), Clock()
        self._readings: dict[str, _Reading] = {}
        self._notes: dict[str, str] = {}
        self._limit = 1.0
        self._before = math.nan
        self._too_hot = False

    @property
    def celsius(self) -> float:
        """Hottest of the latest temperatures; NaN if none is known."""
        return max((r.celsius for r in self._fresh()), default=math.nan)

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
        if COLDEST_C <= celsius <= HOTTEST_C:
            self._readings[source] = _Reading(celsius, self._clock.now, trip_c, too_hot)
            self._notes.pop(source, None)
        else:
            self._notes[source] = f'{source} says {celsius:g} degrees Celsius'

    def expect(self, source: str, now: float) -> None:
        """Count a sensor that should be there as silent if it does not speak in time."""
        self._clock.advance(now)
        self._readings.setdefault(
            source, _Reading(-math.inf, self._clock.now, math.inf, too_hot=False)
        )

    def forget(self, source: str) -> None:
        """Expect no more of a sensor that was taken away on purpose."""
        self._readings.pop(source, None)
        self._notes.pop(source, None)

    def opinion(self, now: float) -> Opinion:
        """Return what is allowed at a time [s]; the controller takes a step."""
        self._clock.advance(now)
        passed = min(self._steps.advance(now), LONGEST_S)
        if not self.settings.enabled:
            self._reset()
            return Opinion(input=Input.OFF)
        fresh, note = self._fresh(), '; '.join(self._notes.values())
        if not fresh:
            self._reset()
            return Opinion(input=self._missing(), note=note or self._silence())
        self._step(max(self._excess(reading) for reading in fresh), passed)
        self._judge(max(r.celsius for r in fresh), any(r.too_hot for r in fresh))
        limit = self.settings.floor_budget if self._too_hot else self._limit
        silent = bool(self._silence())
        state = Input.SILENT if silent else Input.IMPLAUSIBLE if note else Input.HEARD
        return Opinion(limit, state, note or self._silence())

    def _excess(self, reading: _Reading) -> float:
        """Degrees above the target, which a trip point lowers."""
        return reading.celsius - min(
            self.settings.target_c, reading.trip_c - self.settings.margin_c
        )

    def _step(self, excess: float, passed: float) -> None:
        s = self.settings
        rise = 0.0 if math.isnan(self._before) else excess - self._before
        self._before = excess
        change = -s.integral * excess * passed - s.gain * rise
        self._limit = min(1.0, max(s.floor_budget, self._limit + change))

    def _judge(self, celsius: float, too_hot: bool) -> None:
        s = self.settings
        if too_hot or celsius >= s.max_c:
            self._too_hot = True
            self._limit = s.floor_budget
        elif celsius < s.max_c - s.hysteresis_c:
            self._too_hot = False

    def _fresh(self) -> list[_Reading]:
        oldest = self._clock.now - self.settings.timeout_s
        return [
            r
            for r in self._readings.values()
            if oldest <= r.heard <= self._clock.now and r.celsius >= COLDEST_C
        ]

    def _missing(self) -> Input:
        if self._silence():
            return Input.SILENT
        return Input.IMPLAUSIBLE if self._notes else Input.ABSENT

    def _silence(self) -> str:
        oldest, now = self._clock.now - self.settings.timeout_s, self._clock.now
        silent = [k for k, r in self._readings.items() if not oldest <= r.heard <= now]
        return f'no temperature from {", ".join(silent)}' if silent else ''

    def _reset(self) -> None:
        self._limit, self._before, self._too_hot = 1.0, math.nan, False
