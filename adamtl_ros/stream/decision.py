# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Decision of a frame: reuse what is known, or refresh it.

By the Kalman model of `fusion`, an answer of variance R takes P^2 / (P + R) from the variance P of
a pixel. The gain is the mean of that over pixels and tasks in use, and a refresh is worth it if it
is above price * share of the MACs. The price is what a full answer must be worth to be bought: it
rises while the account is below its reserve and falls while it is above, so that the budget is
spent where it gains most, and not below `LEAST_PRICE`, so that little is spent when nothing
changes.

Refreshes take the largest rung that a single frame may spend. More of smaller ones for the same
MACs were worse on all recordings: what a small rung gets wrong is wrong each time, and the mean
keeps it (`docs/stream.md`).
"""

from __future__ import annotations

from math import exp, log
from typing import TYPE_CHECKING

import numpy as np

from adamtl_ros.stream.fusion import rung_variance

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from adamtl_ros.stream.account import Account

    Floats = NDArray[np.float32]

LEAST_PRICE, FIRST_PRICE, LARGEST_PRICE = 0.04, 0.05, 1.0
RESERVE = 0.25
"""Balance that the price steers to, a fraction of the account's capacity."""
RESPONSE_S = 2.0
"""Time in which the price changes by a factor of e at an empty account [s]."""


def gain(variances: Iterable[Floats], rung: float) -> float:
    """Return the mean variance that an answer of a variance takes from those of tasks."""
    return float(np.mean([np.mean(known**2 / (known + np.float32(rung))) for known in variances]))


class Price:
    """What a full answer must be worth to be bought, steered by the account."""

    def __init__(self) -> None:
        self._level = log(FIRST_PRICE)
        self._lack = 0.0

    @property
    def value(self) -> float:
        """Price of one full answer, in variances of it."""
        return min(max(exp(self._level + self._lack), LEAST_PRICE), LARGEST_PRICE)

    def update(self, account: Account) -> None:
        """Follow the account by one frame."""
        reserve = RESERVE * account.capacity
        self._lack = (reserve - account.balance) / reserve
        level = self._level + self._lack * account.interval / RESPONSE_S
        self._level = min(max(level, log(LEAST_PRICE) - 1), log(LARGEST_PRICE))


def is_worth(variances: Iterable[Floats], share: float, price: float) -> bool:
    """Return whether an answer gains more than it costs.

    Args:
        variances: Variance of the known answer of each task in use, (h, w).
        share: Share of the full MACs of the new answer.
        price: Price of one full answer.

    """
    return gain(variances, rung_variance(share)) > price * share
