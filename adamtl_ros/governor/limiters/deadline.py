# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Deadline limiter: the largest budget that meets a deadline, learned from latencies.

The caution is a safety margin that late frames increase: the logarithm of the factor by which
the latency that is aimed at lies below the deadline, apart from the constant headroom.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from adamtl_ros.governor.limiters import BudgetLimit, Input

MAX_WINDOW = 1000
"""Largest number of frames that can be taken into account."""
MAX_LATENCY_MS = 600_000.0
"""Latency above which a measurement is discarded [ms]."""
CAUTION_GAIN = 0.05
"""Increase of the caution for each late frame."""
MAX_CAUTION = 0.15
"""Largest caution; to make room for still slower frames would cost all others too much budget."""
LATE_TARGET = 0.6
"""Target for the number of late frames, as a fraction of those allowed; a target of 1 would be
exceeded half of the time."""


@dataclass(frozen=True)
class DeadlineSettings:
    """Settings of the deadline limiter.

    Attributes:
        deadline_ms: Latency allowed for a frame [ms]; 0: any.
        floor_budget: Lowest limit.
        quantile: Fraction of the frames that have to meet the deadline.
        headroom: Fraction of the deadline that is left free.
        window: Number of latest frames taken into account.
        recovery: Number of consecutive faster frames after which a load counts as gone.

    """

    deadline_ms: float = 0.0
    floor_budget: float = 0.2
    quantile: float = 0.95
    headroom: float = 0.08
    window: int = 20
    recovery: int = 10


class LatencyCurve:
    """Latency as a function of the budget: `load * (fixed + (1 - fixed) * budget)`.

    `load` is the time of a frame at full budget; it can change from one frame to the next, when
    another process takes the cores. `fixed` is the fraction of it that no budget saves
    (decoding, publishing); it is a property of the machine. An extended Kalman filter estimates
    both, the first fast and the second slowly, so that a change of the load is not mistaken for
    a change of the curve.
    """

    def __init__(self) -> None:
        self._state = np.array([math.nan, 0.2])
        self._covariance = np.diag([1.0, 0.02])

    @property
    def fixed(self) -> float:
        """Fraction of the time at full budget that no budget saves."""
        return float(self._state[1])

    def relative(self, budget: float) -> float:
        """Return the latency at a budget as a fraction of that at full budget."""
        return self.fixed + (1 - self.fixed) * budget

    def inverse(self, relative: float) -> float:
        """Return the budget for a relative latency; it may lie outside 0..1."""
        return (relative - self.fixed) / (1 - self.fixed)

    def update(self, budget: float, latency_ms: float) -> None:
        """Update with the latency of one frame [ms]."""
        observed = math.log(latency_ms)
        if math.isnan(self._state[0]):
            self._state[0] = observed - math.log(self.relative(budget))
        slope = np.array([1.0, (1 - budget) / self.relative(budget)])
        covariance = self._covariance + np.diag([0.01, 1e-5])
        innovation = observed - self._state[0] - math.log(self.relative(budget))
        gain = covariance @ slope / (slope @ covariance @ slope + 0.02)
        self._state = self._state + gain * innovation
        self._state[1] = min(0.9, max(0.01, self._state[1]))
        self._covariance = covariance - np.outer(gain, slope @ covariance)


class DeadlineLimiter:
    """Largest budget that keeps a quantile of the latency under the deadline.

    The quantile of a few frames does not show the rare slow ones, so the fraction of late
    frames is controlled as well: a late frame increases the caution, one in time decreases it a
    little (adaptive conformal inference, Gibbs and Candes 2021, equation 2). Of consecutive late
    frames only the first counts: the others indicate a load, which the quantile follows.
    """

    def __init__(self, settings: DeadlineSettings | None = None) -> None:
        self.settings = settings or DeadlineSettings()
        self.curve = LatencyCurve()
        self._caution, self._was_late = 0.0, False
        self._recent: deque[tuple[float, float]] = deque(maxlen=MAX_WINDOW)

    def update(self, budget: float, latency_ms: float) -> None:
        """Update with the budget and the latency [ms] of a frame; implausible ones are ignored."""
        if not (0 < budget <= 1 and 0 < latency_ms < MAX_LATENCY_MS):
            return
        self.curve.update(budget, latency_ms)
        self._recent.append((budget, latency_ms))
        if self.settings.deadline_ms > 0:
            self._update_caution(late=latency_ms > self.settings.deadline_ms)

    def limit(self) -> BudgetLimit:
        """Return the limit after the latest frame."""
        s = self.settings
        if not s.deadline_ms > 0:
            return BudgetLimit(input=Input.OFF)
        if not self._recent:
            return BudgetLimit()
        recent = list(self._recent)[-s.window :]
        loads = [latency / self.curve.relative(budget) for budget, latency in recent]
        load = min(float(np.quantile(loads, s.quantile)), max(loads[-s.recovery :]))
        allowed = s.deadline_ms * (1 - s.headroom) * math.exp(-self._caution)
        budget = self.curve.inverse(allowed / load)
        return BudgetLimit(min(1.0, max(s.floor_budget, budget)), Input.RECEIVED)

    def _update_caution(self, *, late: bool) -> None:
        target = LATE_TARGET * (1 - self.settings.quantile)
        caution = self._caution + CAUTION_GAIN * ((late and not self._was_late) - target)
        self._was_late = late
        self._caution = min(MAX_CAUTION, max(0.0, caution))
