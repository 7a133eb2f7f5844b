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

from adamtl_ros.nn.adapted import AdaptedLinear
from adamtl_ros.nn.block import SwinBlock
from adamtl_ros.nn.windows import WindowGrid, regather, window_grid

if TYPE_CHECKING:
    from collections.abc import Sequence

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
        self.reduction = AdaptedLinear(4 * dim, 2 * dim, bias=False)

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
        self.linears = [part for part in self.modules() if isinstance(part, AdaptedLinear)]

    @property
    def mergings(self) -> list[AdaptedLinear | None]:
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
    return x.index_select(1, regather(source, target, x.device))


def _pad(x: Tensor, multiple: int) -> Tensor:
    """Zero-pad the sides of (B, H, W, C) to multiples."""
    right, below = -x.shape[2] % multiple, -x.shape[1] % multiple
    return functional.pad(x, (0, 0, 0, right, 0, below)) if right or below else x
