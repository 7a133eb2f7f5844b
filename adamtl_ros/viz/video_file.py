# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Video file of pictures with times of their own."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]


class VideoFile:
    """H.264 video; the first picture sets its size, later ones are cropped or padded."""

    def __init__(self, path: Path) -> None:
        """Set the file, which the first picture creates; its suffix is the container's."""
        self._path = path
        self._container: Any = None
        self._stream: Any = None
        self._first = self._last = 0

    def add(self, picture: Picture, time_ns: int) -> None:
        """Add a picture.

        Args:
            picture: (H, W, 3) RGB; odd sides lose a row or column.
            time_ns: When it is shown, on any clock [ns]; times that do not rise are moved on.

        """
        if self._container is None:
            self._open(picture, time_ns)
        if picture.shape[:2] != (self._stream.height, self._stream.width):
            picture = _crop_or_pad(picture, self._stream.height, self._stream.width)
        image = av.VideoFrame.from_ndarray(picture, 'rgb24')
        # Presentation times must increase even where times of recording do not.
        self._last = max(self._last + 1, (time_ns - self._first) // 1_000_000)
        image.pts, image.time_base = self._last, Fraction(1, 1000)
        self._container.mux(self._stream.encode(image))

    def close(self) -> None:
        """Finish the file."""
        if self._container is not None:
            self._container.mux(self._stream.encode())
            self._container.close()

    def _open(self, picture: Picture, time_ns: int) -> None:
        self._container = av.open(str(self._path), 'w')
        self._stream = add_stream(self._container, picture, Fraction(1000))
        self._stream.time_base = self._stream.codec_context.time_base = Fraction(1, 1000)
        self._first, self._last = time_ns, -1


def add_stream(container: Any, picture: Picture, rate: Fraction) -> Any:
    """Add an H.264 stream for pictures of the same size to a PyAV container and return it."""
    stream = container.add_stream('libx264', rate=rate, options={'crf': '20', 'preset': 'veryfast'})
    stream.height, stream.width = (side - side % 2 for side in picture.shape[:2])
    stream.pix_fmt = 'yuv420p'
    return stream


def _crop_or_pad(picture: Picture, height: int, width: int) -> Picture:
    """Return a picture of another size, aligned at the top left corner."""
    made = np.zeros((height, width, 3), np.uint8)
    rows, columns = min(height, picture.shape[0]), min(width, picture.shape[1])
    made[:rows, :columns] = picture[:rows, :columns]
    return made
