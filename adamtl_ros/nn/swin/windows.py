# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Partition of a token grid into attention windows, as index vectors.

Tokens stay in window order throughout a stage. Between an unshifted and a shifted block one
gather reorders them, in place of the usual window_reverse, roll, roll back and window_partition.
Index vectors are cached, so they are made outside of inference mode: training may use them later.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor


def ceil_to(value: int, multiple: int) -> int:
    """Round up to a multiple."""
    return -(-value // multiple) * multiple


@dataclass(frozen=True)
class WindowGrid:
    """Token grid of height x width, padded to whole windows and partitioned after a cyclic shift.

    Liu et al. 2021, section 3.2. A side that one window covers is not shifted.

    Attributes:
        height: Tokens per column, without padding.
        width: Tokens per row, without padding.
        window: Side of a window, in tokens.
        shifted: Whether the windows are shifted by half a window.

    """

    height: int
    width: int
    window: int
    shifted: bool

    @property
    def padded(self) -> tuple[int, int]:
        """Height and width of the padded grid, in tokens."""
        return ceil_to(self.height, self.window), ceil_to(self.width, self.window)

    @property
    def count(self) -> int:
        """Number of windows."""
        height, width = self.padded
        return (height // self.window) * (width // self.window)

    @property
    def slots(self) -> int:
        """Number of tokens in a window."""
        return self.window**2

    @cached_property
    @torch.inference_mode(mode=False)
    def order(self) -> Tensor:
        """Row-major index into the padded grid of each token in window order, (tokens,)."""
        height, width = self.padded
        rows, columns = self._axis(height), self._axis(width)
        index = rows[:, None, :, None] * width + columns[None, :, None, :]
        return index.reshape(-1)

    @cached_property
    @torch.inference_mode(mode=False)
    def mask(self) -> Tensor | None:
        """Pairs of slots that may not attend, (windows, slots, slots) bool; None if all may.

        Tokens that are adjacent only by the cyclic shift do not attend to each other, nor do
        tokens and padding. Every token may attend to itself, so no row is all True.
        """
        height, width = self.padded
        rows = self._regions(height, self.height)
        columns = self._regions(width, self.width)
        region = (rows[:, None] * 4 + columns[None, :]).reshape(-1)[self.order]
        region = region.view(self.count, -1)
        blocked = region[:, :, None] != region[:, None, :]
        return blocked if bool(blocked.any()) else None

    def _shift(self, side: int) -> int:
        return self.window // 2 if self.shifted and side > self.window else 0

    def _axis(self, side: int) -> Tensor:
        positions = (torch.arange(side) + self._shift(side)) % side
        return positions.view(-1, self.window)

    def _regions(self, side: int, valid: int) -> Tensor:
        positions = torch.arange(side)
        wrapped = positions < self._shift(side)
        return wrapped.long() + 2 * (positions >= valid).long()


@lru_cache(maxsize=256)
def window_grid(height: int, width: int, window: int, shifted: bool) -> WindowGrid:
    """Return the grid of a size; cached, so that its index vectors are."""
    return WindowGrid(height, width, window, shifted)


@lru_cache(maxsize=256)
@torch.inference_mode(mode=False)
def permutation(
    source: WindowGrid | None, target: WindowGrid | None, device: torch.device
) -> Tensor:
    """Return the index that moves tokens from one window order to another, (tokens,).

    None stands for row-major order of the padded grid; at least one side must be a grid.
    """
    if target is None:
        assert source is not None
        index = torch.argsort(source.order)
    elif source is None:
        index = target.order
    else:
        index = torch.argsort(source.order)[target.order]
    return index.to(device)


def reorder(x: Tensor, source: WindowGrid | None, target: WindowGrid | None) -> Tensor:
    """Reorder tokens (B, padded tokens, C) from one window order to another; None is row-major."""
    if source == target:
        return x
    return x.index_select(1, permutation(source, target, x.device))
