# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Folder of photographs with a folder of labels for each task, as a data set.

    images/<name>.jpg       or .jpeg, .png
    splits/<split>.txt      image names, one on each line
    classes.yaml            class names by id, for tasks with classes
    <task>/<name>.png       labels; any file and any folder may be missing
    <task>_confidence/<name>.png    weights of the pixels in the loss, 0..255 for 0..1; optional

"Your own photographs" in docs/training.md describes the layout with an example.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import cv2
import numpy as np

from adamtl_ros.config import ConfigError, read_yaml
from adamtl_ros.data.image_folder import FolderLayout, ImageFolder, read_map, read_rgb
from adamtl_ros.labels import class_ids, depth_from_millimeters, soft_mask, unit_vectors
from adamtl_ros.sample import DataError
from adamtl_ros.tasks import TASKS, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from adamtl_ros.sample import Sample
    from adamtl_ros.tasks import Task

CLASSES, CONFIDENCE = 'classes.yaml', '_confidence'
OTHER_PICTURES = {'.jpg', '.jpeg', '.bmp', '.tif', '.tiff', '.webp'}
_FORMS = {
    Kind.LABELS: (np.uint8, 2, 'class ids, 8 bit gray or palette, 255 for unlabelled'),
    Kind.PROBABILITY: (np.uint8, 2, '8 bit gray, 0..255 for 0..1'),
    Kind.DEPTH: (np.uint16, 2, '16 bit gray, millimeters, 0 for unknown'),
    Kind.NORMALS: (np.uint8, 3, '8 bit RGB, 0..255 for -1..1, (128, 128, 128) for unknown'),
}


class LabelledFolder(ImageFolder):
    """Photographs with labels in PNG files; a `Dataset`.

    A label may have another size than its image and is resized. Normals are in the camera optical
    frame and point towards the camera; depth is along the optical axis.
    """

    layout: ClassVar[FolderLayout] = FolderLayout(
        source="'Your own photographs' in docs/training.md describes the layout",
        splits='splits',
        images='images',
        labels={},
        suffixes=('.jpg', '.jpeg', '.png'),
    )

    def __init__(
        self,
        root: Path,
        split: str = 'train',
        tasks: Iterable[str] | None = None,
        part: Sequence[int | None] = (None, None),
        *,
        cache: bool = False,
    ) -> None:
        """Check the folders.

        Args:
            root: Folder with images/, splits/ and a folder for each task with labels.
            split: Name of the list of images, in splits/.
            tasks: Tasks to read the labels of; all that have a folder if not given.
            part: Index of the first image in the list and of the one after the last; negative ones
                count from the end, None is an end of the list. ``[0, -100]`` and ``[-100, None]``
                hold the last 100 out.
            cache: Keep the decoded files in memory, in each process that reads them: 0.7 MB for
                320x240 with all labels.

        Raises:
            DataError: A folder, the list of the split or an image is missing, no task has a folder,
                or a task has no class names.
            ValueError: A task that has no folder.

        """
        available = _find_tasks(root)
        super().__init__(root, split, available if tasks is None else tasks, available, part)
        folders = [*self.tasks, *(f'{task}{CONFIDENCE}' for task in self.tasks)]
        self._labels = {name: _find_labels(root / name) for name in folders}
        self._cache: dict[Path, NDArray[Any]] | None = {} if cache else None

    def __getitem__(self, index: int) -> Sample:
        """Return a labelled image.

        Raises:
            IndexError: A number outside 0 to length - 1.
            DataError: A file that is damaged, or of another form.

        """
        sample = super().__getitem__(index)
        size = sample.image.shape[:2]
        found = ((task, self._stored(f'{task}{CONFIDENCE}', sample.name)) for task in sample.labels)
        weights = {
            task: cv2.resize(soft_mask(_check_form(*stored, Kind.PROBABILITY)), size[::-1])
            for task, stored in found
            if stored
        }
        return replace(sample, weights=weights) if weights else sample

    def read_image(self, path: Path) -> NDArray[np.uint8]:
        """Return an image, (H, W, 3) RGB."""
        return self._decode(path, read_rgb)

    def read_label(self, task: str, name: str) -> NDArray[np.generic] | None:
        """Return the label of an image in its own size; None if it has no file."""
        stored = self._stored(task, name)
        if stored is None:
            return None
        kind = TASKS[task].kind
        pixels = _check_form(*stored, kind)
        if kind is Kind.LABELS:
            return class_ids(pixels, len(self.tasks[task].classes), stored[0])
        if kind is Kind.DEPTH:
            return depth_from_millimeters(pixels)
        if kind is Kind.NORMALS:
            return unit_vectors(pixels * np.float32(2 / 255) - 1)
        return soft_mask(pixels)

    def _stored(self, folder: str, name: str) -> tuple[Path, NDArray[Any]] | None:
        """Return path and pixels of a file, None if there is none."""
        if name not in self._labels[folder]:
            return None
        path = self.root / folder / f'{name}.png'
        return path, self._decode(path, _read_pixels)

    def _decode(self, path: Path, read: Callable[[Path], NDArray[Any]]) -> NDArray[Any]:
        if self._cache is None:
            return read(path)
        if path not in self._cache:
            self._cache[path] = read(path)
        return self._cache[path]


def _find_tasks(root: Path) -> dict[str, Task]:
    """Return the tasks with a folder, with their class names."""
    tasks = {name: task for name, task in TASKS.items() if (root / name).is_dir()}
    if not tasks:
        raise DataError(
            f'{root} has no folder with labels; give a folder that has one of {", ".join(TASKS)}'
        )
    classes = _read_classes(root / CLASSES)
    for name, task in tasks.items():
        if task.kind is Kind.LABELS:
            if name not in classes:
                raise DataError(
                    f'{root / CLASSES} must name the classes of {name}, by id: '
                    f'`{name}: [floor, wall, ...]`; it names those of: '
                    f'{", ".join(classes) or "none"}'
                )
            tasks[name] = task.with_classes(classes[name])
    return tasks


def _read_classes(path: Path) -> dict[str, list[str]]:
    """Return the class names by task; none if there is no file."""
    if not path.is_file():
        return {}
    try:
        content = read_yaml(path) or {}
    except ConfigError as error:
        raise DataError(f'{error}') from error
    labelled = [name for name, task in TASKS.items() if task.kind is Kind.LABELS]
    if not isinstance(content, dict) or not set(content) <= set(labelled):
        raise DataError(f'{path} holds lists of class names for {", ".join(labelled)} only')
    for task, names in content.items():
        if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            raise DataError(f'{path}: {task} must be a list of names, quoted if numbers or yes/no')
        TASKS[task].with_classes(names)
    return content


def _find_labels(folder: Path) -> frozenset[str]:
    """Return the names of the images with a label in a folder; none if there is no folder."""
    files = [path for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []
    pictures = [path for path in files if path.suffix.lower() in OTHER_PICTURES]
    if pictures:
        raise DataError(f'{pictures[0]}: labels are PNG files, `<name>.png`; convert it')
    return frozenset(path.stem for path in files if path.suffix == '.png')


def _read_pixels(path: Path) -> NDArray[Any]:
    """Read the pixels of a PNG as stored: RGB in this order, the indices of a palette image."""
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise DataError(f'{path} cannot be read: it is no PNG image')
    if pixels.ndim == 2:
        return pixels
    # The byte after the size and the depth in the header: 3 is a palette, which OpenCV resolves.
    with path.open('rb') as file:
        palette = file.read(26)[25:] == b'\x03'
    return read_map(path) if palette else cv2.cvtColor(pixels[..., :3], cv2.COLOR_BGR2RGB)


def _check_form(path: Path, pixels: NDArray[Any], kind: Kind) -> NDArray[Any]:
    """Return the pixels if they have the form that this kind of task needs.

    Raises:
        DataError: Another type or number of channels.

    """
    dtype, axes, form = _FORMS[kind]
    if pixels.dtype != dtype or pixels.ndim != axes:
        channels = pixels.shape[2] if pixels.ndim == 3 else 1
        raise DataError(
            f'{path} has {channels} channels of {pixels.dtype.name}; labels of this task are {form}'
        )
    return pixels
