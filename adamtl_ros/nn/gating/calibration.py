# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Thresholds on gate scores that spend a budget on average."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


BUDGETS = tuple(step / 40 for step in range(1, 40))
"""Budgets that are calibrated; one in between is treated as the next one below."""
PER_FRAME = 0.1
"""How far a single frame may go above a budget that holds on average."""
CONFIDENCE = 1.645
"""Standard errors that the mean stays below a budget: 95 % for images that are independent."""


def frame_limit(budget: float) -> float:
    """Return the largest share of a single frame where the budget holds on average."""
    return min(1.0, budget + PER_FRAME)


@dataclass(frozen=True)
class Level:
    """How a budget is spent.

    Attributes:
        budget: Share of the full MACs that is kept on average.
        threshold: Gates with a score above it open.
        share: Share of the full MACs that was spent on the calibration images, on average.

    """

    budget: float
    threshold: float
    share: float


@dataclass(frozen=True)
class Calibration:
    """Levels by combination of tasks in use, ascending; `calibrate()` fits them.

    It belongs to weights, and to an input size: at another one the thresholds serve too, but no
    frame may go above its budget then.

    Attributes:
        size: Height and width of the images.
        images: Number of them.
        levels: By task names joined with commas.

    """

    size: tuple[int, int]
    images: int
    levels: Mapping[str, tuple[Level, ...]]

    def level(self, tasks: Sequence[str], budget: float) -> Level | None:
        """Return the highest level within a budget; None if there is none."""
        within = [x for x in self.levels.get(','.join(tasks), ()) if x.budget <= budget]
        return within[-1] if within else None

    def knows(self, tasks: Sequence[str]) -> bool:
        """Whether this combination of tasks was calibrated."""
        return ','.join(tasks) in self.levels

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary that JSON can hold."""
        levels = {
            tasks: [(x.budget, x.threshold, x.share) for x in rows]
            for tasks, rows in self.levels.items()
        }
        return {'size': list(self.size), 'images': self.images, 'levels': levels}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Calibration:
        """Build from `to_dict()`'s dictionary.

        Raises:
            ValueError: Missing keys, values of another kind, or levels out of order.

        """
        try:
            levels = {
                str(tasks): tuple(Level(*map(float, row)) for row in rows)
                for tasks, rows in values['levels'].items()
            }
            height, width = map(int, values['size'])
            images = int(values['images'])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f'not a calibration of this version: {error}') from error
        if any(
            a.budget >= b.budget for rows in levels.values() for a, b in itertools.pairwise(rows)
        ):
            raise ValueError('the levels of a calibration must ascend')
        return cls((height, width), images, levels)
