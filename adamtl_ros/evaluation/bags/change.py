# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""One number in two evaluations: whether it got better or worse, or whether chance explains it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adamtl_ros.evaluation.bags.chance import Chance

SAME = 1e-9
"""Relative changes below this are rounding."""

EXPLANATION = (
    'after ±: a smaller change is noise (95 %); paired: both runs scored the same frames, so that '
    'only what differs between them is chance'
)


class Verdict(Enum):
    """What a change is."""

    BETTER = 'better'
    WORSE = 'worse'
    NOISE = 'within noise'
    SAME = 'same'
    UNKNOWN = 'unknown'


@dataclass(frozen=True)
class Change:
    """One number in two evaluations.

    Attributes:
        budget: Of both.
        what: Name of the number.
        before: In the first one; NaN if it is not there.
        after: In the second one.
        higher_is_better: Direction.
        chance: How far the difference goes by chance; None if nobody knows.

    """

    budget: float
    what: str
    before: float
    after: float
    higher_is_better: bool
    chance: Chance | None = None

    @property
    def gain(self) -> float:
        """Relative change, positive for better; infinite where there was nothing before."""
        change = self.after - self.before if self.higher_is_better else self.before - self.after
        if change == 0:
            return 0.0
        return change / abs(self.before) if self.before else float('inf') * change

    @property
    def verdict(self) -> Verdict:
        """What it is; where nobody knows how far chance goes, every change counts."""
        change = self.after - self.before
        if change != change:  # noqa: PLR0124  NaN
            return Verdict.UNKNOWN
        if abs(self.gain) < SAME:
            return Verdict.SAME
        if self.chance and abs(change) <= self.chance.margin:
            return Verdict.NOISE
        return Verdict.BETTER if self.gain > 0 else Verdict.WORSE


def regressions(changes: list[Change], threshold: float) -> list[Change]:
    """Return what got worse beyond noise by more than a threshold, or is no longer known.

    Args:
        changes: All of them.
        threshold: Relative loss that is allowed, such as 0.01.

    """
    lost = [c for c in changes if c.verdict is Verdict.UNKNOWN and c.before == c.before]
    return lost + [c for c in changes if c.verdict is Verdict.WORSE and -c.gain > threshold]


def comparison_table(changes: Sequence[Change]) -> str:
    """Return the changes for people, a line each."""
    lines = [f'{"budget":<8}{"":<28}{"before":>10}{"after":>10}{"gain":>9}']
    for c in changes:
        gain = '-' if c.gain != c.gain else f'{100 * c.gain:+.1f} %'
        numbers = f'{c.before:>10.4g}{c.after:>10.4g}{gain:>9}'
        line = f'{c.budget:<8g}{c.what:<28}{numbers}  {c.verdict.value:<14}{_margin(c)}'
        lines.append(line.rstrip())
    return '\n'.join([*lines, EXPLANATION])


def _margin(change: Change) -> str:
    if change.chance is None:
        return ''
    how = 'paired' if change.chance.paired else 'independent'
    return f'±{change.chance.margin:.2g} {how}'
