# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The less charge a battery has, the less a frame may cost."""

from __future__ import annotations

import math
from dataclasses import dataclass

from adamtl_ros.governor.limiters import BudgetLimit, Clock, Input


@dataclass(frozen=True)
class BatterySettings:
    """When a battery limits the budget.

    Attributes:
        enabled: Whether it does at all.
        high: Charge above which everything is allowed, 0..1.
        low: Charge at which only `floor_budget` is, below `high`.
        floor_budget: Budget at `low` and below.
        full_scale: What a driver sends when the battery is full: 1, or 100.
        timeout_s: A reading this old counts no longer.
        hysteresis: Rise of the charge that is taken for noise.

    """

    enabled: bool = True
    high: float = 0.5
    low: float = 0.15
    floor_budget: float = 0.35
    full_scale: float = 1.0
    timeout_s: float = 60.0
    hysteresis: float = 0.01


@dataclass(frozen=True)
class BatteryReading:
    """What a battery says of itself.

    Attributes:
        percentage: State of charge, 0 to `full_scale`; NaN or negative if unknown.
        charging: It is being charged, or full and plugged in.
        present: There is a battery.

    """

    percentage: float
    charging: bool = False
    present: bool = True


class BatteryLimiter:
    """Full budget above `high`, down in a line to `floor_budget` at `low`.

    Charging lifts the limit. What is unknown or implausible is no opinion: the scale of a
    driver is never guessed.
    """

    def __init__(self, settings: BatterySettings | None = None) -> None:
        self.settings = settings or BatterySettings()
        self._clock = Clock()
        self._reading: BatteryReading | None = None
        self._heard = -math.inf
        self._charge = math.nan

    def expect(self, now: float) -> None:
        """Count a battery that should be there as silent if it does not speak in time."""
        self._clock.advance(now)
        if self._heard == -math.inf:
            self._heard = self._clock.now

    @property
    def charge(self) -> float:
        """State of charge, 0..1; NaN if it is not known, or was read too long ago."""
        return self._checked()[0] if self.fresh else math.nan

    @property
    def fresh(self) -> bool:
        """Whether the last reading still counts."""
        return 0 <= self._clock.now - self._heard <= self.settings.timeout_s

    def hear(self, reading: BatteryReading, now: float) -> None:
        """Take in a reading at a time [s]."""
        self._clock.advance(now)
        self._reading, self._heard = reading, self._clock.now
        charge, _ = self._checked()
        # A backlash: down at once, up only when it is more than noise.
        if not math.isnan(self._charge) and charge > self._charge:
            charge = max(self._charge, charge - self.settings.hysteresis)
        self._charge = charge

    def opinion(self, now: float) -> BudgetLimit:
        """Return what is allowed at a time [s]."""
        self._clock.advance(now)
        if not self.settings.enabled:
            return BudgetLimit(input=Input.OFF)
        age = self._clock.now - self._heard
        if self._reading is None and not self.settings.timeout_s < age < math.inf:
            return BudgetLimit()
        if self._reading is None or not self.fresh:
            since = f'for {age:.0f} s' if age > 0 else 'since the clock was set back'
            return BudgetLimit(input=Input.SILENT, note=f'no battery state {since}')
        charge, note = self._checked()
        if math.isnan(charge):
            return BudgetLimit(input=Input.IMPLAUSIBLE if note else Input.HEARD, note=note)
        steady = charge if math.isnan(self._charge) else self._charge
        limit = 1.0 if self._reading.charging else self._line(steady)
        return BudgetLimit(limit, Input.HEARD)

    def _checked(self) -> tuple[float, str]:
        """Return the charge, 0..1, NaN if not known, and what is wrong with it."""
        reading, scale = self._reading, self.settings.full_scale
        if reading is None or not reading.present or not reading.percentage >= 0:
            return math.nan, ''
        if reading.percentage > 1.01 * scale:
            return math.nan, (
                f'percentage {reading.percentage:g} is above battery.full_scale {scale:g}; set '
                'that to 100 for a driver that sends 0..100'
            )
        return min(1.0, reading.percentage / scale), ''

    def _line(self, charge: float) -> float:
        s = self.settings
        share = (charge - s.low) / max(1e-9, s.high - s.low)
        return s.floor_budget + (1 - s.floor_budget) * min(1.0, max(0.0, share))
