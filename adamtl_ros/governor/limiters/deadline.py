# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The largest budget that meets a deadline, learnt from the latencies of this machine."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from adamtl_ros.governor.limiters import BudgetLimit, Input

MOST_FRAMES = 1000
"""Greatest window."""
LONGEST_MS = 600_000.0
"""A longer latency is garbage."""
CAUTION_GAIN = 0.05
"""By how much (in the logarithm of the latency) a late frame adds to the caution."""
MOST_CAUTION = 0.15
"""Greatest caution: what is slower still is not worth the budget of all other frames."""
AIM = 0.6
"""Late frames aimed at, as a share of those allowed: as many as allowed are too many half of
the time."""


@dataclass(frozen=True)
class DeadlineSettings:
    """How a deadline limits the budget.

    Attributes:
        deadline_ms: Latency that frames may have; 0: any.
        floor_budget: Least budget that it asks for.
        quantile: Share of the frames that are to meet it.
        headroom: Share of the deadline that is kept free.
        window: Frames that count.
        recovery: So many frames in a row that are faster show that the load is gone.

    """

    deadline_ms: float = 0.0
    floor_budget: float = 0.2
    quantile: float = 0.95
    headroom: float = 0.08
    window: int = 20
    recovery: int = 10


class LatencyCurve:
    """Latency over budget: `load * (fixed + (1 - fixed) * budget)`.

    `load` is the time of a frame at full budget: it changes from one frame to the next, when
    another process wants the cores. `fixed` is the part of it that no budget saves (decoding,
    publishing): it belongs to the machine. An extended Kalman filter follows both, the first
    fast and the second slowly, so that a change of load is not taken for one of the curve.
    """

    def __init__(self) -> None:
        self._state = np.array([math.nan, 0.2])
        self._covariance = np.diag([1.0, 0.02])

    @property
    def fixed(self) -> float:
        """Share of the time at full budget that no budget saves."""
        return float(self._state[1])

    def relative(self, budget: float) -> float:
        """Return the latency at a budget as a share of that at full budget."""
        return self.fixed + (1 - self.fixed) * budget

    def inverse(self, relative: float) -> float:
        """Return the budget at which the latency is such a share; may lie outside 0..1."""
        return (relative - self.fixed) / (1 - self.fixed)

    def learn(self, budget: float, latency_ms: float) -> None:
        """Take in one frame."""
        seen = math.log(latency_ms)
        if math.isnan(self._state[0]):
            self._state[0] = seen - math.log(self.relative(budget))
        slope = np.array([1.0, (1 - budget) / self.relative(budget)])
        covariance = self._covariance + np.diag([0.01, 1e-5])
        surprise = seen - self._state[0] - math.log(self.relative(budget))
        gain = covariance @ slope / (slope @ covariance @ slope + 0.02)
        self._state = self._state + gain * surprise
        self._state[1] = min(0.9, max(0.01, self._state[1]))
        self._covariance = covariance - np.outer(gain, slope @ covariance)


class DeadlineLimiter:
    """Holds a quantile of the latency under the deadline with the largest budget that does.

    The quantile of a few frames says little of the rare slow ones, so the share of late frames
    is held as well: a late frame makes it more cautious, one in time a little less (adaptive
    conformal inference, Gibbs and Candes 2021, equation 2). Of late frames in a row only the
    first counts: the others tell of a load, which the quantile follows.
    """

    def __init__(self, settings: DeadlineSettings | None = None) -> None:
        self.settings = settings or DeadlineSettings()
        self.curve = LatencyCurve()
        self._caution, self._was_late = 0.0, False
        self._recent: deque[tuple[float, float]] = deque(maxlen=MOST_FRAMES)

    def hear(self, budget: float, latency_ms: float) -> None:
        """Take in a frame: the budget that it had, and how long it took.

        What cannot be is left out.
        """
        if not (0 < budget <= 1 and 0 < latency_ms < LONGEST_MS):
            return
        self.curve.learn(budget, latency_ms)
        self._recent.append((budget, latency_ms))
        if self.settings.deadline_ms > 0:
            self._beware(late=latency_ms > self.settings.deadline_ms)

    def opinion(self) -> BudgetLimit:
        """Return what is allowed."""
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
        return BudgetLimit(min(1.0, max(s.floor_budget, budget)), Input.HEARD)

    def _beware(self, *, late: bool) -> None:
        aimed = AIM * (1 - self.settings.quantile)
        caution = self._caution + CAUTION_GAIN * ((late and not self._was_late) - aimed)
        self._was_late = late
        self._caution = min(MOST_CAUTION, max(0.0, caution))
