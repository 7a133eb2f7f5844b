# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Swin encoder (Liu et al. 2021) for any input size, of which any part can be left out.

Parameter names follow Microsoft's repository; its last norm is `norms.3` here. Windows are the
leading axis through attention and MLP: (n, slots, C), with n = images * windows and `slots`
tokens in a window. Own code, not timm's, since windows, tokens and hidden channels can be left
out and the MACs of what is left are exact.

    image -> PatchEmbed -> SwinStage -> PatchMerging -> SwinStage -> ...    SwinEncoder
                              |                            |
                           features                     features

    SwinStage:  SwinBlock, SwinBlock (shifted windows), SwinBlock, ...
    SwinBlock:  x + attn(norm1(x)), then x + mlp(norm2(x)), both under a BlockMask
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from adamtl_ros.nn.layers import (
    LoRALinear,
    WeightCache,
    add,
    gather_rows,
    gelu,
    scaled,
    scatter_add_rows,
)
from adamtl_ros.nn.swin.windows import reorder, window_grid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adamtl_ros.nn.architecture import SwinArchitecture
    from adamtl_ros.nn.swin.windows import WindowGrid

CACHED_GRIDS = 4
"""Grids whose position bias is cached: shifted and unshifted, for two input sizes."""


class WindowAttention(nn.Module):
    """Multi-head attention inside windows with a relative position bias (Swin, equation 4)."""

    relative_position_index: Tensor

    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = LoRALinear(dim, 3 * dim)
        self.proj = LoRALinear(dim, dim)
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.register_buffer('relative_position_index', _relative_index(window), persistent=False)
        self._cache: WeightCache[Tensor] = WeightCache(CACHED_GRIDS)

    def forward(self, x: Tensor, grid: WindowGrid, windows: Tensor | None = None) -> Tensor:
        """Attend inside each window; the arguments are those of `attend()`."""
        return self.proj(self.attend(x, grid, windows))

    def attend(self, x: Tensor, grid: WindowGrid, windows: Tensor | None = None) -> Tensor:
        """Attend inside each window, without the output projection.

        Args:
            x: (n, slots, C), windows of the grid.
            grid: Partition of the tokens into windows.
            windows: Index in the grid of each window of x, (n,); None if x holds all windows of
                one image after the other.

        """
        count, slots, dim = x.shape
        qkv = self.qkv(x).view(count, slots, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # n, heads, slots, C / heads
        out = _attend(q, k, v, self._bias_of(grid, windows, q))
        return out.transpose(1, 2).reshape(count, slots, dim)

    def _bias_of(self, grid: WindowGrid, windows: Tensor | None, queries: Tensor) -> Tensor:
        """Return the bias of each window that is computed, (n or 1, heads, slots, slots)."""
        bias = self.bias(grid, queries.dtype)
        if len(bias) == 1:
            return bias
        if windows is not None:
            return bias.index_select(0, windows)
        return bias.repeat(len(queries) // grid.count, 1, 1, 1)

    def bias(self, grid: WindowGrid, dtype: torch.dtype) -> Tensor:
        """Return the position bias, -inf where attention is not allowed.

        Cached for a few grids; see `WeightCache`.

        Returns:
            (windows, heads, slots, slots), or (1, ...) if all windows are alike.

        """
        table = self.relative_position_bias_table
        return self._cache.get(
            (grid, dtype), [table], lambda: self._compute_bias(grid, dtype).contiguous()
        )

    def _compute_bias(self, grid: WindowGrid, dtype: torch.dtype) -> Tensor:
        table = self.relative_position_bias_table
        bias = table[self.relative_position_index].permute(2, 0, 1)[None].to(dtype)
        if grid.mask is None:
            return bias  # 1, heads, slots, slots
        # -inf, not the customary -100: exp(-100) is subnormal and slow on CPUs.
        return bias.masked_fill(grid.mask.to(table.device)[:, None], float('-inf'))


def _attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """Attend under a bias that leaves every query at least one key."""
    if not bias.requires_grad:
        return functional.scaled_dot_product_attention(q, k, v, bias)
    # With a bias that needs gradients, torch falls back to a slow path that looks for queries
    # without any key: a tenth of the time of a training step on a CPU.
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1) + bias
    return scores.softmax(-1) @ v


def _relative_index(window: int) -> Tensor:
    """Return the row of the bias table for each pair of slots, (slots, slots)."""
    axis = torch.arange(window)
    rows, columns = torch.meshgrid(axis, axis, indexing='ij')
    rows, columns = rows.flatten(), columns.flatten()
    dy = rows[:, None] - rows[None, :] + window - 1
    dx = columns[:, None] - columns[None, :] + window - 1
    return dy * (2 * window - 1) + dx


@dataclass(frozen=True)
class BlockMask:
    """Parts of a block that run on the windows that it is given.

    Attributes:
        width: Fraction of the MLP's hidden channels.
        windows: Index in the grid of each window, (n,); None for all in order.
        tokens: Rows of the input, seen as (n * slots, C), that pass the MLP; None for all.
        attention: Factor on the output of attention, such as (n, 1, 1), for training.
        mlp: Factor on the output of the MLP, likewise.
        channels: Factor on the MLP's hidden channels, such as (n, 1, hidden), likewise.

    """

    width: float = 1.0
    windows: Tensor | None = None
    tokens: Tensor | None = None
    attention: Tensor | None = None
    mlp: Tensor | None = None
    channels: Tensor | None = None

    def rows(self, x: Tensor) -> Tensor:
        """Return the tokens that pass the MLP: x itself (n, slots, C), or (k, C) of it."""
        return gather_rows(x, self.tokens)

    def add_attention(self, x: Tensor, change: Tensor) -> Tensor:
        """Return x plus the output of attention; `change` may be overwritten."""
        return add(x, scaled(change, self.attention))

    def add_mlp(self, x: Tensor, change: Tensor) -> Tensor:
        """Return x plus the output of the MLP on `rows(x)`; `change` may be overwritten."""
        return scatter_add_rows(x, scaled(change, self.mlp), self.tokens)


EVERYTHING = BlockMask()


class Mlp(nn.Module):
    """Two linear layers with GELU between them and nested hidden channels.

    The first hidden channels can run without the rest (Devvrit et al. 2023, "MatFormer",
    section 3).
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = LoRALinear(dim, hidden)
        self.fc2 = LoRALinear(hidden, dim)

    def forward(self, x: Tensor, width: float = 1.0, channels: Tensor | None = None) -> Tensor:
        """Apply to the last axis.

        Args:
            x: (..., C).
            width: Fraction of the hidden channels.
            channels: Factor on the hidden channels; None for none.

        """
        hidden = gelu(self.fc1(x, self.hidden(width)))  # ..., width * hidden
        return self.fc2(scaled(hidden, channels))

    def hidden(self, width: float) -> int | None:
        """Return the number of hidden channels at a width; None for all."""
        return None if width == 1 else hidden_channels(self.fc1.out_features, width)


def hidden_channels(full: int, width: float) -> int:
    """Return how many of the hidden channels a fraction of them is, at least one."""
    return max(1, round(full * width))


class SwinBlock(nn.Module):
    """Window attention and MLP with pre-normalization and residuals (Swin, equation 3)."""

    def __init__(self, dim: int, heads: int, window: int, mlp_ratio: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, heads, window)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, mlp_ratio * dim)

    def forward(self, x: Tensor, grid: WindowGrid, mask: BlockMask = EVERYTHING) -> Tensor:
        """Run on windows of tokens.

        Args:
            x: (n, slots, C).
            grid: Partition of the tokens into windows.
            mask: Parts of the block that run.

        """
        x = mask.add_attention(x, self.attn(self.norm1(x), grid, mask.windows))
        return mask.add_mlp(x, self.mlp(self.norm2(mask.rows(x)), mask.width, mask.channels))


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
        # Channels last, so that the permuted result is contiguous for the norm.
        images = images.contiguous(memory_format=torch.channels_last)
        return self.norm(self.proj(images).permute(0, 2, 3, 1))


class PatchMerging(nn.Module):
    """Tokens (B, H, W, C) to (B, H/2, W/2, 2C); odd sides are zero-padded."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim)
        self.reduction = LoRALinear(4 * dim, 2 * dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Merge two by two tokens."""
        return self.reduction(self.concatenate(x))

    def concatenate(self, x: Tensor) -> Tensor:
        """Return two by two tokens side by side, normalized, (..., H/2, W/2, 4C)."""
        leading = x.shape[:-3]
        x = _pad(x.flatten(0, -4), 2)
        # Order of the official weights: down the column first.
        quarters = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.norm(torch.cat(quarters, -1)).unflatten(0, leading)


class Execution(Protocol):
    """Strategy that runs the blocks of an encoder; see `gating.execution`."""

    def idle(self, stage: int) -> bool:
        """Whether no block of a stage runs on any image."""

    def block(
        self,
        place: tuple[int, int],
        block: SwinBlock,
        x: Tensor,
        source: WindowGrid | None,
        grid: WindowGrid,
        tasks: Sequence[str],
    ) -> tuple[Tensor, WindowGrid | None, Tensor | None]:
        """Run one block.

        Args:
            place: Index of the stage, and of the block in it.
            block: The block.
            x: Tokens (B, padded tokens, C), in the order of `source`.
            source: Window order of x; None for row-major.
            grid: The block's own window order.
            tasks: Tasks in use.

        Returns:
            Tokens of the same shape, and their order; and in the same order, the features of
            each task, (tasks, B, padded tokens, C), or None if all tasks share the tokens.

        """


class SwinStage(nn.Module):
    """Blocks of one resolution, every second one shifted, and the merging before the next."""

    def __init__(self, arch: SwinArchitecture, stage: int) -> None:
        super().__init__()
        dim, heads = arch.dims[stage], arch.heads[stage]
        self.stage = stage
        self.window = arch.window
        self.blocks = nn.ModuleList(
            SwinBlock(dim, heads, arch.window, arch.mlp_ratio) for _ in range(arch.depths[stage])
        )
        last = stage == len(arch.depths) - 1
        self.downsample = None if last else PatchMerging(dim)

    def forward(
        self, x: Tensor, execution: Execution, tasks: Sequence[str] = ()
    ) -> tuple[Tensor, Tensor | None]:
        """Run the blocks.

        Args:
            x: Tokens (B, H, W, C).
            execution: Strategy that runs the blocks.
            tasks: Tasks in use.

        Returns:
            Tokens of the same shape; and the features of each task, (tasks, B, H, W, C), or None
            if all tasks share the tokens.

        """
        if execution.idle(self.stage):
            return x, None
        # Plain numbers: torch.jit.trace() would record tensors, which must not get into the cache.
        batch, height, width, dim = map(int, x.shape)
        x = _pad(x, self.window)
        padded = x.shape[1:3]
        # Tokens stay in the window order of the last block that ran, None for row-major.
        x, order, features = x.reshape(batch, -1, dim), None, None
        for index, block in enumerate(self.blocks):
            grid = window_grid(height, width, self.window, index % 2 == 1)
            place = (self.stage, index)
            x, order, features = execution.block(
                place, cast('SwinBlock', block), x, order, grid, tasks
            )
        x = reorder(x, order, None).view(batch, *padded, dim)
        if features is not None:
            features = reorder(features.flatten(0, 1), order, None)
            features = features.view(-1, *x.shape)[:, :, :height, :width]
        return x[:, :height, :width], features


class SwinEncoder(nn.Module):
    """Stages of Swin blocks, and the features of each for the decoders."""

    def __init__(self, arch: SwinArchitecture, *, normalized_features: bool = True) -> None:
        """Create an encoder with random weights.

        Args:
            arch: Sizes of the network.
            normalized_features: Whether features are those of a stage, each with a norm of its
                own. Otherwise they are those that are to be merged, two by two tokens side by
                side, for decoders whose first layer also does the merging.

        """
        super().__init__()
        self.patch_embed = PatchEmbed(arch.embed_dim, arch.patch)
        self.layers = nn.ModuleList(SwinStage(arch, stage) for stage in range(len(arch.depths)))
        dims = arch.dims if normalized_features else ()
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for dim in dims)
        self.linears = [part for part in self.modules() if isinstance(part, LoRALinear)]

    def stem(self, images: Tensor) -> Tensor:
        """Embed the patches of images, (B, 3, H, W) to tokens (B, H/4, W/4, C)."""
        return self.patch_embed(images)

    @staticmethod
    def embedding(x: Tensor) -> Tensor:
        """Return what the policy looks at: the patch embedding itself."""
        return x

    @property
    def mergings(self) -> list[LoRALinear | None]:
        """The layer that merges after each stage; None after the last."""
        parts = [layer.downsample for layer in self.layers]
        return [part.reduction if isinstance(part, PatchMerging) else None for part in parts]

    def forward(self, x: Tensor, execution: Execution, tasks: Sequence[str] = ()) -> list[Tensor]:
        """Encode.

        Args:
            x: Patch embedding, (B, H/4, W/4, C).
            execution: Strategy that runs the blocks.
            tasks: Tasks in use; needed where tasks have low-rank branches.

        Returns:
            Features of each stage, (B, H/4, W/4, C) to (B, H/32, W/32, 8C), sides rounded up;
            (tasks, B, ...) where each task has its own. Without `normalized_features`, they are
            (B, H/8, W/8, 4C) to (B, H/32, W/32, 8C).

        """
        features = []
        for number, layer in enumerate(self.layers):
            x, own = layer(x, execution, tasks)
            merging = cast('PatchMerging | None', layer.downsample)
            if self.norms:
                features.append(self.norms[number](x if own is None else own))
                x = x if merging is None else merging(x)
            elif merging is None:
                features.append(x if own is None else own)
            else:
                unmerged = merging.concatenate(x)
                x = merging.reduction(unmerged)
                features.append(unmerged if own is None else merging.concatenate(own))
        return features


def _pad(x: Tensor, multiple: int) -> Tensor:
    """Zero-pad the sides of (B, H, W, C) to multiples."""
    right, below = -int(x.shape[2]) % multiple, -int(x.shape[1]) % multiple
    return functional.pad(x, (0, 0, 0, right, 0, below)) if right or below else x
