# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Camera image and task results side by side, for videos and reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from adamtl_ros.viz.colorize import colorize
from adamtl_ros.viz.legend import BACKGROUND, MARGIN, TEXT_COLOR, Legend, band_height

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from adamtl_ros.tasks import Task

    Picture = NDArray[np.uint8]

TILE_WIDTH, COLUMNS, LABEL_HEIGHT = 320, 4, 24
STRIP_SCALE = 0.6
GRID_LEGEND, STRIP_LEGEND = 3, 6
"""Lines of the legends below the tiles of a grid and below a strip."""


def tile(image: Picture, label: str) -> Picture:
    """Return a picture, resized to the width of a tile, below a label.

    Args:
        image: (H, W, 3) RGB.
        label: Text above the picture.

    """
    height = 2 * max(1, round(image.shape[0] * TILE_WIDTH / image.shape[1] / 2))
    made = np.full((LABEL_HEIGHT + height, TILE_WIDTH, 3), BACKGROUND, np.uint8)
    made[LABEL_HEIGHT:] = cv2.resize(image, (TILE_WIDTH, height), interpolation=cv2.INTER_AREA)
    put_text(made, label.replace('_', ' '), (8, 17))
    return made


def parts_run(blocks: tuple[int, int], windows: tuple[int, int]) -> str:
    """Return a line of text about the parts of the encoder that ran.

    Args:
        blocks: Number of blocks that ran, and of all.
        windows: The same of attention windows; (0, 0) for an encoder without any.

    """
    text = f'blocks {blocks[0]} of {blocks[1]}'
    return f'{text}, windows {windows[0]} of {windows[1]}' if windows[1] else text


def grid(
    camera: Picture,
    tiles: Mapping[str, Picture],
    tasks: Iterable[str],
    lines: list[str],
    legends: Mapping[str, Picture] | None = None,
) -> Picture:
    """Return tiles in rows of `COLUMNS`.

    Args:
        camera: Tile of the camera image.
        tiles: Tiles of the results by task; missing ones are left empty.
        tasks: Tasks in the order of their tiles.
        lines: Lines of text in the last tile.
        legends: Legends of `GRID_LEGEND` lines by task, below the tiles; None for pictures
            without legends.

    """
    empty = np.full_like(camera, BACKGROUND)
    tasks = tuple(tasks)
    pictures = [camera, *(tiles.get(name, empty) for name in tasks), _panel(empty, lines)]
    pictures += [empty] * (-len(pictures) % COLUMNS)
    if legends is not None:
        blank = np.full((band_height(GRID_LEGEND), TILE_WIDTH, 3), BACKGROUND, np.uint8)
        bands = [blank, *(legends.get(name, blank) for name in tasks)]
        bands += [blank] * (len(pictures) - len(bands))
        pictures = [np.vstack(pair) for pair in zip(pictures, bands, strict=True)]
    rows = [np.hstack(pictures[i : i + COLUMNS]) for i in range(0, len(pictures), COLUMNS)]
    return np.vstack(rows)


class Mosaic:
    """Tiles of the newest results of a stream, and their legends."""

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        """Start without results.

        Args:
            tasks: Tasks by name, with their classes, in the order of their tiles.

        """
        self._tasks, self._legend = tasks, Legend(tasks)
        self.tiles: dict[str, Picture] = {}
        self._legends: dict[str, Picture] = {}

    def add(self, name: str, result: NDArray[np.generic]) -> None:
        """Draw the result of a task, which is shown until the next."""
        self.tiles[name] = tile(colorize(self._tasks[name], result), name)
        self._legend.add(name, result)
        self._legends[name] = grid_legend(self._legend, name)

    def page(self, first: Picture, lines: list[str]) -> Picture:
        """Return all tiles with their legends.

        Args:
            first: First tile, such as `tile(image, 'camera')`.
            lines: Lines of text in the last tile.

        """
        return grid(first, self.tiles, self._tasks, lines, self._legends)


def strip(
    camera: Picture, tiles: Mapping[str, Picture], tasks: Iterable[str], text: str = ''
) -> Picture:
    """Return tiles in one row, smaller than in a grid.

    Args:
        camera: Tile of the camera image.
        tiles: Tiles of the results by task; missing ones are left empty.
        tasks: Tasks in the order of their tiles.
        text: Label of the camera image, in the place of its own.

    """
    shown = camera.copy()
    if text:
        shown[:LABEL_HEIGHT] = BACKGROUND
        put_text(shown, text, (8, 17))
    empty = np.full_like(camera, BACKGROUND)
    side_by_side = np.hstack([shown, *(tiles.get(name, empty) for name in tasks)])
    return cv2.resize(
        side_by_side, None, fx=STRIP_SCALE, fy=STRIP_SCALE, interpolation=cv2.INTER_AREA
    )


def grid_legend(legend: Legend, task: str) -> Picture:
    """Return the legend of a task for `grid()`."""
    return legend.draw(task, TILE_WIDTH, GRID_LEGEND)


def strip_legend(legend: Legend, tasks: Iterable[str]) -> Picture:
    """Return the legends of tasks side by side, to stand below pictures that `strip()` made.

    It is as high as its longest legend.
    """
    width = round(TILE_WIDTH * STRIP_SCALE)
    blank = np.full((band_height(STRIP_LEGEND), width, 3), BACKGROUND, np.uint8)
    bands = np.hstack([blank, *(legend.draw(name, width, STRIP_LEGEND) for name in tasks)])
    drawn = np.flatnonzero((bands != BACKGROUND).any(axis=(1, 2)))
    return bands[: drawn.max(initial=0) + 2 * MARGIN]


def put_text(image: Picture, text: str, position: tuple[int, int]) -> None:
    """Draw a line of text into a picture, from (x, y) on, in place."""
    cv2.putText(image, text, position, cv2.FONT_HERSHEY_SIMPLEX, 0.5, TEXT_COLOR, 1, cv2.LINE_AA)


def _panel(empty: Picture, lines: list[str]) -> Picture:
    panel = empty.copy()
    spacing = min(26, (panel.shape[0] - 52) // max(len(lines), 1))
    for index, line in enumerate(lines):
        put_text(panel, line, (16, 44 + spacing * index))
    return panel
