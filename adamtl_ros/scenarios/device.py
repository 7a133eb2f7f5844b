# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A device whose heat, charge and speed follow what it computes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adamtl_ros.scenarios.scenario import DeviceSettings


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
