# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Samples to batches of tensors, in an order that depends on seed and step alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

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
    """Images and labels.

    Attributes:
        images: (B, 3, H, W) uint8, RGB.
        labels: By task, (B, H, W), normals (B, 3, H, W); 255 and NaN are unknown.

    """

    images: Tensor
    labels: dict[str, Tensor]

    def to(self, device: torch.device) -> Batch:
        """Move to a device."""
        labels = {name: label.to(device) for name, label in self.labels.items()}
        return Batch(self.images.to(device), labels)


def collate(samples: Sequence[Sample], tasks: Iterable[str]) -> Batch:
    """Join samples of one size; tasks that a sample has no label for are unknown."""
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
    """Which images a stage of a training sees, and in which batches.

    Everything follows from the numbers here, so a training that was interrupted goes on with
    the very batch that it would have seen next.

    Attributes:
        images: Number of images in the data set.
        batch: Images of a step, of all processes together.
        steps: Number of steps.
        seed: Of the order and of the augmentation.
        first: Step to start with.
        rank: Number of this process.
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
        """Yield, for each step, the images of this process, each with its number in the order."""
        for step in range(self.first, self.steps):
            places = range(step * self.batch + self.rank, (step + 1) * self.batch, self.world)
            yield [(self._image(place), place) for place in places]

    def __len__(self) -> int:
        """Return the number of steps to go."""
        return self.steps - self.first

    def _image(self, place: int) -> int:
        epoch, position = divmod(place, self.images)
        return int(_shuffled(self.images, self.seed, epoch)[position])


@lru_cache(maxsize=4)
def _shuffled(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the order of an epoch."""
    return np.random.default_rng([seed, epoch]).permutation(count)


class AugmentedDataset(TorchDataset[object]):
    """A data set, augmented by the number of an image in the order."""

    def __init__(
        self, dataset: Dataset, augmentation: Augmentation, size: tuple[int, int], seed: int
    ) -> None:
        self.dataset, self.augmentation, self.size, self.seed = dataset, augmentation, size, seed

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        index, place = key
        return self.augmentation(self.dataset[index], self.size, [self.seed, place])


def batches(
    dataset: Dataset,
    augmentation: Augmentation,
    size: tuple[int, int],
    order: ResumableBatchSampler,
    tasks: Sequence[str],
    workers: int = 0,
) -> Iterable[Batch]:
    """Return the batches of a stage.

    Args:
        dataset: The images.
        augmentation: How they vary.
        size: Height and width of a batch.
        order: Which, and when.
        tasks: Whose labels are wanted.
        workers: Processes that prepare them; 0 for none beside this one.

    """
    varied = AugmentedDataset(dataset, augmentation, size, order.seed)
    return DataLoader(
        varied, batch_sampler=order, collate_fn=partial(collate, tasks=tasks), num_workers=workers
    )
