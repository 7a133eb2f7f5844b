# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Where in the image the encoder worked, and which of its blocks."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from adamtl_ros.nn.windows import window_grid

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray

    from adamtl_ros.nn.architecture import Architecture
    from adamtl_ros.nn.plan import Plan

MAP = (24, 32)
"""Height and width of the map, whatever the images measure."""


class Heat:
    """Adds up what ran, frame by frame."""

    def __init__(self, arch: Architecture) -> None:
        """Begin with nothing for an architecture."""
        self._arch = arch
        self.frames = 0
        self._blocks = np.zeros(sum(arch.depths), np.int64)
        self._map = np.zeros(MAP)

    def add(self, plan: Plan, size: tuple[int, int]) -> None:
        """Add a frame.

        Args:
            plan: What ran.
            size: Height and width that the network saw.

        """
        self.frames += 1
        self._blocks += [block.run for block in plan.blocks]
        height, width = (side // self._arch.patch for side in size)
        for stage in plan.stages:
            for number, block in enumerate(stage):
                if not block.run:
                    continue
                if block.windows is None:
                    self._map += 1
                else:
                    grid = (height, width, self._arch.window, number % 2 == 1)
                    self._map += sum(_place(*grid, window) for window in block.windows)
            height, width = (height + 1) // 2, (width + 1) // 2

    def empty(self) -> Self:
        """Return one for the same architecture, with nothing in it."""
        return type(self)(self._arch)

    def merge(self, other: Self) -> None:
        """Add the sums of another one."""
        self.frames += other.frames
        self._blocks += other._blocks
        self._map += other._map

    @property
    def blocks(self) -> NDArray[np.float64]:
        """Share of the frames in which each block ran."""
        return self._blocks / max(self.frames, 1)

    @property
    def map(self) -> NDArray[np.float64]:
        """Share of the blocks that ran at each place, on average over frames."""
        return self._map / max(self.frames * len(self._blocks), 1)


@lru_cache(maxsize=4096)
def _place(height: int, width: int, side: int, shifted: bool, window: int) -> NDArray[np.float32]:
    """Return where a window lies on the map, in 0..1."""
    grid = window_grid(height, width, side, shifted)
    padded = np.zeros(grid.padded, np.float32)
    padded.ravel()[grid.order.view(grid.count, -1)[window].numpy()] = 1
    inside = padded[:height, :width]
    return cv2.resize(inside, MAP[::-1], interpolation=cv2.INTER_AREA)
