# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Samples to batches of tensors, in an order that depends only on seed and step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from adamtl_ros.data.lens import assume_focal, canonical_depth
from adamtl_ros.sample import unknown_label
from adamtl_ros.tasks import TASKS, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from adamtl_ros.data.transforms import Augmentation
    from adamtl_ros.sample import Dataset, Sample


@dataclass(frozen=True)
class Batch:
    """Batch of images and labels.

    Attributes:
        images: (B, 3, H, W) uint8, RGB.
        labels: Labels by task, (B, H, W), normals (B, 3, H, W); 255 and NaN are unknown.

    """

    images: Tensor
    labels: dict[str, Tensor]

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        labels = {name: label.to(device) for name, label in self.labels.items()}
        return Batch(self.images.to(device), labels)


def collate(samples: Sequence[Sample], tasks: Iterable[str]) -> Batch:
    """Stack samples of one size.

    Args:
        samples: Samples of the batch.
        tasks: Tasks of the batch; where a sample has no label, it is unknown.

    """
    images = torch.from_numpy(np.stack([sample.image for sample in samples]))
    labels = {}
    for name in tasks:
        planes = [
            sample.labels[name]
            if name in sample.labels
            else unknown_label(name, *sample.image.shape[:2])
            for sample in samples
        ]
        joined = torch.from_numpy(np.stack(planes))
        labels[name] = joined.permute(0, 3, 1, 2) if TASKS[name].kind is Kind.NORMALS else joined
    return Batch(images.permute(0, 3, 1, 2), labels)


@dataclass(frozen=True)
class ResumableBatchSampler:
    """Sampler of the batches of a training stage, which can start at any step.

    The order depends only on the fields, so an interrupted training continues with exactly the
    batch that would have been next.

    Attributes:
        images: Number of images in the data set.
        batch: Images per step, over all processes.
        steps: Number of steps.
        seed: Random seed of the order and of the augmentation.
        first: First step.
        rank: Index of this process.
        world: Number of processes.

    """

    images: int
    batch: int
    steps: int
    seed: int
    first: int = 0
    rank: int = 0
    world: int = 1

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        """Yield (image, position in the order) pairs of this process, a list for each step."""
        for step in range(self.first, self.steps):
            positions = range(step * self.batch + self.rank, (step + 1) * self.batch, self.world)
            yield [(self._image(position), position) for position in positions]

    def __len__(self) -> int:
        """Return the number of remaining steps."""
        return self.steps - self.first

    def _image(self, position: int) -> int:
        epoch, offset = divmod(position, self.images)
        return int(_permutation(self.images, self.seed, epoch)[offset])


@lru_cache(maxsize=4)
def _permutation(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the order of the images in an epoch."""
    return np.random.default_rng([seed, epoch]).permutation(count)


class AugmentedDataset(TorchDataset[object]):
    """Data set whose items are augmented by their position in the order.

    With a canonical focal length, depth becomes that of a camera that has it.
    """

    def __init__(
        self,
        dataset: Dataset,
        augmentation: Augmentation,
        size: tuple[int, int],
        seed: int,
        focal: float | None = None,
    ) -> None:
        self.dataset, self.augmentation, self.size, self.seed = dataset, augmentation, size, seed
        self.focal = focal

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        index, position = key
        sample, seed = self.dataset[index], [self.seed, position]
        if self.focal is None:
            return self.augmentation(sample, self.size, seed)
        # The node too takes an unknown lens for the canonical one. Only after the crop, which
        # changes the focal length.
        sample = self.augmentation(assume_focal(sample, self.focal), self.size, seed)
        return canonical_depth(sample, self.focal)


def batches(
    dataset: Dataset,
    augmentation: Augmentation,
    size: tuple[int, int],
    order: ResumableBatchSampler,
    tasks: Sequence[str],
    workers: int = 0,
    focal: float | None = None,
) -> Iterable[Batch]:
    """Return the batches of a stage.

    Args:
        dataset: Data set to sample from.
        augmentation: Random transform of each sample.
        size: Height and width of the images of a batch [px].
        order: Sampler of the batches.
        tasks: Tasks whose labels are needed.
        workers: Number of worker processes; 0 to load in this process.
        focal: Canonical relative focal length for depth; None to leave depth as it is.

    """
    augmented = AugmentedDataset(dataset, augmentation, size, order.seed, focal)
    return DataLoader(
        augmented,
        batch_sampler=order,
        collate_fn=partial(collate, tasks=tasks),
        num_workers=workers,
    )
