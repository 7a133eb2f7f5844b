# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Picture files as a source."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import cv2
import numpy as np

from adamtl_ros.sources.frame import Frame, Source, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

SUFFIXES = (
    *('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff', '.ppm', '.pgm'),
    *('.jp2', '.avif', '.exr', '.hdr'),
)
"""Suffixes of picture files, in any case."""
PICTURES_HZ = 2.0
"""Pictures per second of a folder."""


class Pictures(Source):
    """Picture files in order, such as those of a folder."""

    def __init__(self, paths: Sequence[Path], name: str, rate_hz: float = PICTURES_HZ) -> None:
        """Set the files, which are read when it is their turn.

        Args:
            paths: Picture files.
            name: What they are, for people.
            rate_hz: Pictures per second.

        """
        super().__init__(name)
        self.paths, self.rate_hz, self.count = tuple(paths), rate_hz, len(paths)

    def frames(self) -> Iterator[Frame]:
        """Yield the pictures; one that cannot be read is left out.

        Raises:
            SourceError: None can be read.

        """
        self.skipped = []
        for index, path in enumerate(self.paths):
            try:
                image = read_picture(path)
            except SourceError as error:
                self.skipped.append(str(error))
                continue
            yield Frame(image, round(index * 1e9 / self.rate_hz), path.name)
        if len(self.skipped) == len(self.paths):
            raise SourceError(self.skipped[0])


def folder_pictures(folder: Path, rate_hz: float = PICTURES_HZ) -> Pictures:
    """Return the pictures of a folder, by name, where 10 comes after 9.

    Raises:
        SourceError: There are none.

    """
    paths = [path for path in folder.iterdir() if is_picture(path)]
    if not paths:
        inside = sorted(path.name for path in folder.iterdir())[:5]
        raise SourceError(
            f'{folder} holds no pictures ({", ".join(SUFFIXES[:5])}, ...) and is no bag; it holds: '
            f'{", ".join(inside) or "nothing"}'
        )
    return Pictures(sorted(paths, key=_by_number), str(folder), rate_hz)


def is_picture(path: Path) -> bool:
    """Return whether a path has the suffix of a picture file."""
    return path.suffix.lower() in SUFFIXES


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Read a picture, (H, W, 3) uint8, RGB, turned as its EXIF data say.

    Raises:
        SourceError: It cannot be read.

    """
    try:
        # By its bytes, since imread() refuses some characters of paths and warns by itself.
        data = np.fromfile(path, np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except (OSError, cv2.error) as error:
        raise SourceError(f'{path}: {getattr(error, "strerror", None) or error}') from error
    if image is None:
        raise SourceError(f'{path} is no picture that OpenCV reads')
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _by_number(path: Path) -> list[tuple[int, str]]:
    parts = re.split(r'(\d+)', path.name)
    return [(int(part), '') if part.isdecimal() else (-1, part) for part in parts]
