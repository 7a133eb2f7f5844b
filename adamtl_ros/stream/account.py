# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Budget account: every frame pays its budget in, every computation draws from it.

The unit is one answer of the full network. Two rules, whatever is asked for and whatever the
camera shows:

* over any `WINDOW_S` seconds of a steady camera, no more is spent than the budgets of the frames in
  them and `TOLERANCE` a frame;
* a balance of at most `SAVED_S` seconds of budgets is kept, so that what a still scene saves can
  be spent when it moves, but not all at once; the rest is saved for good.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

WINDOW_S = 3.0
"""Time over which the budget holds [s]."""
TOLERANCE = 0.02
"""Mean share of the full MACs by which it may be exceeded over that time."""
SAVED_S = 1.0
"""Time of which the budgets can be saved [s]."""
USUAL_INTERVAL_S = 1 / 30
LONGEST_GAP_S = 1.0
"""Longest time between frames that counts as the pace of the camera [s]."""
ROUNDING = 1e-9


@dataclass
class _Entry:
    time: float
    budget: float
    spent: float = 0.0


class Account:
    """Account of one stream.

    Attributes:
        balance: What is saved; negative after the first answer.
        interval: Pace of the camera: the newest time between two frames [s].

    """

    def __init__(self) -> None:
        """Start empty."""
        self.balance = 0.0
        self.interval = USUAL_INTERVAL_S
        self._time = 0.0
        self._window: deque[_Entry] = deque()
        self._paid = self._spent = 0.0

    @property
    def capacity(self) -> float:
        """Largest balance: the budgets of `SAVED_S`, at least one full answer."""
        budget = self._window[-1].budget if self._window else 1.0
        return max(1.0, budget * SAVED_S / self.interval)

    @property
    def share(self) -> float:
        """Mean share that the frames of the last `WINDOW_S` spent."""
        return self._spent / len(self._window) if self._window else 0.0

    def pay(self, budget: float, elapsed: float) -> None:
        """Open the entry of a frame.

        Args:
            budget: Share of the full MACs that the frame may spend on average.
            elapsed: Time since the frame before [s]; a value that no steady camera has (not
                positive, long) does not change the pace.

        """
        if 0 < elapsed <= LONGEST_GAP_S:
            self.interval = elapsed
        self._time += elapsed if elapsed > 0 else self.interval
        self._window.append(_Entry(self._time, budget))
        self._paid += budget
        # Half an interval earlier, or rounding would let a frame at the very end in or out.
        while self._window[0].time <= self._time - WINDOW_S + self.interval / 2:
            old = self._window.popleft()
            self._paid -= old.budget
            self._spent -= old.spent
        self.balance = min(self.balance + budget, self.capacity)

    def affords(self, share: float, *, urgent: bool = False) -> bool:
        """Return whether a computation can be paid.

        Args:
            share: Its share of the full MACs.
            urgent: Whether it may be paid by an overdraft, within the window's tolerance.

        """
        tolerance = TOLERANCE * int(WINDOW_S / self.interval + ROUNDING)
        within = self._spent + share <= self._paid + tolerance + ROUNDING
        return within and (urgent or share <= self.balance + min(tolerance, 1) / 2 + ROUNDING)

    def draw(self, share: float) -> None:
        """Pay a computation from the entry of the newest frame."""
        self._window[-1].spent += share
        self._spent += share
        self.balance -= share
