# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Rank correlation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def rank_correlation(one: ArrayLike, other: ArrayLike) -> float:
    """Return Spearman's rank correlation; equal values share their mean rank.

    Pairs in which a value is NaN do not count. NaN where fewer than two pairs are left, or
    where all values of one side are equal.
    """
    pairs = np.stack([np.asarray(one, float), np.asarray(other, float)])
    pairs = pairs[:, np.isfinite(pairs).all(0)]
    if pairs.shape[1] < 2 or (pairs.max(1) == pairs.min(1)).any():
        return float('nan')
    return float(np.corrcoef([_ranks(values) for values in pairs])[0, 1])


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    return np.asarray((last - (counts - 1) / 2)[inverse.ravel()])
