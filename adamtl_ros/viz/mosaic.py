# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A camera image and the results of its tasks side by side, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from fractions import Fraction

    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]

TILE_WIDTH, COLUMNS, LABEL_HEIGHT = 320, 4, 24
INK, PAPER = (235, 235, 235), 24
SHRINK = 0.6


def tile(image: Picture, label: str) -> Picture:
    """Shrink a picture to the width of a tile, under its label."""
    height = 2 * max(1, round(image.shape[0] * TILE_WIDTH / image.shape[1] / 2))
    made = np.full((LABEL_HEIGHT + height, TILE_WIDTH, 3), PAPER, np.uint8)
    made[LABEL_HEIGHT:] = cv2.resize(image, (TILE_WIDTH, height), interpolation=cv2.INTER_AREA)
    write(made, label.replace('_', ' '), (8, 17))
    return made


def page(
    camera: Picture, tiles: Mapping[str, Picture], tasks: Iterable[str], lines: list[str]
) -> Picture:
    """Lay out the tile of the camera, one for each task, and one with some lines of text."""
    empty = np.full_like(camera, PAPER)
    pictures = [camera, *(tiles.get(name, empty) for name in tasks), _panel(empty, lines)]
    pictures += [empty] * (-len(pictures) % COLUMNS)
    rows = [np.hstack(pictures[i : i + COLUMNS]) for i in range(0, len(pictures), COLUMNS)]
    return np.vstack(rows)


def row(
    camera: Picture, tiles: Mapping[str, Picture], tasks: Iterable[str], text: str = ''
) -> Picture:
    """Lay out tiles side by side, smaller than on a page; a text takes the camera's label."""
    shown = camera.copy()
    if text:
        shown[:LABEL_HEIGHT] = PAPER
        write(shown, text, (8, 17))
    empty = np.full_like(camera, PAPER)
    side_by_side = np.hstack([shown, *(tiles.get(name, empty) for name in tasks)])
    return cv2.resize(side_by_side, None, fx=SHRINK, fy=SHRINK, interpolation=cv2.INTER_AREA)


def write(image: Picture, text: str, position: tuple[int, int]) -> None:
    """Write a line into a picture."""
    cv2.putText(image, text, position, cv2.FONT_HERSHEY_SIMPLEX, 0.5, INK, 1, cv2.LINE_AA)


def add_stream(container: Any, picture: Picture, rate: Fraction) -> Any:
    """Add an H.264 stream for pictures of this size to a container of PyAV."""
    stream = container.add_stream('libx264', rate=rate, options={'crf': '20', 'preset': 'veryfast'})
    stream.height, stream.width = picture.shape[:2]
    stream.pix_fmt = 'yuv420p'
    return stream


def _panel(empty: Picture, lines: list[str]) -> Picture:
    panel = empty.copy()
    spacing = min(26, (panel.shape[0] - 52) // max(len(lines), 1))
    for index, line in enumerate(lines):
        write(panel, line, (16, 44 + spacing * index))
    return panel
