# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Limiters of the budget: battery, temperature and deadline, one module each.

A limiter takes measurements with `update()` and returns a `BudgetLimit` from `limit()`. One that
has no usable input limits nothing. To add a limiter, write such a class with a settings
dataclass, and name it in `governor.Governor`, in `governor.Reason` and in the parameters of the
node.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

__all__ = ['BudgetLimit', 'Input', 'SteppedClock']


class Input(enum.Enum):
    """State of the input of a limiter, as the diagnostics show it."""

    OFF = 'off'
    ABSENT = 'nothing received yet'
    RECEIVED = 'received'
    SILENT = 'silent'
    IMPLAUSIBLE = 'implausible'


@dataclass(frozen=True)
class BudgetLimit:
    """Limit that one limiter puts on the budget.

    Attributes:
        budget: Largest budget allowed, in (0, 1]; NaN for no limit.
        input: State of the limiter's input.
        note: Human-readable description of what is wrong with the input; empty if nothing is.

    """

    budget: float = math.nan
    input: Input = Input.ABSENT
    note: str = ''


class SteppedClock:
    """Clock set by the caller; times may jump back, as in a rewound bag, or be invalid.

    Attributes:
        now: Latest finite time [s]; minus infinity before the first.

    """

    def __init__(self) -> None:
        self.now = -math.inf

    def advance(self, now: float) -> float:
        """Set the time [s] unless it is not finite; return the seconds passed, at least 0."""
        if not math.isfinite(now):
            return 0.0
        passed = now - self.now if math.isfinite(self.now) else 0.0
        self.now = now
        return max(0.0, passed)
