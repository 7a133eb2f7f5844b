# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Swin encoder (Liu et al. 2021) for any input size, with blocks that can be left out.

Parameter names follow Microsoft's repository; its last norm is `norms.3` here.
Windows are the leading axis through attention and MLP: (images * windows, slots, channels).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from adamtl_ros.nn.windows import WindowGrid, regather, window_grid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adamtl_ros.nn.architecture import Architecture


CACHED_GRIDS = 4
"""Shifted and unshifted, for two input sizes."""


class PatchEmbed(nn.Module):
    """Image (B, 3, H, W) to tokens (B, H/patch, W/patch, C); the image is zero-padded to fit."""

    def __init__(self, dim: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.proj = nn.Conv2d(3, dim, patch, patch)
        self.norm = nn.LayerNorm(dim)

    def forward(self, images: Tensor) -> Tensor:
        """Embed the patches."""
        height, width = images.shape[-2:]
        images = functional.pad(images, (0, -width % self.patch, 0, -height % self.patch))
        return self.norm(self.proj(images).permute(0, 2, 3, 1))


class PatchMerging(nn.Module):
    """Tokens (B, H, W, C) to (B, H/2, W/2, 2C); odd sides are zero-padded."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim)
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Merge two by two tokens."""
        height, width = x.shape[1:3]
        x = functional.pad(x, (0, 0, 0, width % 2, 0, height % 2))
        # Order of the official weights: down the column first.
        quarters = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(torch.cat(quarters, -1)))


class WindowAttention(nn.Module):
    """Multi-head attention inside windows with a relative position bias (equation 4)."""

    relative_position_index: Tensor

    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.register_buffer('relative_position_index', _relative_index(window), persistent=False)
        self._cache: dict[tuple[object, ...], Tensor] = {}

    def forward(self, x: Tensor, grid: WindowGrid) -> Tensor:
        """Attend inside each window of x, (images * windows, slots, C)."""
        count, slots, dim = x.shape
        qkv = self.qkv(x).view(count, slots, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        bias = self.bias(grid, q.dtype)
        if count > grid.count:
            bias = bias.repeat(count // grid.count, 1, 1, 1)
        out = functional.scaled_dot_product_attention(q, k, v, bias)
        return self.proj(out.transpose(1, 2).reshape(count, slots, dim))

    def bias(self, grid: WindowGrid, dtype: torch.dtype) -> Tensor:
        """Position bias with -inf where attention is not allowed, (windows, heads, slots, slots).

        Kept between calls for a few grids while no gradient is asked for and the table does not
        change; writing to `table.data` goes unseen.
        """
        table = self.relative_position_bias_table
        if torch.is_grad_enabled() or table.is_inference():
            return self._make_bias(grid, dtype)
        key = (grid, dtype, table.device, table.data_ptr(), table._version)  # noqa: SLF001
        if key not in self._cache:
            if len(self._cache) >= CACHED_GRIDS:
                self._cache.clear()
            self._cache[key] = self._make_bias(grid, dtype).contiguous()
        return self._cache[key]

    def _make_bias(self, grid: WindowGrid, dtype: torch.dtype) -> Tensor:
        table = self.relative_position_bias_table
        bias = table[self.relative_position_index].permute(2, 0, 1)[None].to(dtype)
        if grid.mask is None:
            return bias.expand(grid.count, -1, -1, -1)
        # -inf, not the customary -100: exp(-100) is subnormal and slow on CPUs.
        return bias.masked_fill(grid.mask.to(table.device)[:, None], float('-inf'))


class Mlp(nn.Module):
    """Two linear layers with GELU between them."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Apply to the last axis."""
        return self.fc2(functional.gelu(self.fc1(x)))


class SwinBlock(nn.Module):
    """Window attention and MLP, each normalised first and added to the stream (equation 3)."""

    def __init__(self, dim: int, heads: int, window: int, mlp_ratio: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, heads, window)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, mlp_ratio * dim)

    def forward(self, x: Tensor, grid: WindowGrid) -> Tensor:
        """Run on tokens in window order, (images * windows, slots, C)."""
        x = x + self.attn(self.norm1(x), grid)
        return x + self.mlp(self.norm2(x))


class SwinStage(nn.Module):
    """Blocks of one resolution, every second one shifted, and the merging before the next."""

    def __init__(self, arch: Architecture, stage: int) -> None:
        super().__init__()
        dim, heads = arch.dims[stage], arch.heads[stage]
        self.window = arch.window
        self.blocks = nn.ModuleList(
            SwinBlock(dim, heads, arch.window, arch.mlp_ratio) for _ in range(arch.depths[stage])
        )
        last = stage == len(arch.depths) - 1
        self.downsample = None if last else PatchMerging(dim)

    def forward(self, x: Tensor, run: Sequence[bool]) -> Tensor:
        """Run the chosen blocks on tokens (B, H, W, C); the others cost nothing."""
        if not any(run):
            return x
        height, width = x.shape[1:3]
        x = functional.pad(x, (0, 0, 0, -width % self.window, 0, -height % self.window))
        grid = None
        for index, block in enumerate(self.blocks):
            if run[index]:
                target = window_grid(height, width, self.window, index % 2 == 1)
                x, grid = _to_windows(x, grid, target), target
                x = block(x, target)
        assert grid is not None
        return _to_rows(x, grid)


class SwinEncoder(nn.Module):
    """Four stages of Swin blocks; gives the normalised features of each."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(arch.embed_dim, arch.patch)
        self.layers = nn.ModuleList(SwinStage(arch, stage) for stage in range(len(arch.depths)))
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for dim in arch.dims)

    def forward(self, images: Tensor, run: Sequence[Sequence[bool]]) -> list[Tensor]:
        """Encode images.

        Args:
            images: (B, 3, H, W), normalised.
            run: For each stage, for each block, whether it runs.

        Returns:
            Features of the stages, (B, H/4, W/4, C) to (B, H/32, W/32, 8C), sides rounded up.

        """
        x = self.patch_embed(images)
        features = []
        for layer, norm, chosen in zip(self.layers, self.norms, run, strict=True):
            x = layer(x, chosen)
            features.append(norm(x))
            if isinstance(layer.downsample, PatchMerging):
                x = layer.downsample(x)
        return features


def _relative_index(window: int) -> Tensor:
    """Row of the bias table for each pair of slots, (slots, slots)."""
    axis = torch.arange(window)
    rows, columns = torch.meshgrid(axis, axis, indexing='ij')
    rows, columns = rows.flatten(), columns.flatten()
    dy = rows[:, None] - rows[None, :] + window - 1
    dx = columns[:, None] - columns[None, :] + window - 1
    return dy * (2 * window - 1) + dx


def _to_windows(x: Tensor, source: WindowGrid | None, target: WindowGrid) -> Tensor:
    """Bring tokens, (B, H, W, C) rows or windows of `source`, into the order of `target`."""
    if source == target:
        return x
    dim = x.shape[-1]
    tokens = target.count * target.window**2
    index = regather(source, target, x.device)
    return x.reshape(-1, tokens, dim).index_select(1, index).view(-1, target.window**2, dim)


def _to_rows(x: Tensor, grid: WindowGrid) -> Tensor:
    """Bring windows back into a map and cut the padding off, (B, H, W, C)."""
    dim = x.shape[-1]
    height, width = grid.padded
    rows = x.view(-1, height * width, dim).index_select(1, regather(grid, None, x.device))
    return rows.view(-1, height, width, dim)[:, : grid.height, : grid.width]
