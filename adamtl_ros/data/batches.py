# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Samples to batches of tensors, in an order that depends only on seed and step."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from adamtl_ros.labels import soft
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
        labels: Labels by task, (B, H, W), normals (B, 3, H, W); class ids are uint8, 255 = unknown,
            all others float32, NaN = unknown, also hard labels of saliency and edges.
        weights: Weights of the loss by task, (B, 1, 1) or (B, H, W) float32; 1 where a task is
            missing.

    """

    images: Tensor
    labels: dict[str, Tensor]
    weights: dict[str, Tensor] = field(default_factory=dict)

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        labels = {name: label.to(device) for name, label in self.labels.items()}
        weights = {name: weight.to(device) for name, weight in self.weights.items()}
        return Batch(self.images.to(device), labels, weights)


def collate(samples: Sequence[Sample], tasks: Iterable[str]) -> Batch:
    """Stack samples of one size.

    Args:
        samples: Samples of the batch.
        tasks: Tasks of the batch; where a sample has no label, it is unknown.

    """
    images = torch.from_numpy(np.stack([sample.image for sample in samples]))
    labels, weights = {}, {}
    for name in tasks:
        joined = torch.from_numpy(np.stack([_label(sample, name) for sample in samples]))
        labels[name] = joined.permute(0, 3, 1, 2) if TASKS[name].kind is Kind.NORMALS else joined
        if any(name in sample.weights for sample in samples):
            weights[name] = _stack_weights([sample.weights.get(name, 1.0) for sample in samples])
    return Batch(images.permute(0, 3, 1, 2), labels, weights)


def _label(sample: Sample, name: str) -> NDArray[Any]:
    """Return the label of a task as it is in a batch, unknown if there is none."""
    label = sample.labels.get(name)
    if label is None:
        label = unknown_label(name, *sample.image.shape[:2])
    return soft(label) if TASKS[name].kind is Kind.PROBABILITY else label


def _stack_weights(weights: Sequence[float | NDArray[np.float32]]) -> Tensor:
    """Return (B, 1, 1) weights of images, or (B, H, W) if one has weights of pixels."""
    planes = [np.atleast_2d(np.asarray(weight, np.float32)) for weight in weights]
    return torch.from_numpy(np.stack(np.broadcast_arrays(*planes)))


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
        parts: Number of images and share of each set of a mixture, in the order of the data set;
            empty for a data set whose images are equally frequent.

    """

    images: int
    batch: int
    steps: int
    seed: int
    first: int = 0
    rank: int = 0
    world: int = 1
    parts: tuple[tuple[int, float], ...] = ()

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        """Yield (image, position in the order) pairs of this process, a list for each step."""
        parts = self.parts or ((self.images, 1.0),)
        first = np.cumsum([0, *(count for count, _ in parts)])  # of the images of each set
        sets, turns = draw_sets([share for _, share in parts], self.seed, self.steps * self.batch)
        for step in range(self.first, self.steps):
            positions = range(step * self.batch + self.rank, (step + 1) * self.batch, self.world)
            pairs = []
            for position in positions:
                part = int(sets[position])
                epoch, offset = divmod(int(turns[position]), parts[part][0])
                order = _permutation(parts[part][0], self.seed, epoch, part)
                pairs.append((int(first[part] + order[offset]), position))
            yield pairs

    def __len__(self) -> int:
        """Return the number of remaining steps."""
        return self.steps - self.first


def draw_sets(
    shares: Sequence[float], seed: int, count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw the set that each image of a mixture comes from.

    Places in 0..1 that are a golden ratio apart are the most even ones for any number of them
    (Weyl's sequence), so that every batch has its share of each set, to within one or two images.

    Args:
        shares: Shares of the sets, positive; their sum may be any.
        seed: Random seed.
        count: Number of images.

    Returns:
        The index of the set, and how often this set was drawn before, both (count,).

    """
    start = np.random.default_rng(seed).random()
    places = (start + np.arange(count) * ((5**0.5 - 1) / 2)) % 1
    ends = np.cumsum(shares)[:-1] / np.sum(shares)
    sets = np.searchsorted(ends, places, side='right')
    turns = np.empty(count, np.int64)
    for one in range(len(shares)):
        drawn = sets == one
        turns[drawn] = np.arange(np.count_nonzero(drawn))
    return sets, turns


@lru_cache(maxsize=64)
def _permutation(count: int, seed: int, epoch: int, part: int) -> NDArray[np.int64]:
    """Return the order of the images of a set in an epoch of that set."""
    return np.random.default_rng([seed, epoch, part]).permutation(count)


class AugmentedDataset(TorchDataset[object]):
    """Data set whose items are augmented by their position in the order."""

    def __init__(
        self, dataset: Dataset, augmentation: Augmentation, size: tuple[int, int], seed: int
    ) -> None:
        self.dataset, self.augmentation, self.size, self.seed = dataset, augmentation, size, seed

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        index, position = key
        return self.augmentation(self.dataset[index], self.size, [self.seed, position])


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
        dataset: Data set to sample from.
        augmentation: Random transform of each sample.
        size: Height and width of the images of a batch [px].
        order: Sampler of the batches.
        tasks: Tasks whose labels are needed.
        workers: Number of worker processes; 0 to load in this process.

    """
    augmented = AugmentedDataset(dataset, augmentation, size, order.seed)
    return DataLoader(
        augmented,
        batch_sampler=order,
        collate_fn=partial(collate, tasks=tasks),
        num_workers=workers,
    )
