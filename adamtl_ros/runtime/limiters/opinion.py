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
class Opinion:
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
    """Time that never stands still for good, goes back or is not a number.

    A caller's clock may do all three: a bag is rewound, a stamp is garbage.
    """

    def __init__(self) -> None:
        self.now = -math.inf

    def advance(self, now: float) -> float:
        """Go to a time [s] unless it lies in the past; return the seconds that went by."""
        if not math.isfinite(now):
            return 0.0
        passed = now - self.now if math.isfinite(self.now) else 0.0
        # Back in time: the other clock was set anew, and goes on from there.
        self.now = now
        return max(0.0, passed)
