# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Transforms of samples (resize, mirror, augment) and of data sets (join, subset, resize)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch.utils.data

from adamtl_ros.sample import DataError, Sample
from adamtl_ros.tasks import TASKS, Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from adamtl_ros.sample import Dataset
    from adamtl_ros.tasks import Task


@dataclass(frozen=True)
class Augmentation:
    """Random crop, zoom, mirror and color jitter of training images.

    Attributes:
        scale: Minimum and maximum zoom; depth is divided by the zoom, as if the camera were
            closer with the same lens, whose focal length stays the same in pixels.
        flip: Whether to mirror every second image, at random.
        color: Maximum change of brightness, contrast and color balance, as a factor - 1.

    """

    scale: tuple[float, float] = (0.8, 1.3)
    flip: bool = True
    color: float = field(default=0.25, metadata={'aliases': ('colour',)})

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: A zoom that is not positive, or a color change outside 0..1.

        """
        low, high = self.scale
        if not 0 < low <= high or not 0 <= self.color < 1:
            raise ValueError(
                f'scale needs 0 < least <= greatest, color 0 <= c < 1, got '
                f'{self.scale} and {self.color}'
            )

    def __call__(self, sample: Sample, size: tuple[int, int], seed: list[int]) -> Sample:
        """Return a randomly augmented crop of a sample.

        Args:
            sample: Sample of any size.
            size: Height and width of the result [px].
            seed: Random seed.

        """
        random = np.random.default_rng(seed)
        zoom = float(np.exp(random.uniform(*np.log(self.scale))))
        sample = _window(sample, size, zoom, random.random(2))
        if self.flip and random.random() < 0.5:
            sample = mirror(sample)
        return replace(sample, image=_color_jitter(sample.image, self.color, random))


def resize(sample: Sample, size: tuple[int, int]) -> Sample:
    """Return a sample at another height and width; the aspect ratio may change."""
    height, width = sample.image.shape[:2]
    return sample if (height, width) == size else _crop(sample, (0, 0, height, width), size)


def mirror(sample: Sample) -> Sample:
    """Return a sample with left and right exchanged, also in the direction of normals."""
    labels = {}
    for name, label in sample.labels.items():
        flipped = np.ascontiguousarray(label[:, ::-1])
        if TASKS[name].kind is Kind.NORMALS:
            flipped = flipped * np.array([-1, 1, 1], np.float32)
        labels[name] = flipped
    return replace(sample, image=np.ascontiguousarray(sample.image[:, ::-1]), labels=labels)


def _window(
    sample: Sample, size: tuple[int, int], zoom: float, at: NDArray[np.float64]
) -> Sample:  # fmt: skip
    """Crop the window that has a size after zooming, limited to the image.

    Args:
        sample: Sample of any size.
        size: Height and width of the result [px].
        zoom: Factor of the zoom; raised if the window would exceed the image.
        at: Relative position of the window, (y, x) in 0..1.

    """
    height, width = sample.image.shape[:2]
    zoom = max(zoom, size[0] / height, size[1] / width)
    rows, columns = (
        max(1, min(round(side / zoom), limit))
        for side, limit in zip(size, (height, width), strict=True)
    )
    top, left = int(at[0] * (height - rows + 1)), int(at[1] * (width - columns + 1))
    crop = _crop(sample, (top, left, rows, columns), size)
    depths = {
        name: label.astype(np.float32) / np.float32(zoom)
        for name, label in crop.labels.items()
        if TASKS[name].kind is Kind.DEPTH
    }
    # The focal length stays the same in pixels, so relative to the size of the image it changes.
    focal = sample.focal * (height * width / (size[0] * size[1])) ** 0.5
    return replace(crop, labels={**crop.labels, **depths}, focal=focal)


def _crop(sample: Sample, window: tuple[int, int, int, int], size: tuple[int, int]) -> Sample:
    """Crop a window (top, left, rows, columns) and resize it, labels by nearest neighbor."""
    top, left, rows, columns = window
    inside = np.s_[top : top + rows, left : left + columns]
    image = sample.image[inside]
    if (rows, columns) == size:
        labels = {name: label[inside] for name, label in sample.labels.items()}
        return replace(sample, image=image, labels=labels)
    method = cv2.INTER_AREA if size[0] < rows else cv2.INTER_LINEAR
    labels = {
        name: cv2.resize(
            np.ascontiguousarray(label[inside]), size[::-1], interpolation=cv2.INTER_NEAREST_EXACT
        )
        for name, label in sample.labels.items()
    }
    image = cv2.resize(np.ascontiguousarray(image), size[::-1], interpolation=method)
    return replace(sample, image=image, labels=labels)


def _color_jitter(
    image: NDArray[np.uint8], strength: float, random: np.random.Generator
) -> NDArray[np.uint8]:
    """Change brightness, contrast and the balance of the channels at random."""
    if not strength:
        return image
    brightness = random.uniform(1 - strength, 1 + strength)
    gain = brightness * random.uniform(1 - strength / 3, 1 + strength / 3, 3)
    contrast = random.uniform(1 - strength, 1 + strength)
    levels = np.arange(256)[:, None] * gain
    middle = float(image.mean())
    table = np.clip((levels - middle) * contrast + middle, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, table[:, None]))


class ConcatDataset(torch.utils.data.ConcatDataset[Sample]):
    """Concatenation of data sets; a task has labels if any of them has labels for it.

    Attributes:
        tasks: Tasks of all data sets, in table order.

    """

    def __init__(self, datasets: Sequence[Dataset]) -> None:
        """Concatenate data sets.

        Args:
            datasets: At least one data set.

        Raises:
            DataError: A task whose classes are not the same everywhere.

        """
        super().__init__(datasets)  # type: ignore[arg-type]
        self.tasks = _all_tasks(datasets)

    def __getitem__(self, index: int) -> Sample:
        """Return a labelled image.

        Raises:
            IndexError: A number outside 0 to length - 1.

        """
        _check_index(index, len(self))
        return super().__getitem__(index)


class Subset(torch.utils.data.Subset[Sample]):
    """Some images of a data set, by their indices.

    Attributes:
        tasks: Tasks of the data set.

    """

    def __init__(self, dataset: Dataset, indices: Sequence[int]) -> None:
        super().__init__(dataset, indices)  # type: ignore[arg-type]
        self.tasks = dataset.tasks

    def __getitem__(self, index: int) -> Sample:
        """Return a labelled image.

        Raises:
            IndexError: A number outside 0 to length - 1.

        """
        _check_index(index, len(self))
        return super().__getitem__(index)

    def __getitems__(self, indices: list[int]) -> list[Sample]:
        """Return several labelled images; PyTorch's own method would bypass `__getitem__()`."""
        return [self[index] for index in indices]


class Resized:
    """Images of a data set, whole, at another height and width.

    Attributes:
        tasks: Tasks of the data set.

    """

    def __init__(self, dataset: Dataset, size: tuple[int, int]) -> None:
        self.dataset, self.size, self.tasks = dataset, size, dataset.tasks

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        """Return a labelled image."""
        return resize(self.dataset[index], self.size)


def split_in_time(count: int, holdout: float, gap: float) -> tuple[range, range]:
    """Return the images of a recording to train on, and those held out at its end.

    Consecutive images look alike, so those between the two are left out.

    Args:
        count: Number of images.
        holdout: Fraction of the images that is held out, at least one image.
        gap: Fraction of the images that is left out before these.

    Raises:
        ValueError: Fractions that leave nothing to train on.

    """
    first = count - max(1, round(count * holdout)) if holdout else count
    last = first - round(count * gap) if holdout else count
    if not (0 <= holdout < 1 and 0 <= gap < 1) or last < 1:
        raise ValueError(
            f'holdout {holdout} and gap {gap} of {count} images leave none to learn from; '
            'take less of both, or a longer recording'
        )
    return range(last), range(first, count)


def _all_tasks(members: Sequence[Dataset]) -> dict[str, Task]:
    found: dict[str, Task] = {}
    for member in members:
        for name, task in member.tasks.items():
            if found.setdefault(name, task).classes != task.classes:
                raise DataError(
                    f"the classes of '{name}' differ between the recordings: "
                    f'{list(found[name].classes)} and {list(task.classes)}'
                )
    return {name: found[name] for name in TASKS if name in found}


def _check_index(index: int, length: int) -> None:
    if not 0 <= index < length:
        raise IndexError(f'image {index} is outside 0 to {length - 1}')
