# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Which cells of the policy's map lie under which windows and tokens."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from adamtl_ros.nn.windows import WindowGrid, ceil_to, window_grid

if TYPE_CHECKING:
    from adamtl_ros.nn.architecture import Architecture

CELL = 4
"""Side of a cell, in tokens of the first stage."""


def cell_grid(height: int, width: int) -> tuple[int, int]:
    """Cells of the policy's map for a grid of tokens."""
    return ceil_to(height, CELL) // CELL, ceil_to(width, CELL) // CELL


@lru_cache(maxsize=64)
@torch.inference_mode(mode=False)
def places(
    arch: Architecture, grid: tuple[int, int], kind: str, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Cells under each window or token of each block, and which of these there are not.

    Returns:
        Index into the flattened map, (4, blocks, windows) or (1, blocks, windows, slots), and
        a mask without the first axis.

    """
    found = []
    height, width = grid
    for stage, depth in enumerate(arch.depths):
        cuts = [window_grid(height, width, arch.window, k % 2 == 1) for k in range(depth)]
        for cut in cuts:
            cell, inside = _under(cut, cell_grid(*grid), kind)
            found.append((cell * len(arch.depths) + stage, inside))
        height, width = (height + 1) // 2, (width + 1) // 2
    most = max(inside.shape[0] for _, inside in found)
    cells = torch.stack([_lengthen(cell, 1, most) for cell, _ in found], 1)
    inside = torch.stack([_lengthen(mask, 0, most) for _, mask in found])
    return cells.to(device), ~inside.to(device)


def _under(grid: WindowGrid, cells: tuple[int, int], kind: str) -> tuple[Tensor, Tensor]:
    """Cells under the windows, (4, windows), or tokens, (1, windows, slots), of one grid."""
    slots = grid.order.view(grid.count, grid.window, grid.window)
    if kind == 'windows':
        middles = torch.tensor([grid.window // 4, grid.window - 1 - grid.window // 4])
        slots = slots[:, middles][:, :, middles].flatten(1).T
        inside = torch.ones(grid.count, dtype=torch.bool)
    else:
        slots = slots.flatten(1)[None]
        rows, columns = slots[0] // grid.padded[1], slots[0] % grid.padded[1]
        inside = (rows < grid.height) & (columns < grid.width)
    row = (slots // grid.padded[1]).clamp(max=grid.height - 1) * cells[0] // grid.height
    column = (slots % grid.padded[1]).clamp(max=grid.width - 1) * cells[1] // grid.width
    return row * cells[1] + column, inside


def _lengthen(x: Tensor, axis: int, length: int) -> Tensor:
    """Pad an axis with zeros, or False, at its end."""
    shape = list(x.shape)
    shape[axis] = length - shape[axis]
    return torch.cat([x, x.new_zeros(shape)], axis)
