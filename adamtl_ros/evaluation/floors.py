# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Answers that look at no image, and that a network must beat to be worth its compute.

Depth is the same everywhere: the median of the training data, or a number such as 2 m. Normals all
point towards the camera, along its optical axis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from adamtl_ros.evaluation.metrics import PROTOCOLS, metric_for
from adamtl_ros.sample import valid_mask
from adamtl_ros.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from numpy.typing import NDArray

    from adamtl_ros.evaluation.metrics import EvaluationProtocol
    from adamtl_ros.sample import Dataset

    Array = NDArray[Any]

TOWARDS_CAMERA = (0.0, 0.0, -1.0)
"""Unit vector in the camera optical frame, whose z axis points away from the camera."""
MOST_IMAGES = 1000
"""Images from which the median depth is taken, so that large data sets need not be read whole."""
DEPTH_STEP, MOST_DEPTH = 0.001, 100.0  # meters


class Floors:
    """Scores of constant answers for depth and normals on a data set.

    Args:
        tasks: Names of the tasks to score; those without a constant answer are ignored.
        depth: Depth everywhere [m]; None for no answer for depth.
        protocol: Protocol of the metrics.

    Attributes:
        depth: Depth everywhere [m], or None.

    Raises:
        ValueError: A depth that is not positive.

    """

    def __init__(
        self,
        tasks: Iterable[str],
        depth: float | None,
        protocol: EvaluationProtocol = PROTOCOLS['standard'],
    ) -> None:
        self.depth = depth
        self._answers: dict[str, Callable[[Array], Array]] = {'normals': _towards_camera}
        if depth is not None:
            if not 0 < depth < np.inf:
                raise ValueError(f'a constant depth is positive and finite, got {depth} m')
            self._answers['depth'] = lambda label: np.full(label.shape, depth, np.float32)
        self._metrics = {
            name: metric_for(TASKS[name], protocol) for name in tasks if name in self._answers
        }

    def update(self, labels: Mapping[str, Array]) -> None:
        """Add the labels of an image, by task."""
        for name, metric in self._metrics.items():
            if name in labels:
                metric.update(self._answers[name](labels[name]), labels[name])

    def compute(self) -> dict[str, dict[str, float]]:
        """Return values by task and metric, NaN without labels."""
        return {name: metric.compute() for name, metric in self._metrics.items()}


def _towards_camera(label: Array) -> Array:
    return np.broadcast_to(np.array(TOWARDS_CAMERA, np.float32), label.shape)


def median_depth(dataset: Dataset) -> float:
    """Return the median of all known depths of a data set, to a millimeter [m].

    At most 1,000 of its images are read, evenly spaced. Depths above 100 m count as 100 m.

    Raises:
        ValueError: No known depth.

    """
    counts = np.zeros(round(MOST_DEPTH / DEPTH_STEP) + 1, np.int64)
    for index in np.unique(np.linspace(0, len(dataset) - 1, MOST_IMAGES).astype(int)):
        label = dataset[int(index)].labels.get('depth')
        if label is not None:
            known = label[valid_mask('depth', label)].astype(np.float64)
            steps = np.rint(known[known > 0].clip(max=MOST_DEPTH) / DEPTH_STEP)
            counts += np.bincount(steps.astype(np.intp), minlength=len(counts))
    if not counts.any():
        raise ValueError('the training data have no known depth; give the constant depth instead')
    return float(np.searchsorted(counts.cumsum(), (counts.sum() + 1) // 2) * DEPTH_STEP)
