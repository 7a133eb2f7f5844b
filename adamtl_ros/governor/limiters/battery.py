# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Battery limiter: a lower state of charge allows a smaller budget."""

from __future__ import annotations

import math
from dataclasses import dataclass

from adamtl_ros.governor.limiters import BudgetLimit, Input, SteppedClock


@dataclass(frozen=True)
class BatterySettings:
    """Settings of the battery limiter.

    Attributes:
        enabled: Whether the limiter is active.
        high: State of charge above which the full budget is allowed, 0..1.
        low: State of charge at which only `floor_budget` is allowed; below `high`.
        floor_budget: Budget at `low` and below.
        full_scale: Value that the driver sends for a full battery: 1 or 100.
        timeout_s: Age from which a reading is ignored [s].
        hysteresis: Rise of the state of charge that is treated as noise.

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
    """State of a battery.

    Attributes:
        percentage: State of charge, 0 to `full_scale`; NaN or negative if unknown.
        charging: Whether it is being charged, or full and plugged in.
        present: Whether there is a battery.

    """

    percentage: float
    charging: bool = False
    present: bool = True


class BatteryLimiter:
    """Full budget above `high`, falling linearly to `floor_budget` at `low`.

    Charging lifts the limit. An unknown or implausible charge does not limit: the scale of a
    driver is never guessed.
    """

    def __init__(self, settings: BatterySettings | None = None) -> None:
        self.settings = settings or BatterySettings()
        self._clock = SteppedClock()
        self._reading: BatteryReading | None = None
        self._received_at = -math.inf
        self._charge = math.nan

    def watch(self, now: float) -> None:
        """Report a battery as silent if no reading arrives within `timeout_s` from now on."""
        self._clock.advance(now)
        if self._received_at == -math.inf:
            self._received_at = self._clock.now

    @property
    def charge(self) -> float:
        """State of charge, 0..1; NaN if it is not known, or was read too long ago."""
        return self._checked_charge()[0] if self.fresh else math.nan

    @property
    def fresh(self) -> bool:
        """Whether the last reading is recent enough to be used."""
        return 0 <= self._clock.now - self._received_at <= self.settings.timeout_s

    def update(self, reading: BatteryReading, now: float) -> None:
        """Update with a reading received at `now` [s]."""
        self._clock.advance(now)
        self._reading, self._received_at = reading, self._clock.now
        charge, _ = self._checked_charge()
        # Hysteresis: down at once, up only by what exceeds the noise.
        if not math.isnan(self._charge) and charge > self._charge:
            charge = max(self._charge, charge - self.settings.hysteresis)
        self._charge = charge

    def limit(self, now: float) -> BudgetLimit:
        """Return the limit at a time [s]."""
        self._clock.advance(now)
        if not self.settings.enabled:
            return BudgetLimit(input=Input.OFF)
        age = self._clock.now - self._received_at
        if self._reading is None and not self.settings.timeout_s < age < math.inf:
            return BudgetLimit()
        if self._reading is None or not self.fresh:
            since = f'for {age:.0f} s' if age > 0 else 'since the clock was set back'
            return BudgetLimit(input=Input.SILENT, note=f'no battery state {since}')
        charge, note = self._checked_charge()
        if math.isnan(charge):
            return BudgetLimit(input=Input.IMPLAUSIBLE if note else Input.RECEIVED, note=note)
        steady = charge if math.isnan(self._charge) else self._charge
        budget = 1.0 if self._reading.charging else self._budget_at(steady)
        return BudgetLimit(budget, Input.RECEIVED)

    def _checked_charge(self) -> tuple[float, str]:
        """Return the state of charge, 0..1 (NaN if unknown), and a note if it is implausible."""
        reading, scale = self._reading, self.settings.full_scale
        if reading is None or not reading.present or not reading.percentage >= 0:
            return math.nan, ''
        if reading.percentage > 1.01 * scale:
            return math.nan, (
                f'percentage {reading.percentage:g} is above battery.full_scale {scale:g}; set '
                'that to 100 for a driver that sends 0..100'
            )
        return min(1.0, reading.percentage / scale), ''

    def _budget_at(self, charge: float) -> float:
        s = self.settings
        fraction = (charge - s.low) / max(1e-9, s.high - s.low)
        return s.floor_budget + (1 - s.floor_budget) * min(1.0, max(0.0, fraction))
