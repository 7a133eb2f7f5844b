# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Standard errors by the jackknife, and confidence margins of differences by Student's t."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, hypot, inf, nan
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CONFIDENCE = 0.95
"""Two-sided confidence level of the margins."""
ROUNDING = 1e-9
"""Degrees of freedom this close below a whole number count as that number."""


@dataclass(frozen=True)
class JackknifeSamples:
    """Metrics of a task without each unit in turn (delete-one jackknife).

    Attributes:
        unit: Kind of unit that was left out: 'recording', or 'stretch' of a single recording.
        left_out: By metric, its value without each unit, in their order.
        frames_crc32: Checksum of the positions of labelled frames by unit.

    """

    unit: str
    left_out: Mapping[str, Sequence[float]]
    frames_crc32: int

    @property
    def units(self) -> int:
        """Number of units."""
        return len(next(iter(self.left_out.values())))

    @property
    def errors(self) -> dict[str, float]:
        """Standard errors by metric; NaN for fewer than two units."""
        return {name: jackknife(values) for name, values in self.left_out.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return the entries of `metrics.json`; may contain NaN."""
        return {
            'errors': self.errors,
            'unit': self.unit,
            'units': self.units,
            'left_out': dict(self.left_out),
            'frames_crc32': self.frames_crc32,
        }


@dataclass(frozen=True)
class Confidence:
    """Uncertainty of a difference of two values.

    Attributes:
        error: Standard error of the difference.
        freedom: Degrees of freedom.
        paired: Whether both values are from the same units.

    """

    error: float
    freedom: float
    paired: bool

    @property
    def margin(self) -> float:
        """Half width of the 95 % confidence interval."""
        return student_t(self.freedom) * self.error


def jackknife(left_out: Sequence[float]) -> float:
    """Return the standard error of a value.

    The delete-one jackknife (Efron and Stein, 1981).

    Args:
        left_out: Value without each unit.

    Returns:
        Standard error; NaN for fewer than two units.

    """
    values = np.asarray(left_out, np.float64)
    if len(values) < 2:
        return nan
    scale = (len(values) - 1) / len(values)
    return float(np.sqrt(scale * np.square(values - values.mean()).sum()))


def paired(before: Sequence[float], after: Sequence[float]) -> Confidence:
    """Return the confidence of a difference of values of the same two or more units.

    The jackknife of the difference: variation that both values share cancels.

    Args:
        before: First value without each unit.
        after: Second value without each unit.

    """
    error = jackknife(np.subtract(after, before).tolist())
    return Confidence(error, len(before) - 1, paired=True)


def welch(errors: tuple[float, float], units: tuple[int, int]) -> Confidence:
    """Return the confidence of a difference of independent values.

    The degrees of freedom are those of Welch, "The generalization of 'Student's' problem when
    several different population variances are involved", 1947.

    Args:
        errors: Standard errors of both values.
        units: Numbers of their units, each at least 2.

    """
    error = hypot(*errors)
    parts = sum(one**4 / (count - 1) for one, count in zip(errors, units, strict=True))
    return Confidence(error, error**4 / parts if parts else inf, paired=False)


def student_t(freedom: float) -> float:
    """Return the two-sided 95 % quantile of Student's t.

    Degrees of freedom are rounded down, which widens the margin.

    Args:
        freedom: Degrees of freedom, 1 or more, or infinity for the normal distribution.

    Raises:
        ValueError: Less than 1 degree of freedom.

    """
    if freedom < 1 - ROUNDING:
        raise ValueError(f'Student t needs 1 degree of freedom or more, got {freedom}')
    # Imported here because it takes a second, which worker processes need not spend.
    from scipy.stats import t

    whole = freedom if freedom == inf else floor(freedom + ROUNDING)
    return float(t.ppf((1 + CONFIDENCE) / 2, whole))
