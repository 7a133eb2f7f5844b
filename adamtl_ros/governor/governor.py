# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The effective budget: what the user allows, less what battery, heat and deadline take."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field

from adamtl_ros.governor.limiters import BudgetLimit, Clock, Input
from adamtl_ros.governor.limiters.battery import BatteryLimiter, BatterySettings
from adamtl_ros.governor.limiters.deadline import DeadlineLimiter, DeadlineSettings
from adamtl_ros.governor.limiters.thermal import ThermalLimiter, ThermalSettings


class Reason(enum.IntEnum):
    """Why the effective budget is what it is, with the numbers of `ComputeStats`."""

    USER = 0
    BATTERY = 1
    THERMAL = 2
    DEADLINE = 3
    FLOOR = 4
    STALE = 5


LIMITERS = (Reason.BATTERY, Reason.THERMAL, Reason.DEADLINE)


@dataclass(frozen=True)
class GovernorSettings:
    """How the limits come together.

    Attributes:
        floor: Least budget, whatever the limiters want.
        fall_per_s: Fastest fall of the limit.
        rise_per_s: Fastest rise of it.
        deadband: A rise smaller than this waits.
        battery: The battery limiter's.
        thermal: The thermal limiter's.
        deadline: The deadline limiter's.

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
        """Which settings contradict each other; empty when none do."""
        battery, thermal = self.battery, self.thermal
        if battery.low >= battery.high:
            return f'battery.low {battery.low:g} must be below battery.high {battery.high:g}'
        if thermal.target_c >= thermal.max_c:
            target, most = thermal.target_c, thermal.max_c
            return f'thermal.target_c {target:g} must be below thermal.max_c {most:g}'
        return ''


@dataclass(frozen=True)
class Decision:
    """The budget of a frame, and why.

    Attributes:
        budget: What the network may spend: never more than the user's.
        reason: What made it so.
        user: What the user allows.
        opinions: What each limiter says.

    """

    budget: float
    reason: Reason
    user: float
    opinions: dict[Reason, BudgetLimit]

    @property
    def silent(self) -> dict[str, str]:
        """What is wrong with the inputs of the limiters, by limiter."""
        bad = (Input.SILENT, Input.IMPLAUSIBLE)
        return {r.name.lower(): o.note for r, o in self.opinions.items() if o.input in bad}


class Governor:
    """Combines the limiters: the least counts; it falls fast and rises slowly.

    It has no clock: whoever asks says what time it is. The user's own budget is not slowed
    down, and never changed.

    Attributes:
        battery: Limits by charge.
        thermal: Limits by heat.
        deadline: Limits by latency.

    """

    def __init__(self, settings: GovernorSettings | None = None) -> None:
        self.settings = settings or GovernorSettings()
        self.battery = BatteryLimiter(self.settings.battery)
        self.thermal = ThermalLimiter(self.settings.thermal)
        self.deadline = DeadlineLimiter(self.settings.deadline)
        self._clock = Clock()
        self._limit = math.nan
        self._limiting = Reason.USER
        self._rising = False

    def configure(self, settings: GovernorSettings) -> None:
        """Take other settings from now on, and keep what was learnt."""
        self.settings = settings
        self.battery.settings = settings.battery
        self.thermal.settings = settings.thermal
        self.deadline.settings = settings.deadline

    def decide(self, user: float, now: float) -> Decision:
        """Decide on the budget of the next frame.

        Args:
            user: What the user allows, in (0, 1].
            now: Time [s]; of any clock.

        """
        passed = self._clock.advance(now)
        now = self._clock.now
        opinions = dict(
            zip(
                LIMITERS,
                (self.battery.opinion(now), self.thermal.opinion(now), self.deadline.opinion()),
                strict=True,
            )
        )
        self._follow(opinions, passed)
        budget = min(user, max(self._limit, self.settings.floor))
        decision = Decision(budget, Reason.USER, user, opinions)
        return Decision(budget, self._reason(decision), user, opinions)

    def _follow(self, opinions: dict[Reason, BudgetLimit], passed: float) -> None:
        """Move the limit towards the least of the opinions."""
        known = {r: o.limit for r, o in opinions.items() if not math.isnan(o.limit)}
        least = min(known, key=known.__getitem__, default=Reason.USER)
        wanted = known.get(least, 1.0)
        if math.isnan(self._limit):
            self._limit = wanted
        self._rising = wanted > self._limit + (0 if self._rising else self.settings.deadband)
        if wanted < self._limit:
            self._limit = max(wanted, self._limit - self.settings.fall_per_s * passed)
        elif self._rising or wanted == 1:
            self._limit = min(wanted, self._limit + self.settings.rise_per_s * passed)
            if wanted > self._limit:
                return  # still recovering from what limited it before
        self._limiting = least

    def _reason(self, decision: Decision) -> Reason:
        if decision.budget < decision.user:
            return Reason.FLOOR if self._limit < self.settings.floor else self._limiting
        return Reason.STALE if decision.silent else Reason.USER
