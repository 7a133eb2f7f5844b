# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Attention inside windows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from adamtl_ros.nn.adapted import AdaptedLinear
from adamtl_ros.nn.kept import Kept

if TYPE_CHECKING:
    from adamtl_ros.nn.windows import WindowGrid

CACHED_GRIDS = 4
"""Shifted and unshifted, for two input sizes."""


class WindowAttention(nn.Module):
    """Multi-head attention inside windows with a relative position bias (Swin, equation 4)."""

    relative_position_index: Tensor

    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = AdaptedLinear(dim, 3 * dim)
        self.proj = AdaptedLinear(dim, dim)
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.register_buffer('relative_position_index', _relative_index(window), persistent=False)
        self._kept: Kept[Tensor] = Kept(CACHED_GRIDS)

    def forward(self, x: Tensor, grid: WindowGrid, windows: Tensor | None = None) -> Tensor:
        """Attend inside each window; the arguments are those of `mix()`."""
        return self.proj(self.mix(x, grid, windows))

    def mix(self, x: Tensor, grid: WindowGrid, windows: Tensor | None = None) -> Tensor:
        """Attend inside each window, without the last linear layer.

        Args:
            x: (n, slots, C), windows of the grid.
            grid: How the tokens were cut.
            windows: (n,) number in the grid of each window of x; if not given, x holds all
                windows of one image after the other.

        """
        count, slots, dim = x.shape
        qkv = self.qkv(x).view(count, slots, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        bias = self._bias_of(grid, windows, q)
        out = _attend(q, k, v, bias)
        return out.transpose(1, 2).reshape(count, slots, dim)

    def _bias_of(self, grid: WindowGrid, windows: Tensor | None, queries: Tensor) -> Tensor:
        bias = self.bias(grid, queries.dtype)
        if len(bias) == 1:
            return bias
        if windows is not None:
            return bias.index_select(0, windows)
        return bias.repeat(len(queries) // grid.count, 1, 1, 1)

    def bias(self, grid: WindowGrid, dtype: torch.dtype) -> Tensor:
        """Position bias with -inf where attention is not allowed.

        Kept between calls for a few grids; see `Kept`.

        Returns:
            (windows, heads, slots, slots), or (1, ...) where all windows are alike.

        """
        table = self.relative_position_bias_table
        return self._kept.get(
            (grid, dtype), [table], lambda: self._make_bias(grid, dtype).contiguous()
        )

    def _make_bias(self, grid: WindowGrid, dtype: torch.dtype) -> Tensor:
        table = self.relative_position_bias_table
        bias = table[self.relative_position_index].permute(2, 0, 1)[None].to(dtype)
        if grid.mask is None:
            return bias
        # -inf, not the customary -100: exp(-100) is subnormal and slow on CPUs.
        return bias.masked_fill(grid.mask.to(table.device)[:, None], float('-inf'))


def _attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """Attend under a bias that leaves every query something to attend to."""
    if not bias.requires_grad:
        return functional.scaled_dot_product_attention(q, k, v, bias)
    # With a bias to be learned torch takes its slow way, which looks for queries that may attend
    # to nothing: a tenth of the time of a training step on a CPU.
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1) + bias
    return scores.softmax(-1) @ v


def _relative_index(window: int) -> Tensor:
    """Row of the bias table for each pair of slots, (slots, slots)."""
    axis = torch.arange(window)
    rows, columns = torch.meshgrid(axis, axis, indexing='ij')
    rows, columns = rows.flatten(), columns.flatten()
    dy = rows[:, None] - rows[None, :] + window - 1
    dx = columns[:, None] - columns[None, :] + window - 1
    return dy * (2 * window - 1) + dx
