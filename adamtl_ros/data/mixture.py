# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Mixtures of data sets: how often images of each are drawn, and how much their labels count."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from adamtl_ros.data.transforms import ConcatDataset

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from adamtl_ros.sample import Dataset, Sample


class Mixture(ConcatDataset):
    """Data sets in a row, whose images a training draws by the weights of the sets.

    Attributes:
        tasks: Tasks of all data sets, in table order.
        parts: Number of images and weight of each data set.

    """

    def __init__(self, datasets: Sequence[Dataset], weights: Sequence[float]) -> None:
        """Join data sets.

        Args:
            datasets: At least one data set.
            weights: Expected shares of the data sets in the images that are drawn; positive, their
                sum may be any.

        Raises:
            DataError: A task whose classes are not the same everywhere.

        """
        super().__init__(datasets)
        lengths = map(len, datasets)
        self.parts = tuple(zip(lengths, weights, strict=True))


def parts_of(dataset: Dataset) -> tuple[tuple[int, float], ...]:
    """Return number of images and weight of each set of a mixture; empty for other data sets."""
    return dataset.parts if isinstance(dataset, Mixture) else ()


class Weighted:
    """Data set whose labels have other weights in the loss.

    Attributes:
        tasks: Tasks of the data set.

    """

    def __init__(self, dataset: Dataset, weights: Mapping[str, float]) -> None:
        """Wrap a data set.

        Args:
            dataset: Data set.
            weights: Factors of the weights by task.

        """
        self.dataset, self.weights, self.tasks = dataset, weights, dataset.tasks

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        """Return a labelled image."""
        sample = self.dataset[index]
        factors = {
            name: weight * sample.weights.get(name, 1.0) for name, weight in self.weights.items()
        }
        return replace(sample, weights={**sample.weights, **factors})
