# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Labelled image, in one form for all data sets, and the data set protocol."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from adamtl_ros.tasks import TASKS, UNLABELLED, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from adamtl_ros.tasks import Task


class DataError(ValueError):
    """Data that is missing, damaged or of another layout."""


@dataclass(frozen=True)
class Sample:
    """Image with labels.

    Labels have the form in which the node publishes results, so that one metric serves both:

    * label tasks: (H, W) uint8 class ids, 255 = unlabelled;
    * normals: (H, W, 3) float32 unit vectors in the camera optical frame, NaN = unknown;
    * depth: (H, W) float32 meters along the optical axis, NaN = unknown;
    * saliency and edges: (H, W) uint8, 0 or 1, 255 = unknown; or, for a soft label such as the
      fraction of annotators, (H, W) float32, 0..1, NaN = unknown.

    Attributes:
        image: (H, W, 3) uint8, RGB.
        labels: Labels by task name; a task without a label is missing.
        name: Human-readable source of the image.
        difficulty: Complexity of the scene, 0..1; NaN if unknown.
        weights: Weights of the training loss by task, 0 or more; 1 where a task is missing. One
            number for all pixels, or (H, W) float32.

    """

    image: NDArray[np.uint8]
    labels: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)
    name: str = ''
    difficulty: float = float('nan')
    weights: Mapping[str, float | NDArray[np.float32]] = field(default_factory=dict)


class Dataset(Protocol):
    """Labelled images in a fixed order."""

    @property
    def tasks(self) -> Mapping[str, Task]:
        """Tasks that can have labels, in table order, with the class names of this data set."""

    def __len__(self) -> int:
        """Return the number of images."""

    def __getitem__(self, index: int) -> Sample:
        """Return a labelled image.

        Raises:
            IndexError: A number outside 0 to length - 1.

        """


def unknown_label(task: str, height: int, width: int) -> NDArray[np.generic]:
    """Return a label of a task that is unknown at all pixels.

    Args:
        task: Name of the task.
        height: Height of the image [px].
        width: Width of the image [px].

    """
    kind = TASKS[task].kind
    if kind is Kind.NORMALS:
        return np.full((height, width, 3), np.nan, np.float32)
    if kind is Kind.DEPTH:
        return np.full((height, width), np.nan, np.float32)
    return np.full((height, width), UNLABELLED, np.uint8)


def valid_mask(task: str, label: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Return the (H, W) mask of the pixels whose label is known."""
    kind = TASKS[task].kind
    if kind is Kind.NORMALS:
        return np.isfinite(label).all(-1)
    if label.dtype.kind == 'f':
        return np.isfinite(label)
    return np.asarray(label != UNLABELLED)
