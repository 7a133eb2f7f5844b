# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Swin encoder (Liu et al. 2021) for any input size, of which any part can be left out.

Parameter names follow Microsoft's repository; its last norm is `norms.3` here.
Windows are the leading axis through attention and MLP: (images * windows, slots, channels).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from adamtl_ros.nn.attention import WindowAttention
from adamtl_ros.nn.inplace import add, gelu
from adamtl_ros.nn.windows import WindowGrid, regather, window_grid

if TYPE_CHECKING:
    from adamtl_ros.nn.architecture import Architecture


class PatchEmbed(nn.Module):
    """Image (B, 3, H, W) to tokens (B, H/patch, W/patch, C); the image is zero-padded to fit."""

    def __init__(self, dim: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.proj = nn.Conv2d(3, dim, patch, patch)
        self.norm = nn.LayerNorm(dim)

    def forward(self, images: Tensor) -> Tensor:
        """Embed the patches."""
        images = _pad(images.permute(0, 2, 3, 1), self.patch).permute(0, 3, 1, 2)
        # Channels last, so that the permuted result lies in order for the norm.
        images = images.contiguous(memory_format=torch.channels_last)
        return self.norm(self.proj(images).permute(0, 2, 3, 1))


class PatchMerging(nn.Module):
    """Tokens (B, H, W, C) to (B, H/2, W/2, 2C); odd sides are zero-padded."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim)
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Merge two by two tokens."""
        x = _pad(x, 2)
        # Order of the official weights: down the column first.
        quarters = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(torch.cat(quarters, -1)))


class Mlp(nn.Module):
    """Two linear layers with GELU between them, whose hidden channels are nested.

    The first ones can run without the rest (Devvrit et al. 2023, "MatFormer", section 3).
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor, width: float = 1.0) -> Tensor:
        """Apply to the last axis with this share of the hidden channels."""
        if width == 1:
            return self.fc2(gelu(self.fc1(x)))
        hidden = hidden_channels(self.fc1.out_features, width)
        x = functional.linear(x, self.fc1.weight[:hidden], self.fc1.bias[:hidden])
        return functional.linear(gelu(x), self.fc2.weight[:, :hidden], self.fc2.bias)


class SwinBlock(nn.Module):
    """Window attention and MLP, each normalised first and added to the stream (equation 3)."""

    def __init__(self, dim: int, heads: int, window: int, mlp_ratio: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, heads, window)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, mlp_ratio * dim)

    def forward(
        self,
        x: Tensor,
        grid: WindowGrid,
        width: float = 1.0,
        windows: Tensor | None = None,
        tokens: Tensor | None = None,
    ) -> Tensor:
        """Run on windows of tokens.

        Args:
            x: (n, slots, C).
            grid: How the tokens were cut.
            width: Share of the MLP's hidden channels.
            windows: (n,) number in the grid of each window of x; all in order if not given.
            tokens: Rows of x, as (n * slots, C), that pass the MLP; all if not given.

        """
        x = add(x, self.attn(self.norm1(x), grid, windows))
        if tokens is None:
            return add(x, self.mlp(self.norm2(x), width))
        rows = x.view(-1, x.shape[-1])
        change = self.mlp(self.norm2(rows.index_select(0, tokens)), width)
        return rows.index_add(0, tokens, change.to(rows.dtype)).view_as(x)


class Execution(Protocol):
    """What is done with each block; see `execution.py` and `relaxed.py`."""

    def idle(self, stage: int) -> bool:
        """Whether no block of the stage runs on any image."""

    def block(
        self,
        place: tuple[int, int],
        block: SwinBlock,
        x: Tensor,
        source: WindowGrid | None,
        grid: WindowGrid,
    ) -> tuple[Tensor, WindowGrid | None]:
        """Do it.

        Args:
            place: Number of the stage, and of the block in it.
            block: The block.
            x: (B, padded tokens, C), in the order of `source`, None for row-major.
            source: That order.
            grid: The block's own order.

        Returns:
            Tokens of the same shape, and their order.

        """


class SwinStage(nn.Module):
    """Blocks of one resolution, every second one shifted, and the merging before the next."""

    def __init__(self, arch: Architecture, stage: int) -> None:
        super().__init__()
        dim, heads = arch.dims[stage], arch.heads[stage]
        self.stage = stage
        self.window = arch.window
        self.blocks = nn.ModuleList(
            SwinBlock(dim, heads, arch.window, arch.mlp_ratio) for _ in range(arch.depths[stage])
        )
        last = stage == len(arch.depths) - 1
        self.downsample = None if last else PatchMerging(dim)

    def forward(self, x: Tensor, execution: Execution) -> Tensor:
        """Run the blocks on tokens (B, H, W, C)."""
        if execution.idle(self.stage):
            return x
        batch, height, width, dim = x.shape
        x = _pad(x, self.window)
        padded = x.shape[1:3]
        x, order = x.reshape(batch, -1, dim), None
        for index, block in enumerate(self.blocks):
            grid = window_grid(height, width, self.window, index % 2 == 1)
            place = (self.stage, index)
            x, order = execution.block(place, cast('SwinBlock', block), x, order, grid)
        return reorder(x, order, None).view(batch, *padded, dim)[:, :height, :width]


class SwinEncoder(nn.Module):
    """Four stages of Swin blocks; gives the normalised features of each."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(arch.embed_dim, arch.patch)
        self.layers = nn.ModuleList(SwinStage(arch, stage) for stage in range(len(arch.depths)))
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for dim in arch.dims)

    def forward(self, x: Tensor, execution: Execution) -> list[Tensor]:
        """Encode.

        Args:
            x: Tokens (B, H/4, W/4, C) of the patch embedding.
            execution: What is done with each block.

        Returns:
            Features of the stages, (B, H/4, W/4, C) to (B, H/32, W/32, 8C), sides rounded up.

        """
        features = []
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = layer(x, execution)
            features.append(norm(x))
            if isinstance(layer.downsample, PatchMerging):
                x = layer.downsample(x)
        return features


def hidden_channels(full: int, width: float) -> int:
    """Return the hidden channels that a share of them stands for, at least one."""
    return max(1, round(full * width))


def reorder(x: Tensor, source: WindowGrid | None, target: WindowGrid | None) -> Tensor:
    """Bring tokens (B, padded tokens, C) from one window order to another; None is row-major."""
    if source == target:
        return x
    return x.index_select(1, regather(source, target, x.device))


def _pad(x: Tensor, multiple: int) -> Tensor:
    """Zero-pad the sides of (B, H, W, C) to multiples."""
    right, below = -x.shape[2] % multiple, -x.shape[1] % multiple
    return functional.pad(x, (0, 0, 0, right, 0, below)) if right or below else x
