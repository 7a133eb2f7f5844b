# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Base class of data sets in folders, with image files and label files for each task.

Published data sets are packed like this; `nyud.Nyud` is an example of a subclass, and
`labelled_folder.LabelledFolder` the one for a folder of your own.
"""

from __future__ import annotations

import importlib
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import cv2
import numpy as np

from adamtl_ros.data.transforms import resize_label
from adamtl_ros.labels import unit_vectors
from adamtl_ros.sample import DataError, Sample
from adamtl_ros.tasks import select

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from adamtl_ros.tasks import Task


@dataclass(frozen=True)
class FolderLayout:
    """Places of the files of a data set, as paths below its root.

    Attributes:
        archive: Where to get it: name and URL of an archive, for errors.
        splits: Folder of the lists of image names, one .txt for each split.
        images: Folder of the images.
        labels: Required folders by task; tasks that are missing require none.
        suffixes: Suffixes of images; the first one that exists is read.

    """

    archive: str
    splits: str
    images: str
    labels: Mapping[str, tuple[str, ...]]
    suffixes: tuple[str, ...] = ('.jpg',)


class ImageFolder(ABC):
    """Images of one split with the labels of the requested tasks; a `Dataset`.

    A subclass sets `layout`, and reads the labels. The images and the folders of `layout` must
    exist; a task whose label file is missing is not in the sample.

    Attributes:
        layout: Places of the files.
        tasks: Requested tasks, with the class names of the data set.
        names: Image names in the order of the split.

    """

    layout: ClassVar[FolderLayout]

    def __init__(
        self,
        root: Path,
        split: str,
        tasks: Iterable[str],
        available: Mapping[str, Task],
        part: Sequence[int | None] = (None, None),
    ) -> None:
        """Check the folders.

        Args:
            root: Folder of the unpacked archive.
            split: Name of the list of images, without .txt.
            tasks: Tasks to read the labels of.
            available: All tasks of the data set, with its class names.
            part: Index of the first image in the list and of the one after the last; negative ones
                count from the end, None is an end of the list.

        Raises:
            DataError: A folder, the list of the split or an image is missing.
            ValueError: A task that the data set has no labels for.

        """
        self.root = root
        selected = select(tasks, available)
        self.tasks: Mapping[str, Task] = {name: available[name] for name in selected}
        folders = [folder for task in self.tasks for folder in self.layout.labels.get(task, ())]
        for folder in ('', self.layout.images, self.layout.splits, *folders):
            self._require(root / folder)
        self.names = _slice(self._read_split(split), part)
        self._images = self._find_images()

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        """Return a labelled image.

        Raises:
            IndexError: A number outside 0 to length - 1.
            DataError: A file that is damaged, or of another layout.

        """
        if not 0 <= index < len(self):
            raise IndexError(f'image {index} is outside 0 to {len(self) - 1}')
        name = self.names[index]
        image = self.read_image(self._images[index])
        found = ((task, self.read_label(task, name)) for task in self.tasks)
        labels = {
            task: resize_label(task, label, image.shape[:2])
            for task, label in found
            if label is not None
        }
        return Sample(image, labels, name)

    def read_image(self, path: Path) -> NDArray[np.uint8]:
        """Return an image, (H, W, 3) RGB."""
        return read_rgb(path)

    @abstractmethod
    def read_label(self, task: str, name: str) -> NDArray[np.generic] | None:
        """Return the label of an image in any size; None if it has no file.

        Args:
            task: Name of the task.
            name: Name of the image.

        """

    def _require(self, path: Path) -> None:
        if not path.exists():
            tasks = ', '.join(self.tasks) or 'none'
            raise DataError(
                f'{path} is missing, which the tasks {tasks} need; unpack {self.layout.archive} '
                f'and give the folder that holds {self.layout.images}/, or leave tasks out'
            )

    def _read_split(self, split: str) -> tuple[str, ...]:
        path = self.root / self.layout.splits / f'{split}.txt'
        if not path.is_file():
            found = ', '.join(sorted(file.stem for file in path.parent.glob('*.txt'))) or 'none'
            raise DataError(f"{path} is missing: no split '{split}', there are: {found}")
        names = tuple(path.read_text(encoding='utf-8').split())
        if not names:
            raise DataError(f'{path} names no images; take it from {self.layout.archive} again')
        return names

    def _find_images(self) -> list[Path]:
        folder = self.root / self.layout.images
        # One listing instead of ten thousand checks: folders of data sets are often remote.
        files = set(os.listdir(folder))  # noqa: PTH208  names, not paths
        suffixes = self.layout.suffixes
        paths = [
            folder / next((file for end in suffixes if (file := name + end) in files), name)
            for name in self.names
        ]
        missing = [f'{path}{suffixes[0]}' for path in paths if path.name not in files]
        if missing:
            raise DataError(
                f'{missing[0]} is missing, and with it {len(missing)} of {len(paths)} images of '
                f'the split; take them from {self.layout.archive}'
            )
        return paths


def _slice(names: tuple[str, ...], part: Sequence[int | None]) -> tuple[str, ...]:
    """Return the names from the first to before the last index of a part."""
    try:
        first, last = part
        found = names[first:last]
    except (TypeError, ValueError) as error:
        raise DataError(f'part is [first, last], whole numbers or null, got {part}') from error
    if not found:
        raise DataError(f'part {list(part)} of {len(names)} images has none')
    return found


def find_file(folder: Path, name: str, suffixes: Sequence[str]) -> Path | None:
    """Return the file with a name and the first suffix that exists; None if there is none."""
    paths = (folder / f'{name}{suffix}' for suffix in suffixes)
    return next((path for path in paths if path.is_file()), None)


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Read an image, (H, W, 3) uint8, RGB, as stored: labels ignore the EXIF orientation, too."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise unreadable(path, 'it is no image')
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def read_normals(path: Path) -> NDArray[np.float32]:
    """Read (H, W, 3) unit vectors from an array, or from an image where 0..255 means -1..1."""
    stored = read_map(path) if path.suffix == '.npy' else read_rgb(path)
    if stored.ndim != 3 or stored.shape[2] != 3:
        raise unreadable(path, f'normals are (height, width, 3), not {stored.shape}')
    vectors = unit_vectors(stored * np.float32(2 / 255) - 1 if stored.dtype == np.uint8 else stored)
    if not np.isfinite(vectors).any():
        raise unreadable(path, 'no vector has a length near 1')
    return vectors


def read_map(path: Path, key: str = '') -> NDArray[Any]:
    """Read a .npy file, the array `key` of a .mat file, or the pixel values of an image."""
    if path.suffix == '.mat':
        return read_mat(path, key)
    try:
        if path.suffix == '.npy':
            return np.load(path)
        # OpenCV would replace the indices of a palette image by colors.
        return np.asarray(_optional('PIL.Image', 'pillow').open(path))
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise unreadable(path, error) from error


def read_mat(path: Path, key: str) -> NDArray[Any]:
    """Read an array of a MATLAB file.

    Raises:
        DataError: A damaged file, no such array, or scipy is missing.

    """
    scipy_io = _optional('scipy.io', 'scipy')
    try:
        content = scipy_io.loadmat(path)
    except Exception as error:  # the parser of scipy raises anything
        raise unreadable(path, error) from error
    if key not in content:
        found = ', '.join(name for name in content if not name.startswith('__')) or 'nothing'
        raise unreadable(path, f"there is no '{key}', it holds: {found}")
    return np.asarray(content[key])


def unreadable(path: Path, reason: object) -> DataError:
    """Return the error for a file that cannot be used."""
    return DataError(f'{path} cannot be read: {reason}; take it from the archive again')


def _optional(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise DataError(f'this data set needs {package}: pip install {package}') from error
