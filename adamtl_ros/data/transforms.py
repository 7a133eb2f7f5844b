# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Transforms of samples (resize, mirror, augment) and of data sets (join, subset, resize)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import ceil
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch.utils.data

from adamtl_ros.sample import DataError, Sample
from adamtl_ros.tasks import TASKS, UNLABELLED, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from adamtl_ros.sample import Dataset
    from adamtl_ros.tasks import Task

FOCAL = 0.8
"""Focal length as a fraction of the longer side of an image: 64 degrees, about as of a Kinect."""


@dataclass(frozen=True)
class Augmentation:
    """Random crop, zoom, mirror and color jitter of training images.

    Attributes:
        scale: Minimum and maximum zoom. At 1 the window is the largest one in the image that has
            the aspect ratio of the result; below 1 it is larger than the image, gray outside, with
            unknown labels. Depth and normals change with the zoom, see `window()`.
        flip: Whether to mirror every second image, at random.
        color: Maximum change of brightness, contrast and color balance, as a factor - 1.

    """

    scale: tuple[float, float] = (1.0, 1.3)
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
        sample = window(sample, size, zoom, random.random(2))
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
        labels[name] = cv2.flip(label, 1)
        if TASKS[name].kind is Kind.NORMALS:
            labels[name][..., 0] *= -1
    weights = _each_plane(sample.weights, lambda plane: cv2.flip(plane, 1))
    return replace(sample, image=cv2.flip(sample.image, 1), labels=labels, weights=weights)


def window(
    sample: Sample, size: tuple[int, int], zoom: float, at: NDArray[np.float64]
) -> Sample:  # fmt: skip
    """Crop a window and resize it, as if another camera had taken the picture.

    A part of an image that is taken for a whole one, by a lens with the same field of view, shows
    another scene: the points (x, y, z) at (x - a z, y - b z, z / zoom), where a and b are the
    offset of the window from the middle of the image, in focal lengths. So depth is divided by the
    zoom, and normals are multiplied by the inverse transpose of that map: with zoom, surfaces are
    less oblique (a wall at 30 degrees is at 24 degrees for a zoom of 1.3).

    Args:
        sample: Sample of any size.
        size: Height and width of the result [px].
        zoom: Factor of the zoom; at 1 the largest window of this aspect ratio.
        at: Relative position of the window, (y, x) in 0..1.

    """
    focal = FOCAL * max(sample.image.shape[:2])
    height, width = sample.image.shape[:2]
    fit = min(height / size[0], width / size[1]) / zoom  # pixels of the image per pixel
    rows, columns = (max(1, round(side * fit)) for side in size)
    sample = _pad(sample, max(0, rows - height), max(0, columns - width))
    spare = sample.image.shape[0] - rows, sample.image.shape[1] - columns
    top, left = (int(place * (side + 1)) for place, side in zip(at, spare, strict=True))
    crop = _crop(sample, (top, left, rows, columns), size)
    offset = (top - spare[0] / 2) / focal, (left - spare[1] / 2) / focal
    return _change_camera(crop, zoom, offset)


def _pad(sample: Sample, rows: int, columns: int) -> Sample:
    """Add gray pixels with unknown labels, half of them on each side."""
    if not (rows or columns):
        return sample
    sides = rows // 2, rows - rows // 2, columns // 2, columns - columns // 2

    def extend(plane: NDArray[Any], value: float) -> NDArray[Any]:
        return cv2.copyMakeBorder(plane, *sides, cv2.BORDER_CONSTANT, value=[value] * 3)

    labels = {
        name: extend(label, np.nan if label.dtype.kind == 'f' else UNLABELLED)
        for name, label in sample.labels.items()
    }
    weights = _each_plane(sample.weights, lambda plane: extend(plane, 0))
    return replace(sample, image=extend(sample.image, 128), labels=labels, weights=weights)


def _change_camera(sample: Sample, zoom: float, offset: tuple[float, float]) -> Sample:
    """Return the sample with the depth and normals of the scene that `window()` describes.

    Args:
        sample: Cropped sample.
        zoom: Factor of the zoom.
        offset: Offset of the window, (y, x), in focal lengths.

    """
    b, a = offset
    inverse = np.array([[1, 0, 0], [0, 1, 0], [zoom * a, zoom * b, zoom]], np.float32)
    labels = dict(sample.labels)
    for name, label in sample.labels.items():
        if TASKS[name].kind is Kind.DEPTH:
            labels[name] = label.astype(np.float32) / np.float32(zoom)
        elif TASKS[name].kind is Kind.NORMALS and (zoom, a, b) != (1, 0, 0):
            vectors = cv2.transform(label, inverse)
            # numpy takes ten times longer for sums along an axis of length 3.
            length = np.sqrt(cv2.transform(vectors * vectors, np.ones((1, 3), np.float32)))
            vectors /= np.maximum(length, np.float32(1e-12))[..., None]
            labels[name] = vectors
    return replace(sample, labels=labels)


def _crop(sample: Sample, area: tuple[int, int, int, int], size: tuple[int, int]) -> Sample:
    """Crop an area (top, left, rows, columns) and resize it."""
    top, left, rows, columns = area
    inside = np.s_[top : top + rows, left : left + columns]
    labels = {
        name: resize_label(name, label[inside], size) for name, label in sample.labels.items()
    }
    weights = _each_plane(sample.weights, lambda plane: _resize(plane[inside], size))
    image = _resize(sample.image[inside], size)
    return replace(sample, image=image, labels=labels, weights=weights)


def _resize(plane: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Resize an image or soft values; NaN spreads by a pixel."""
    if plane.shape[:2] == size:
        return plane
    method = cv2.INTER_AREA if size[0] < plane.shape[0] else cv2.INTER_LINEAR
    return cv2.resize(plane, size[::-1], interpolation=method)


def resize_label(task: str, label: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Resize a label.

    Soft saliency and edges are interpolated, all others take the nearest pixel. Edges are one pixel
    wide: where the label shrinks, they are the maximum of the pixels that become one.

    Args:
        task: Name of the task.
        label: (H, W) or (H, W, 3).
        size: Height and width of the result [px].

    """
    if label.shape[:2] == size:
        return label
    shrink = max(label.shape[0] / size[0], label.shape[1] / size[1])
    if task == 'edges' and shrink > 1:
        return _shrink_edges(label, size, ceil(shrink))
    if TASKS[task].kind is Kind.PROBABILITY and label.dtype.kind == 'f':
        return _resize(label, size)
    return cv2.resize(label, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)


def _shrink_edges(label: NDArray[Any], size: tuple[int, int], cell: int) -> NDArray[Any]:
    """Resize edges; each pixel is the maximum of a square, unknown where all of it is unknown."""
    hard = label.dtype.kind != 'f'
    # In bytes 255 + 1 is 0: unknown becomes the least value.
    ranked = label + np.uint8(1) if hard else np.where(np.isnan(label), np.float32(-1), label)
    largest = cv2.dilate(ranked, np.ones((cell, cell), np.uint8))
    found = cv2.resize(largest, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    return found - np.uint8(1) if hard else np.where(found < 0, np.float32(np.nan), found)


def _each_plane(
    weights: Mapping[str, float | NDArray[np.float32]],
    transform: Callable[[NDArray[np.float32]], NDArray[np.float32]],
) -> dict[str, float | NDArray[np.float32]]:
    """Return weights with those of pixels transformed; those of whole images stay."""
    return {
        name: transform(weight) if isinstance(weight, np.ndarray) else weight
        for name, weight in weights.items()
    }


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
                    f"the classes of '{name}' differ between the data sets: "
                    f'{list(found[name].classes)} and {list(task.classes)}; name them alike, or '
                    f"leave the task out of one of them, with its option 'tasks'"
                )
    return {name: found[name] for name in TASKS if name in found}


def _check_index(index: int, length: int) -> None:
    if not 0 <= index < length:
        raise IndexError(f'image {index} is outside 0 to {length - 1}')
