# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Lens of labelled images: data sets of a known one, and depth as a canonical one would show it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from adamtl_ros.tasks import TASKS, Kind

if TYPE_CHECKING:
    from adamtl_ros.sample import Dataset, Sample


class KnownLens:
    """Images of a data set that were all taken with one lens.

    Attributes:
        tasks: Tasks of the data set.

    """

    def __init__(self, dataset: Dataset, focal: float) -> None:
        """Note the lens.

        Args:
            dataset: Data set.
            focal: Relative focal length of its images (see `adamtl_ros.focal`); takes precedence
                over what the data set says.

        """
        self.dataset, self.focal, self.tasks = dataset, focal, dataset.tasks

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        """Return a labelled image."""
        return replace(self.dataset[index], focal=self.focal)


def assume_focal(sample: Sample, focal: float) -> Sample:
    """Return a sample with a relative focal length if its own is unknown."""
    return replace(sample, focal=focal) if math.isnan(sample.focal) else sample


def canonical_depth(sample: Sample, focal: float) -> Sample:
    """Return a sample with depth times canonical over real focal length.

    Args:
        sample: Sample of a known focal length.
        focal: Canonical relative focal length, which the result has.

    """
    ratio = np.float32(focal / sample.focal)
    depths = {
        name: label.astype(np.float32) * ratio
        for name, label in sample.labels.items()
        if TASKS[name].kind is Kind.DEPTH
    }
    return replace(sample, labels={**sample.labels, **depths}, focal=focal)


def describe_unknown_lenses(dataset: Dataset, focal: float | None, count: int = 16) -> str:
    """Return how many of some images have depth of an unknown lens; empty if none has.

    Args:
        dataset: Data set.
        focal: Canonical relative focal length of the model; None if it needs no lens.
        count: Number of images to look at, spread over the data set.

    """
    if focal is None or not len(dataset):
        return ''
    indices = np.unique(np.linspace(0, len(dataset) - 1, count).astype(int))
    samples = [sample for sample in (dataset[int(i)] for i in indices) if 'depth' in sample.labels]
    unknown = sum(math.isnan(sample.focal) for sample in samples)
    if not unknown:
        return ''
    return (
        f'{unknown} of {len(samples)} images with depth have no known focal length: taken for '
        f'{focal:g}, the canonical one; set `focal` of their data set'
    )
