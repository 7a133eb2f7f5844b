# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Task table: all dense predictions of the network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray


LOG_DEPTH_LIMIT = 6.9
"""Limit of the depth decoder, which predicts the logarithm of meters: 1 mm to 1 km."""
UNLABELLED = 255
"""Class id of a pixel without a class, in PASCAL and in vision_msgs."""
PASCAL_CLASSES = (
    'background', 'aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair',
    'cow', 'diningtable', 'dog', 'horse', 'motorbike', 'person', 'pottedplant', 'sheep', 'sofa',
    'train', 'tvmonitor',
)  # fmt: skip
PASCAL_PARTS = ('background', 'head', 'torso', 'upper_arm', 'lower_arm', 'upper_leg', 'lower_leg')


class Kind(Enum):
    """Kind of the pixels of a result."""

    LABELS = 'labels'
    """Class ids, uint8, 255 = unlabelled."""
    NORMALS = 'normals'
    """Unit vectors in the camera optical frame (x right, y down, z forward), float32."""
    DEPTH = 'depth'
    """Metres along the camera's z axis, float32, NaN = unknown (REP-118)."""
    PROBABILITY = 'probability'
    """Probability scaled to 0..255, uint8."""


ENCODINGS = {
    Kind.LABELS: 'mono8',
    Kind.NORMALS: '32FC3',
    Kind.DEPTH: '32FC1',
    Kind.PROBABILITY: 'mono8',
}
"""`sensor_msgs/Image` encoding of each kind of result."""


@dataclass(frozen=True)
class Task:
    """Dense prediction.

    Attributes:
        name: Key in checkpoints and dictionaries, part of the topic names.
        kind: Kind of the pixels of its result.
        loss: Training loss.
        loss_weight: Weight of that loss in the sum over tasks (AdaMTL's published weights).
        metric: Main metric in comparisons.
        higher_is_better: Direction of that metric.
        classes: Class names by id, for label tasks; empty otherwise.

    """

    name: str
    kind: Kind
    loss: str
    loss_weight: float
    metric: str
    higher_is_better: bool
    classes: tuple[str, ...] = ()

    @property
    def channels(self) -> int:
        """Output channels of the decoder."""
        return {Kind.LABELS: len(self.classes), Kind.NORMALS: 3}.get(self.kind, 1)

    @property
    def encoding(self) -> str:
        """`sensor_msgs/Image` encoding of the result."""
        return ENCODINGS[self.kind]

    def with_classes(self, classes: Sequence[str]) -> Task:
        """Return this task with the class names of a checkpoint.

        Raises:
            ValueError: A class list that this kind of task cannot have.

        """
        if (self.kind is Kind.LABELS) != (len(classes) > 0) or len(classes) > UNLABELLED:
            limit = f'1 to {UNLABELLED}' if self.kind is Kind.LABELS else 'no'
            raise ValueError(f"task '{self.name}' takes {limit} classes, got {len(classes)}")
        return replace(self, classes=tuple(classes))


TASKS = {
    task.name: task
    for task in (
        Task('semseg', Kind.LABELS, 'cross_entropy', 1.0, 'miou', True, PASCAL_CLASSES),
        Task('human_parts', Kind.LABELS, 'cross_entropy', 2.0, 'miou', True, PASCAL_PARTS),
        Task('normals', Kind.NORMALS, 'l1', 10.0, 'mean_angle', False),
        Task('saliency', Kind.PROBABILITY, 'balanced_bce', 5.0, 'max_f', True),
        Task('depth', Kind.DEPTH, 'scale_aware_log', 1.0, 'rmse', False),
        Task('edges', Kind.PROBABILITY, 'edge_bce', 50.0, 'ods_f', True),
    )
}
"""All tasks by name, in the order in which they are published."""


def select(names: Iterable[str], available: Iterable[str] = tuple(TASKS)) -> tuple[str, ...]:
    """Return task names in table order, each once.

    Args:
        names: Requested tasks.
        available: Allowed tasks, in table order.

    Raises:
        ValueError: A name that is not available.

    """
    available = tuple(available)
    requested = list(names)
    for name in requested:
        if name not in available:
            allowed = ', '.join(available)
            raise ValueError(f"unknown task '{name}', choose from: {allowed}")
    return tuple(name for name in available if name in requested)


def label_palette(count: int, first: int = 0) -> NDArray[np.uint8]:
    """Return the colors of class ids, (256, 3) RGB, as in PASCAL VOC; 255 (unlabelled) is cream.

    The bits of the id, three at a time, become the high bits of red, green and blue.

    Args:
        count: Number of classes; ids from there on are cream like unlabelled ones.
        first: Id in PASCAL VOC of the color of class 0; 0 is black, the background.

    """
    ids = np.arange(256)
    ids[:UNLABELLED] = (ids[:UNLABELLED] + first) % UNLABELLED
    bits = (ids[:, None] >> np.arange(8)) & 1
    palette = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        palette[:, bit % 3] |= (bits[:, bit] << (7 - bit // 3)).astype(np.uint8)
    palette[count:] = palette[UNLABELLED]
    return palette
