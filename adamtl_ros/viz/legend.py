# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Legends of result pictures: the classes that are present, and scales of depth and others."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from adamtl_ros.tasks import UNLABELLED, Kind
from adamtl_ros.viz.colorize import class_colors, colorize

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from adamtl_ros.tasks import Task

    Picture = NDArray[np.uint8]

TEXT_COLOR, OUTLINE, BACKGROUND = (235, 235, 235), (130, 130, 130), 24
SMALLEST = 0.002
"""Least fraction of the pixels of a class in a legend; less is a few specks."""
MEMORY = 0.9
"""Weight of the frames before in the fractions that order a legend, for each further frame.

Ordered by single frames, the names of a video would change places too fast to be read.
"""
NEAREST_M, FARTHEST_M = 0.3, 20.0
"""Range of the scale of depth [m]."""
DEPTH_TICKS_M = (0.5, 1, 2, 4, 8, 16)
NORMALS_KEY = {'right': (1, 0, 0), 'up': (0, -1, 0), 'to the camera': (0, 0, -1)}
"""Directions of surfaces in the legend of normals, in the optical frame."""


class Entry(NamedTuple):
    """Entry of a legend: text beside a swatch of a color; without one if the color is None."""

    text: str
    color: tuple[int, ...] | None


class Legend:
    """Legend of the pictures of some tasks, over one image or a stream of images.

    Classes are listed by their share of the pixels, largest first. Over a stream the shares are
    those of the last frames, with weights that fall exponentially, and only classes of the newest
    frame are listed.
    """

    def __init__(self, tasks: Mapping[str, Task], memory: float = MEMORY) -> None:
        """Start without frames.

        Args:
            tasks: Tasks by name, with their classes.
            memory: Weight of the frames before, 0 to 1; 1 for equal weights of all frames, whose
                classes are then all listed.

        """
        self._tasks, self._memory = tasks, memory
        self._totals = {
            name: np.zeros(UNLABELLED + 1)
            for name, task in tasks.items()
            if task.kind is Kind.LABELS
        }
        self._newest = dict(self._totals)

    def add(self, name: str, result: NDArray[np.generic]) -> None:
        """Add the result of a task, in the form that the node publishes."""
        if name in self._totals:
            counts = np.bincount(result.ravel(), minlength=UNLABELLED + 1)
            self._newest[name] = counts / result.size
            self._totals[name] = self._memory * self._totals[name] + self._newest[name]

    def classes(self, name: str) -> list[int]:
        """Return the class ids to list for a label task, largest first."""
        total = self._totals[name]
        if not total.any():
            return []
        present = total / total.sum() if self._memory == 1 else self._newest[name]
        listed = np.flatnonzero(present >= SMALLEST)
        return [int(i) for i in listed[np.argsort(-total[listed], kind='stable')]]

    def draw(self, name: str, width: int, rows: int, scale: float = 1.0) -> Picture:
        """Return the legend of a task as a band, (`band_height(rows, scale)`, width, 3) RGB.

        Args:
            name: Name of the task.
            width: Width of the band [px].
            rows: Number of lines; classes that find no place are counted at the end.
            scale: Factor of the size of the text; 1 suits pictures of 320x240.

        """
        task = self._tasks[name]
        band = np.full((band_height(rows, scale), width, 3), BACKGROUND, np.uint8)
        if task.kind is Kind.DEPTH:
            _draw_bar(band, task, scale)
        elif task.kind is Kind.LABELS:
            _draw_entries(band, self.entries(name), rows, scale)
        elif task.kind is Kind.NORMALS:
            _draw_entries(band, _normals_entries(task), rows, scale)
        else:
            _draw_entries(band, [Entry('0 %', (0, 0, 0)), Entry('100 %', (255,) * 3)], rows, scale)
        return band

    def entries(self, name: str) -> list[Entry]:
        """Return names and colors of the classes to list for a label task, largest first."""
        names = self._tasks[name].classes
        colors = class_colors(names).tolist()
        return [
            Entry(names[i].replace('_', ' ') if i < len(names) else 'unlabelled', tuple(colors[i]))
            for i in self.classes(name)
        ]


def with_legend(picture: Picture, task: Task, result: NDArray[np.generic]) -> Picture:
    """Return a picture of a result above its legend.

    Args:
        picture: (H, W, 3) RGB, such as `colorize(task, result)`.
        task: The task, with its classes.
        result: The result, in the form that the node publishes.

    """
    legend = Legend({task.name: task})
    legend.add(task.name, result)
    width = picture.shape[1]
    return np.vstack([picture, legend.draw(task.name, width, 3, max(1.0, width / 480))])


def band_height(rows: int, scale: float = 1.0) -> int:
    """Return the height of a legend of so many lines [px]; it is even, for videos."""
    return 2 * round((rows * LINE + 2 * MARGIN) * scale / 2)


FONT, FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.4
LINE, MARGIN, SWATCH, SPACE = 16, 3, 10, 10
"""Height of a line, free border, side of a swatch, and space between entries [px] at scale 1."""


def _draw_entries(band: Picture, entries: list[Entry], rows: int, scale: float) -> None:
    """Draw as many entries as fit, line by line, and the number of the others."""
    lines = _lines(entries, band.shape[1], rows, scale)
    for number, line in enumerate(lines):
        x = _px(SPACE / 2, scale)
        top = _px(MARGIN + number * LINE, scale)
        for entry in line:
            _draw_entry(band, entry, (x, top), scale)
            x += _entry_width(entry, scale)


def _lines(entries: list[Entry], width: int, rows: int, scale: float) -> list[list[Entry]]:
    """Return the entries by line; the last may be the number of those that have no place."""
    for count in range(len(entries), -1, -1):
        left = len(entries) - count
        shown = [*entries[:count], *([Entry(f'+ {left} more', None)] if left else [])]
        lines = _flow(shown, width - _px(SPACE / 2, scale), scale)
        if len(lines) <= rows:
            return lines
    return []


def _flow(entries: list[Entry], width: int, scale: float) -> list[list[Entry]]:
    """Return the entries broken into lines of a width."""
    lines: list[list[Entry]] = []
    used = width
    for entry in entries:
        needed = _entry_width(entry, scale)
        if used + needed > width or not lines:
            lines.append([])
            used = 0
        lines[-1].append(entry)
        used += needed
    return lines


def _entry_width(entry: Entry, scale: float) -> int:
    swatch = SWATCH + 4 if entry.color else 0
    return _text_width(entry.text, scale) + _px(swatch + SPACE, scale)


def _draw_entry(band: Picture, entry: Entry, corner: tuple[int, int], scale: float) -> None:
    x, top = corner
    side = _px(SWATCH, scale)
    if entry.color:
        low = top + _px((LINE - SWATCH) / 2, scale)
        cv2.rectangle(band, (x, low), (x + side, low + side), entry.color, -1)
        cv2.rectangle(band, (x, low), (x + side, low + side), OUTLINE, 1)
        x += side + _px(4, scale)
    _put(band, entry.text, (x, top + _px(LINE - 4, scale)), scale)


def _draw_bar(band: Picture, task: Task, scale: float) -> None:
    """Draw the colors of depth on a logarithmic axis, with its meters below."""
    left, top, height = _px(SPACE / 2, scale), _px(MARGIN + 2, scale), _px(SWATCH, scale)
    width = band.shape[1] - 2 * left
    depths = np.geomspace(NEAREST_M, FARTHEST_M, width, dtype=np.float32)
    band[top : top + height, left : left + width] = colorize(task, depths[None])
    span = np.log(FARTHEST_M / NEAREST_M)
    below = top + height + _px(LINE - 2, scale)
    for tick in DEPTH_TICKS_M:
        x = left + round(np.log(tick / NEAREST_M) / span * (width - 1))
        band[top + height : top + height + _px(3, scale), x] = TEXT_COLOR
        text = f'{tick:g} m' if tick == DEPTH_TICKS_M[-1] else f'{tick:g}'
        begin = x - _text_width(f'{tick:g}', scale) // 2
        last = band.shape[1] - _text_width(text, scale) - 1
        _put(band, text, (max(0, min(begin, last)), below), scale)


def _normals_entries(task: Task) -> list[Entry]:
    shown = colorize(task, np.array([list(NORMALS_KEY.values())], np.float32))[0].tolist()
    return [Entry(text, tuple(color)) for text, color in zip(NORMALS_KEY, shown, strict=True)]


def _put(band: Picture, text: str, position: tuple[int, int], scale: float) -> None:
    cv2.putText(band, text, position, FONT, FONT_SCALE * scale, TEXT_COLOR, 1, cv2.LINE_AA)


def _text_width(text: str, scale: float) -> int:
    return int(cv2.getTextSize(text, FONT, FONT_SCALE * scale, 1)[0][0])


def _px(length: float, scale: float) -> int:
    return round(length * scale)
