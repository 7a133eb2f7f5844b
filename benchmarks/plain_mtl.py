# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A static Swin multi-task network of the layout that AdaMTL published, to compare speed with.

Roll, partition, attention in separate steps with a mask of -100, reverse, roll back; per task
a decoder of two residual blocks on each of four scales. Random weights; written from the
papers (Liu et al. 2021; Neseem et al. 2023).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Mapping

    from adamtl_ros.nn.architecture import SwinArchitecture

DECODER_CHANNELS = 64


class PlainBlock(nn.Module):
    """A Swin block at one resolution, (B, side * side, C)."""

    index: Tensor
    mask: Tensor | None

    def __init__(self, dim: int, heads: int, window: int, side: int, shift: int) -> None:
        super().__init__()
        self.heads, self.window, self.side, self.shift = heads, window, side, shift
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.fc1, self.fc2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)
        slots = window**2
        self.table = nn.Parameter(torch.randn((2 * window - 1) ** 2, heads) * 0.02)
        place = torch.stack(torch.meshgrid(*[torch.arange(window)] * 2, indexing='ij')).flatten(1)
        apart = place[:, :, None] - place[:, None] + window - 1
        self.register_buffer('index', apart[0] * (2 * window - 1) + apart[1])
        self.register_buffer('mask', self._mask(slots) if shift else None)

    def _mask(self, slots: int) -> Tensor:
        region = torch.zeros(1, self.side, self.side, 1)
        cuts = (slice(0, -self.window), slice(-self.window, -self.shift), slice(-self.shift, None))
        for number, (rows, columns) in enumerate((r, c) for r in cuts for c in cuts):
            region[:, rows, columns] = number
        region = self._partition(region).view(-1, slots)
        return (region[:, None] != region[:, :, None]).float() * -100.0

    def _partition(self, x: Tensor) -> Tensor:
        batch, height, width, dim = x.shape
        w = self.window
        x = x.view(batch, height // w, w, width // w, w, dim).permute(0, 1, 3, 2, 4, 5)
        return x.contiguous().view(-1, w * w, dim)

    def _reverse(self, windows: Tensor, batch: int) -> Tensor:
        count, w = self.side // self.window, self.window
        x = windows.view(batch, count, count, w, w, -1).permute(0, 1, 3, 2, 4, 5)
        return x.contiguous().view(batch, self.side, self.side, -1)

    def _attend(self, x: Tensor) -> Tensor:
        count, slots, dim = x.shape
        qkv = self.qkv(x).reshape(count, slots, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        scores = (q * (dim // self.heads) ** -0.5) @ k.transpose(-2, -1)
        bias = self.table[self.index.view(-1)].view(slots, slots, -1).permute(2, 0, 1).contiguous()
        scores = scores + bias[None]
        if self.mask is not None:
            windows = len(self.mask)
            scores = scores.view(count // windows, windows, self.heads, slots, slots)
            scores = (scores + self.mask[None, :, None]).view(-1, self.heads, slots, slots)
        return self.proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(count, slots, dim))

    def forward(self, x: Tensor) -> Tensor:
        """Run on all tokens."""
        batch, tokens, dim = x.shape
        y = self.norm1(x).view(batch, self.side, self.side, dim)
        y = torch.roll(y, (-self.shift, -self.shift), (1, 2)) if self.shift else y
        y = self._reverse(self._attend(self._partition(y)), batch)
        y = torch.roll(y, (self.shift, self.shift), (1, 2)) if self.shift else y
        x = x + y.view(batch, tokens, dim)
        return x + self.fc2(functional.gelu(self.fc1(self.norm2(x))))


class PlainMerging(nn.Module):
    """Two by two tokens to one."""

    def __init__(self, dim: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.norm = nn.LayerNorm(4 * dim)
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Merge."""
        x = x.view(len(x), self.side, self.side, -1)
        parts = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(torch.cat(parts, -1).flatten(1, 2)))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs),
            nn.ReLU(), nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )  # fmt: skip
        shortcut = nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential(*shortcut) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Apply."""
        return functional.relu(self.body(x) + self.shortcut(x))


class PlainDecoder(nn.Module):
    """Stage outputs of strides 8, 16, 32 and 32 to a map of the input's size."""

    def __init__(self, dims: list[int], channels: int) -> None:
        super().__init__()
        d = DECODER_CHANNELS
        self.fuse = nn.ModuleList(
            nn.Sequential(ResidualBlock(dim, d), ResidualBlock(d, d)) for dim in dims
        )
        self.head = nn.Sequential(
            nn.Conv2d(4 * d, d, 1), nn.BatchNorm2d(d), nn.ReLU(), nn.Conv2d(d, channels, 1)
        )

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Decode."""
        size = maps[0].shape[-2:]
        fused = [
            functional.interpolate(fuse(x), size) for fuse, x in zip(self.fuse, maps, strict=True)
        ]
        return functional.interpolate(
            self.head(torch.cat(fused, 1)), scale_factor=8, mode='bilinear'
        )


class PlainMtl(nn.Module):
    """Encoder and one decoder per task."""

    def __init__(self, arch: SwinArchitecture, channels: Mapping[str, int]) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, arch.embed_dim, arch.patch, arch.patch)
        self.norm = nn.LayerNorm(arch.embed_dim)
        self.stages, self.merges = nn.ModuleList(), nn.ModuleList()
        side = arch.input_size[0] // arch.patch
        for stage, (dim, depth) in enumerate(zip(arch.dims, arch.depths, strict=True)):
            shifts = [arch.window // 2 if k % 2 and side > arch.window else 0 for k in range(depth)]
            heads = arch.heads[stage]
            blocks = [PlainBlock(dim, heads, arch.window, side, shift) for shift in shifts]
            self.stages.append(nn.Sequential(*blocks))
            last = stage == len(arch.depths) - 1
            self.merges.append(nn.Identity() if last else PlainMerging(dim, side))
            side = side if last else side // 2
        dims = [*arch.dims[1:], arch.dims[-1]]
        self.decoders = nn.ModuleDict({k: PlainDecoder(dims, n) for k, n in channels.items()})

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Predict all tasks."""
        x = self.norm(self.embed(images).flatten(2).transpose(1, 2))
        maps = []
        for stage, merge in zip(self.stages, self.merges, strict=True):
            x = merge(stage(x))
            side = int(x.shape[1] ** 0.5)
            maps.append(x.transpose(1, 2).reshape(len(x), -1, side, side))
        return {name: decoder(maps) for name, decoder in self.decoders.items()}
