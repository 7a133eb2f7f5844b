# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What a limiter says, and the time it lives by."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass


class Input(enum.Enum):
    """What a limiter knows of its input."""

    OFF = 'off'
    ABSENT = 'nothing heard yet'
    HEARD = 'heard'
    SILENT = 'silent'
    IMPLAUSIBLE = 'implausible'


@dataclass(frozen=True)
class BudgetLimit:
    """What a limiter allows.

    Attributes:
        limit: Largest budget, in (0, 1]; NaN for no opinion.
        input: What it knows of its input.
        note: What is wrong with it, for people.

    """

    limit: float = math.nan
    input: Input = Input.ABSENT
    note: str = ''


class Clock:
    """Time as a caller tells it, which may jump back or be garbage: a bag is rewound, say."""

    def __init__(self) -> None:
        self.now = -math.inf

    def advance(self, now: float) -> float:
        """Go to a time [s] unless it is garbage; return the seconds that went by, at least 0."""
        if not math.isfinite(now):
            return 0.0
        passed = now - self.now if math.isfinite(self.now) else 0.0
        self.now = now
        return max(0.0, passed)
