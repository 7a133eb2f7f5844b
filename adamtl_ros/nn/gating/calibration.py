# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Calibration: the thresholds on gate scores that spend a budget on average.

`adamtl_ros.nn.calibrate` fits them.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adamtl_ros.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


BUDGETS = tuple(step / 40 for step in range(1, 40))
"""Budgets that are calibrated; one in between uses the level below it."""
PER_FRAME = 0.1
"""Fraction of the full MACs that a single frame may spend above a budget on average."""
CONFIDENCE = 1.645
"""Standard errors by which the mean stays below a budget: 95 % for independent images."""


def frame_limit(budget: float) -> float:
    """Return the largest fraction of the full MACs of a single frame at a budget on average."""
    return min(1.0, budget + PER_FRAME)


@dataclass(frozen=True)
class Level:
    """Threshold of one budget.

    Attributes:
        budget: Fraction of the full MACs that is not exceeded on average.
        threshold: Gates with a score above it open.
        fraction: Mean fraction of the full MACs that the calibration images spent.

    """

    budget: float
    threshold: float
    fraction: float


@dataclass(frozen=True)
class Calibration:
    """Thresholds for each combination of tasks in use; `calibrate()` fits them.

    They belong to certain weights and to an input size. At another size they still apply, but
    every single frame must keep the budget then.

    Attributes:
        size: Height and width of the calibration images.
        images: Number of calibration images.
        levels: Levels in ascending order, by task names joined with commas.

    """

    size: tuple[int, int]
    images: int
    levels: Mapping[str, tuple[Level, ...]]

    def level(self, tasks: Sequence[str], budget: float) -> Level | None:
        """Return the highest level within a budget; None if there is none."""
        within = [x for x in self.levels.get(','.join(tasks), ()) if x.budget <= budget]
        return within[-1] if within else None

    def covers(self, tasks: Sequence[str]) -> bool:
        """Whether this combination of tasks was calibrated."""
        return ','.join(tasks) in self.levels

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serializable dictionary."""
        levels = {
            tasks: [(x.budget, x.threshold, x.fraction) for x in rows]
            for tasks, rows in self.levels.items()
        }
        return {'size': list(self.size), 'images': self.images, 'levels': levels}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Calibration:
        """Create from the dictionary of `to_dict()`.

        Raises:
            ValueError: Missing keys, values of another type, or levels out of order.

        """
        try:
            levels = {
                str(tasks): tuple(Level(*map(float, row)) for row in rows)
                for tasks, rows in values['levels'].items()
            }
            height, width = map(int, values['size'])
            images = int(values['images'])
        except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f'not a calibration of this version: {one_line(error)}') from error
        if not all(
            math.isfinite(x)
            for rows in levels.values()
            for row in rows
            for x in (row.budget, row.threshold, row.fraction)
        ):
            raise ValueError('the levels of a calibration must be finite')
        if any(
            a.budget >= b.budget for rows in levels.values() for a, b in itertools.pairwise(rows)
        ):
            raise ValueError('the levels of a calibration must ascend')
        return cls((height, width), images, levels)
