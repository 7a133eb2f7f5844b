# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The F measure of edges at the best threshold of a data set."""

from __future__ import annotations

from math import hypot, nan
from typing import TYPE_CHECKING

import cv2
import numpy as np

from adamtl_ros.evaluation.counting import best_f, check_shapes
from adamtl_ros.tasks import UNLABELLED

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray

TOLERANCE = 0.0075
"""How far from the truth an edge may lie, as a share of the image's diagonal (BSDS)."""

LEVELS = 256
SLACK = 1e-4  # of the strength; more than the rounding of the blur over a flat part


class EdgeOds:
    """Best F measure of thinned edges with one threshold for the whole data set (ODS).

    After Martin, Fowlkes and Malik, "Learning to detect natural image boundaries", 2004: a pixel
    of the thinned result is right if a true edge lies within 0.0075 of the image's diagonal, a
    true edge is found if a pixel of the result lies as near, and the counts of all images are
    added up before F = 2PR/(P+R) is taken. All 255 thresholds of a uint8 result are tried.

    Unlike there, several pixels may share a partner (BSDS assigns them one to one), so doubled
    edges cost nothing, true edges need not be thin, and values are somewhat higher: they compare
    among themselves, not with tables that were made with the BSDS code.
    """

    def __init__(self) -> None:
        # Rows: result, result near truth, truth, truth near result; columns: strength.
        self._counts = np.zeros((4, LEVELS), np.int64)

    def update(self, result: NDArray[np.generic], label: NDArray[np.generic]) -> None:
        """Count an image.

        Args:
            result: (H, W) uint8, probability times 255; need not be thin.
            label: (H, W) uint8, 0 or 1, 255 = unknown. The result is not looked at there.

        Raises:
            ValueError: Shapes that differ.

        """
        check_shapes(result, label)
        known = label != UNLABELLED
        truth = known & (label != 0)
        thin = thinned(np.where(known, result, 0).astype(np.uint8))
        thin[~known] = 0
        reach = _disc(TOLERANCE * hypot(*label.shape))
        near_truth = cv2.dilate(truth.astype(np.uint8), reach).view(np.bool_)
        near_result = cv2.dilate(thin, reach)
        # A true edge is there at every threshold, as if it were of the largest strength.
        strengths = (thin, thin[near_truth], truth[truth] * np.uint8(255), near_result[truth])
        self._counts += [np.bincount(values.ravel(), minlength=LEVELS) for values in strengths]

    def merge(self, other: Self) -> None:
        """Add what another one has counted."""
        self._counts += other._counts

    def compute(self) -> dict[str, float]:
        """Return 'ods_f', 0..1; NaN without any true edge, 0 where none is found."""
        # Nothing is an edge at strength 0; every other strength is a threshold.
        found, right, truth, recalled = self._counts[:, ::-1].cumsum(axis=1)[:, :-1]
        if not truth[-1]:
            return {'ods_f': nan}
        return {'ods_f': best_f(right / np.maximum(found, 1), recalled / truth)}


def thinned(result: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return edge strengths on the ridges of a result, 0 elsewhere (non-maximum suppression).

    A pixel stays if the blurred result (Gaussian, 1 pixel) bends downwards and is no smaller than
    one pixel further on either side, across the ridge: along the direction of the most negative
    curvature. Flat tops that are wider than the blur stay whole, so a flooded result keeps its
    false edges. The strength is the largest of the result within a pixel, since the ridge of a
    double line lies between the two.

    Args:
        result: (H, W) uint8.

    """
    height, width = result.shape
    smooth = cv2.GaussianBlur(result.astype(np.float32), (0, 0), 1)
    across_x, across_y, bend = _curvature(smooth)
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    # On a flank the most negative curvature lies along the edge, where nothing would beat it.
    ridge = bend <= SLACK * smooth
    for sign in (-1, 1):
        side = cv2.remap(
            smooth, x + sign * across_x, y + sign * across_y, cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        ridge &= side - smooth <= SLACK * smooth
    strength = cv2.dilate(result, np.ones((3, 3), np.uint8))
    return strength * ridge


def _curvature(smooth: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
    """Return the direction of the most negative curvature, x and y, and the mean curvature."""
    xx, yy, xy = (
        cv2.Sobel(smooth, cv2.CV_32F, *order, ksize=5, scale=1 / 64)
        for order in ((2, 0), (0, 2), (1, 1))
    )
    angle = np.arctan2(-2 * xy, yy - xx) / 2
    return np.cos(angle), np.sin(angle), (xx + yy) / 2


def _disc(radius: float) -> NDArray[np.uint8]:
    steps = np.arange(-int(radius), int(radius) + 1)
    return (steps**2 + steps[:, None] ** 2 <= radius**2).astype(np.uint8)
