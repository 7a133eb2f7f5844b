# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Governor: the effective budget of a frame, from the user's budget and the limiters."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field, replace

from adamtl_ros.governor.limiters import BudgetLimit, Input, SteppedClock
from adamtl_ros.governor.limiters.battery import BatteryLimiter, BatterySettings
from adamtl_ros.governor.limiters.deadline import DeadlineLimiter, DeadlineSettings
from adamtl_ros.governor.limiters.thermal import ThermalLimiter, ThermalSettings


class Reason(enum.IntEnum):
    """Reason for the effective budget, with the numbers of `ComputeStats.limit_reason`."""

    USER = 0
    BATTERY = 1
    THERMAL = 2
    DEADLINE = 3
    FLOOR = 4
    STALE = 5


@dataclass(frozen=True)
class GovernorSettings:
    """Settings of the governor and its limiters.

    Attributes:
        floor: Lowest budget that the limiters can enforce.
        fall_per_s: Fastest fall of the limit [1/s].
        rise_per_s: Fastest rise of the limit [1/s].
        deadband: Rise of the limit that is ignored.
        battery: Settings of the battery limiter.
        thermal: Settings of the thermal limiter.
        deadline: Settings of the deadline limiter.

    """

    floor: float = 0.2
    fall_per_s: float = 2.0
    rise_per_s: float = 0.5
    deadband: float = 0.02
    battery: BatterySettings = field(default_factory=BatterySettings)
    thermal: ThermalSettings = field(default_factory=ThermalSettings)
    deadline: DeadlineSettings = field(default_factory=DeadlineSettings)

    @property
    def contradiction(self) -> str:
        """Message about settings that contradict each other; empty if none do."""
        battery, thermal = self.battery, self.thermal
        if battery.low >= battery.high:
            return f'battery.low {battery.low:g} must be below battery.high {battery.high:g}'
        if thermal.target_c >= thermal.max_c:
            target, maximum = thermal.target_c, thermal.max_c
            return f'thermal.target_c {target:g} must be below thermal.max_c {maximum:g}'
        return ''


@dataclass(frozen=True)
class Decision:
    """Effective budget of a frame and the reason for it.

    Attributes:
        budget: Effective budget; never above the requested one.
        reason: Reason for the effective budget.
        requested: Budget that the user requested.
        limits: Limit of each limiter.

    """

    budget: float
    reason: Reason
    requested: float
    limits: dict[Reason, BudgetLimit]

    @property
    def input_problems(self) -> dict[str, str]:
        """Notes about silent or implausible inputs, by name of the limiter."""
        bad = (Input.SILENT, Input.IMPLAUSIBLE)
        return {r.name.lower(): x.note for r, x in self.limits.items() if x.input in bad}


class Governor:
    """Combination of the limiters: the lowest limit holds; it falls fast and rises slowly.

    The governor has no clock of its own: times are arguments. Changes of the user's budget take
    effect at once, and it is never written.

    Attributes:
        settings: Settings in use.
        battery: Limiter by state of charge.
        thermal: Limiter by temperature.
        deadline: Limiter by latency.

    Examples:
        >>> governor = Governor()
        >>> governor.thermal.update('cpu', 95.0, now=0.0)
        >>> governor.decide(1.0, now=0.0).budget
        0.25

    """

    def __init__(self, settings: GovernorSettings | None = None) -> None:
        self.settings = settings or GovernorSettings()
        self.battery = BatteryLimiter(self.settings.battery)
        self.thermal = ThermalLimiter(self.settings.thermal)
        self.deadline = DeadlineLimiter(self.settings.deadline)
        self._clock = SteppedClock()
        self._limit = math.nan
        self._limiting = Reason.USER
        self._rising = False

    def configure(self, settings: GovernorSettings) -> None:
        """Replace the settings and keep the state of the limiters."""
        self.settings = settings
        self.battery.settings = settings.battery
        self.thermal.settings = settings.thermal
        self.deadline.settings = settings.deadline

    def decide(self, requested: float, now: float) -> Decision:
        """Decide on the budget of the next frame.

        Args:
            requested: Budget of the user, in (0, 1].
            now: Time [s] of any clock.

        """
        passed = self._clock.advance(now)
        now = self._clock.now
        limits = {
            Reason.BATTERY: self.battery.limit(now),
            Reason.THERMAL: self.thermal.limit(now),
            Reason.DEADLINE: self.deadline.limit(),
        }
        self._update_limit(limits, passed)
        budget = min(requested, max(self._limit, self.settings.floor))
        decision = Decision(budget, Reason.USER, requested, limits)
        return replace(decision, reason=self._reason(decision))

    def _update_limit(self, limits: dict[Reason, BudgetLimit], passed: float) -> None:
        """Move the limit towards the lowest of the limiters' limits, at the allowed rate."""
        known = {r: x.budget for r, x in limits.items() if not math.isnan(x.budget)}
        lowest = min(known, key=known.__getitem__, default=Reason.USER)
        target = known.get(lowest, 1.0)
        if math.isnan(self._limit):
            self._limit = target
        self._rising = target > self._limit + (0 if self._rising else self.settings.deadband)
        if target < self._limit:
            self._limit = max(target, self._limit - self.settings.fall_per_s * passed)
        elif self._rising or target == 1:
            self._limit = min(target, self._limit + self.settings.rise_per_s * passed)
            if target > self._limit:
                return  # still recovering from the previous limit, which stays the reason
        self._limiting = lowest

    def _reason(self, decision: Decision) -> Reason:
        if decision.budget < decision.requested:
            return Reason.FLOOR if self._limit < self.settings.floor else self._limiting
        return Reason.STALE if decision.input_problems else Reason.USER
