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
        tasks: Tasks of the data set whose weight is not 0.

    """

    def __init__(self, dataset: Dataset, weights: Mapping[str, float]) -> None:
        """Wrap a data set.

        Args:
            dataset: Data set.
            weights: Factors of the weights by task; 1 where a task is missing, 0 to leave its
                labels out.

        """
        self.dataset, self.weights = dataset, weights
        self.tasks = {name: task for name, task in dataset.tasks.items() if self._factor(name)}

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        """Return a labelled image."""
        sample = self.dataset[index]
        labels = {name: label for name, label in sample.labels.items() if self._factor(name)}
        weights = {name: self._factor(name) * sample.weights.get(name, 1.0) for name in labels}
        return replace(sample, labels=labels, weights=weights)

    def _factor(self, task: str) -> float:
        return self.weights.get(task, 1.0)
