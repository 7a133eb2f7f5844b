# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Fusion of a new answer with the known one, by the variance of each pixel of each task.

A scalar Kalman filter for each pixel and task. The unit is the variance of one answer of the full
network: 1 is an answer as good as that, 0.2 the mean of five. While an answer is warped from frame
to frame its variance P grows by the signs of `flow.Signs`; a new answer of variance R is fused with
weight P / (P + R), after which P R / (P + R) is left. So a place that nothing has changed keeps
a mean of many answers, and a place that somebody has just walked into takes the new answer as it
is: no ghost. The plain running mean is the special case of a constant weight.

Fused are class probabilities, unscaled normals, log depth and logits of probabilities.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from adamtl_ros.tasks import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from adamtl_ros.stream.flow import Signs
    from adamtl_ros.tasks import Task

    Floats = NDArray[np.float32]

LEAST_VARIANCE = 0.02
"""Least variance, so that nothing becomes certain for ever: the mean of 50 answers."""


@dataclass(frozen=True)
class Drift:
    """Growth of the variance of a warped answer, in variances of one full answer.

    Attributes:
        age: Growth per second.
        motion: Growth per unit of `Signs.motion`.
        residual: Growth per unit of `Signs.residual`.
        lost: Growth where a pixel was outside of the image.

    """

    age: float = 0.02
    motion: float = 1.3
    residual: float = 1.0
    lost: float = 1.0

    def growth(self, signs: Signs) -> Floats:
        """Return the growth of the variance of each pixel, (h, w)."""
        grown: Floats = np.float32(self.age * signs.age) + self.motion * signs.motion
        grown += self.residual * signs.residual
        grown += self.lost * signs.lost
        return grown


DRIFTS = {
    'semseg': Drift(residual=1.0),
    'human_parts': Drift(residual=10.0),
    'normals': Drift(residual=0.3),
    'saliency': Drift(residual=10.0),
    'depth': Drift(residual=1.0),
    'edges': Drift(residual=10.0),
}
"""Default drift of each task; needs no fitting. People, their parts and thin edges are wrong at
once where something else is seen, surfaces and distances mostly go on."""


def rung_variance(share: float) -> float:
    """Return the variance of an answer of a rung with a share of the full MACs."""
    return share**-1.5


def weight(known: Floats, new: Floats | float) -> Floats:
    """Return the weight of a new answer against the known one, per pixel, from their variances."""
    return known / (known + new)


def fuse(
    known: Mapping[str, Floats], new: Mapping[str, Floats], weights: Mapping[str, Floats]
) -> dict[str, Floats]:
    """Return the weighted mean of two answers.

    Args:
        known: Warped answer by task, (channels, h, w). Where it is not finite, the new one counts.
        new: New answer of the same tasks and size.
        weights: Weight of the new answer by task, 0..1, (h, w).

    """
    fused = {}
    for name, answer in new.items():
        mean = known[name] + weights[name] * (answer - known[name])
        # What is unknown in one of them must not hide what the other knows.
        mean = np.where(np.isfinite(known[name]), mean, answer)
        fused[name] = np.where(np.isfinite(answer), mean, known[name])
    return fused


def to_fusable(task: Task, planes: Floats) -> Floats:
    """Return a raw map as it is fused: class logits as probabilities, others as they are."""
    if task.kind is not Kind.LABELS:
        return planes
    powers = np.exp(planes - planes.max(axis=0))
    powers /= powers.sum(axis=0)
    return powers


def mirrored(task: Task, planes: Floats) -> Floats:
    """Return the raw map of the mirror image of an image from that of the image."""
    flipped = np.ascontiguousarray(planes[..., ::-1])
    if task.kind is Kind.NORMALS:
        flipped[0] *= -1
    return flipped
