# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""How far chance goes: standard errors by leaving out one unit after another, and their margins."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, hypot, inf, nan
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

QUANTILES = (
    12.706205, 4.302653, 3.182446, 2.776445, 2.570582, 2.446912, 2.364624, 2.306004, 2.262157,
    2.228139,
)  # fmt: skip
"""97.5 % quantiles of Student's t with 1, 2 and so on degrees of freedom."""
NORMAL = 1.959963984540054
"""The same of the normal distribution."""
ROUNDING = 1e-9


@dataclass(frozen=True)
class JackknifeSamples:
    """How far the values of a task go by chance.

    Attributes:
        unit: What was left out, one after another: a 'recording' or a 'stretch' of the only one.
        left_out: By name of the value, what it is without each unit, in their order.
        frames_crc32: Checksum of which frames have labels in which unit.

    """

    unit: str
    left_out: Mapping[str, Sequence[float]]
    frames_crc32: int

    @property
    def units(self) -> int:
        """How many units there are."""
        return len(next(iter(self.left_out.values())))

    @property
    def errors(self) -> dict[str, float]:
        """Standard errors by name; NaN for fewer than two units."""
        return {name: jackknife(values) for name, values in self.left_out.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold, but for NaN."""
        return {
            'errors': self.errors,
            'unit': self.unit,
            'units': self.units,
            'left_out': dict(self.left_out),
            'frames_crc32': self.frames_crc32,
        }


@dataclass(frozen=True)
class Confidence:
    """How far a difference of two values goes by chance.

    Attributes:
        error: Standard error of the difference.
        freedom: Its degrees of freedom.
        paired: Both values are of the same units.

    """

    error: float
    freedom: float
    paired: bool

    @property
    def margin(self) -> float:
        """Chance alone goes further in 5 % of the cases."""
        return student_t(self.freedom) * self.error


def jackknife(left_out: Sequence[float]) -> float:
    """Return the standard error of a value from what it is without each unit.

    The delete-one jackknife (Efron and Stein, 1981); NaN for fewer than two units.
    """
    values = np.asarray(left_out, np.float64)
    if len(values) < 2:
        return nan
    scale = (len(values) - 1) / len(values)
    return float(np.sqrt(scale * np.square(values - values.mean()).sum()))


def paired(before: Sequence[float], after: Sequence[float]) -> Confidence:
    """Return the chance in a difference of values of the same two or more units.

    The jackknife of the difference: what goes up and down in both alike is no part of it.

    Args:
        before: What the first value is without each unit.
        after: The same of the second one.

    """
    error = jackknife(np.subtract(after, before).tolist())
    return Confidence(error, len(before) - 1, paired=True)


def welch(errors: tuple[float, float], units: tuple[int, int]) -> Confidence:
    """Return the chance in a difference of independent values.

    The degrees of freedom are those of Welch, "The generalization of 'Student's' problem when
    several different population variances are involved", 1947.

    Args:
        errors: Standard errors of both.
        units: How many units they are from, each at least 2.

    """
    error = hypot(*errors)
    parts = sum(one**4 / (count - 1) for one, count in zip(errors, units, strict=True))
    return Confidence(error, error**4 / parts if parts else inf, paired=False)


def student_t(freedom: float) -> float:
    """Return how many standard errors chance alone exceeds in 5 % of the cases, either way.

    Beyond the table the expansion of Student's t in 1 / freedom (Abramowitz and Stegun, 26.7.5),
    to 1e-5. Between whole numbers the smaller one counts, which is the more careful choice.

    Args:
        freedom: Degrees of freedom, 1 or more.

    Raises:
        ValueError: Fewer.

    """
    if freedom < 1 - ROUNDING:
        raise ValueError(f'Student t needs 1 degree of freedom or more, got {freedom}')
    if freedom == inf:
        return NORMAL
    whole = floor(freedom + ROUNDING)
    return QUANTILES[whole - 1] if whole <= len(QUANTILES) else _expanded(whole)


def _expanded(freedom: int) -> float:
    z = NORMAL
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return sum(term / freedom**power for power, term in enumerate(terms))
