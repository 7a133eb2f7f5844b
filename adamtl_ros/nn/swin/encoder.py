# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Swin encoder (Liu et al. 2021) for any input size, of which any part can be left out.

Parameter names follow Microsoft's repository; its last norm is `norms.3` here.
Windows are the leading axis through attention and MLP: (images * windows, slots, channels).
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
    scatter_rows,
)
from adamtl_ros.nn.swin.windows import WindowGrid, permutation, window_grid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adamtl_ros.nn.adapters.task_lora import Streams, TaskBranches
    from adamtl_ros.nn.swin.architecture import Architecture
    from adamtl_ros.nn.swin.windows import WindowGrid

CACHED_GRIDS = 4
"""Shifted and unshifted, for two input sizes."""


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
        self._kept: WeightCache[Tensor] = WeightCache(CACHED_GRIDS)

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

        Kept between calls for a few grids; see `WeightCache`.

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


@dataclass(frozen=True)
class BlockMask:
    """How much of a block runs on the windows that it is given.

    Attributes:
        width: Share of the MLP's hidden channels.
        windows: (n,) number in the grid of each window; all in order if not given.
        tokens: Rows of the input, as (n * slots, C), that pass the MLP; all if not given.
        attention: Factor on what attention adds, such as (n, 1, 1), for training.
        mlp: Factor on what the MLP adds.
        channels: Factor on its hidden channels, such as (n, 1, hidden).

    """

    width: float = 1.0
    windows: Tensor | None = None
    tokens: Tensor | None = None
    attention: Tensor | None = None
    mlp: Tensor | None = None
    channels: Tensor | None = None


EVERYTHING = BlockMask()


class Mlp(nn.Module):
    """Two linear layers with GELU between them, whose hidden channels are nested.

    The first ones can run without the rest (Devvrit et al. 2023, "MatFormer", section 3).
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = LoRALinear(dim, hidden)
        self.fc2 = LoRALinear(hidden, dim)

    def forward(self, x: Tensor, width: float = 1.0, channels: Tensor | None = None) -> Tensor:
        """Apply to the last axis.

        Args:
            x: (..., C).
            width: Share of the hidden channels.
            channels: Factor on these; none if not given.

        """
        return self.fc2(scaled(gelu(self.fc1(x, self.outputs(width))), channels))

    def outputs(self, width: float) -> int | None:
        """Return how many hidden channels a share of them is; None for all."""
        return None if width == 1 else hidden_channels(self.fc1.out_features, width)


class SwinBlock(nn.Module):
    """Window attention and MLP, each normalised first and added to the stream (equation 3).

    Attributes:
        branches: Low-rank branches of tasks; None if there are none.

    """

    def __init__(self, dim: int, heads: int, window: int, mlp_ratio: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, heads, window)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, mlp_ratio * dim)
        self.branches: TaskBranches | None = None

    def forward(
        self,
        x: Tensor,
        grid: WindowGrid,
        extent: BlockMask = EVERYTHING,
        tasks: Sequence[str] = (),
    ) -> tuple[Tensor, Streams | None]:
        """Run on windows of tokens.

        Args:
            x: (n, slots, C).
            grid: How the tokens were cut.
            extent: How much of the block runs.
            tasks: Those whose branches run, where they have one.

        Returns:
            The shared stream, as x; and one for each of `branching(tasks)`, or None where there
            are none.

        """
        mixed = self.attn.mix(self.norm1(x), grid, extent.windows)
        factors = None if self.branches is None else self.branches.factors(tasks)
        if factors is not None:
            return factors.run(self, x, mixed, extent)
        x = add(x, scaled(self.attn.proj(mixed), extent.attention))
        rows = gather_rows(x, extent.tokens)
        change = self.mlp(self.norm2(rows), extent.width, extent.channels)
        return scatter_rows(x, scaled(change, extent.mlp), extent.tokens), None

    def branching(self, tasks: Sequence[str]) -> list[str]:
        """Return those of the tasks that have branches here."""
        return [] if self.branches is None else self.branches.among(tasks)


def hidden_channels(full: int, width: float) -> int:
    """Return the hidden channels that a share of them stands for, at least one."""
    return max(1, round(full * width))


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
        self.reduction = LoRALinear(4 * dim, 2 * dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Merge two by two tokens."""
        return self.reduction(self.side_by_side(x))

    def side_by_side(self, x: Tensor) -> Tensor:
        """Return two by two tokens side by side, normalised, (B, H/2, W/2, 4C)."""
        x = _pad(x, 2)
        # Order of the official weights: down the column first.
        quarters = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.norm(torch.cat(quarters, -1))


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
        tasks: Sequence[str],
    ) -> tuple[Tensor, WindowGrid | None, Tensor | None]:
        """Do it.

        Args:
            place: Number of the stage, and of the block in it.
            block: The block.
            x: (B, padded tokens, C), in the order of `source`, None for row-major.
            source: That order.
            grid: The block's own order.
            tasks: Those in use.

        Returns:
            Tokens of the same shape, and their order; and in the order of these, one stream for
            each task, (tasks, B, padded tokens, C), or None for tokens that all tasks share.

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

    def forward(
        self, x: Tensor, execution: Execution, tasks: Sequence[str] = ()
    ) -> tuple[Tensor, Tensor | None]:
        """Run the blocks.

        Args:
            x: Tokens (B, H, W, C).
            execution: What is done with each block.
            tasks: Those in use.

        Returns:
            Tokens of the same shape, and for each task its own, (tasks, B, H, W, C), or None if
            these are all the same.

        """
        if execution.idle(self.stage):
            return x, None
        batch, height, width, dim = x.shape
        x = _pad(x, self.window)
        padded = x.shape[1:3]
        x, order, streams = x.reshape(batch, -1, dim), None, None
        for index, block in enumerate(self.blocks):
            grid = window_grid(height, width, self.window, index % 2 == 1)
            place = (self.stage, index)
            x, order, streams = execution.block(
                place, cast('SwinBlock', block), x, order, grid, tasks
            )
        x = reorder(x, order, None).view(batch, *padded, dim)
        if streams is not None:
            streams = reorder(streams.flatten(0, 1), order, None)
            streams = streams.view(-1, *x.shape)[:, :, :height, :width]
        return x[:, :height, :width], streams


class SwinEncoder(nn.Module):
    """Stages of Swin blocks; gives the normalised features of each.

    For decoders of kind 'hrnet', which take features after the merging, those are of two by two
    tokens side by side, still to be merged: their first layer does it in the same product.
    """

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(arch.embed_dim, arch.patch)
        self.layers = nn.ModuleList(SwinStage(arch, stage) for stage in range(len(arch.depths)))
        dims = arch.dims if arch.decoder == 'pyramid' else ()
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for dim in dims)
        self.linears = [part for part in self.modules() if isinstance(part, LoRALinear)]

    @property
    def mergings(self) -> list[LoRALinear | None]:
        """The layer that merges after each stage; None where nothing does."""
        parts = [layer.downsample for layer in self.layers]
        return [part.reduction if isinstance(part, PatchMerging) else None for part in parts]

    def forward(self, x: Tensor, execution: Execution, tasks: Sequence[str] = ()) -> list[Tensor]:
        """Encode.

        Args:
            x: Tokens (B, H/4, W/4, C) of the patch embedding.
            execution: What is done with each block.
            tasks: Those in use; needed where tasks have low-rank branches.

        Returns:
            Features of the stages, (B, H/4, W/4, C) to (B, H/32, W/32, 8C), sides rounded up;
            where the tasks have their own, (tasks, B, ...).

        """
        features = []
        for number, layer in enumerate(self.layers):
            x, streams = layer(x, execution, tasks)
            merging = cast('PatchMerging | None', layer.downsample)
            if self.norms:
                features.append(self.norms[number](x if streams is None else streams))
                x = x if merging is None else merging(x)
            elif merging is None:
                features.append(x if streams is None else streams)
            else:
                gathered = merging.side_by_side(x)
                x = merging.reduction(gathered)
                features.append(gathered if streams is None else _side_by_side(merging, streams))
        return features


def _side_by_side(merging: PatchMerging, streams: Tensor) -> Tensor:
    joined = merging.side_by_side(streams.flatten(0, 1))
    return joined.unflatten(0, streams.shape[:2])


def reorder(x: Tensor, source: WindowGrid | None, target: WindowGrid | None) -> Tensor:
    """Bring tokens (B, padded tokens, C) from one window order to another; None is row-major."""
    if source == target:
        return x
    return x.index_select(1, permutation(source, target, x.device))


def _pad(x: Tensor, multiple: int) -> Tensor:
    """Zero-pad the sides of (B, H, W, C) to multiples."""
    right, below = -x.shape[2] % multiple, -x.shape[1] % multiple
    return functional.pad(x, (0, 0, 0, right, 0, below)) if right or below else x
