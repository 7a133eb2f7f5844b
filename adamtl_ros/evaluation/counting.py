# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the metrics have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def check_shapes(result: NDArray[np.generic], label: NDArray[np.generic]) -> None:
    """Refuse a result and a label that do not lie on each other.

    Raises:
        ValueError: Shapes that differ; numpy would stretch some of them.

    """
    if result.shape != label.shape:
        raise ValueError(
            f'result {result.shape} and label {label.shape} differ in shape; resize the result'
        )


def share(part: ArrayLike, whole: ArrayLike) -> NDArray[Any]:
    """Return part / whole, NaN where there is no whole."""
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    nothing = np.full(np.broadcast_shapes(part.shape, whole.shape), np.nan)
    return np.divide(part, whole, out=nothing, where=whole > 0)


def best_f(precision: NDArray[Any], recall: NDArray[Any]) -> float:
    """Return the best 2PR / (P + R) over thresholds, 0 where both are 0."""
    both = precision + recall
    return float((2 * precision * recall / np.where(both > 0, both, 1)).max())
