# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""One light decoder per task: a top-down pyramid of all four scales, one 3x3 and one 1x1."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from adamtl_ros.nn.layers import add

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from adamtl_ros.nn.architecture import Architecture


class PyramidDecoder(nn.Module):
    """Decoder of one task, from the features of four scales to a map at stride 4.

    Each scale is projected to `decoder_dim` channels; from the coarsest on, the sum so far is
    doubled in size and the next scale added (Lin et al. 2017, "Feature Pyramid Networks").
    """

    def __init__(self, arch: Architecture, channels: int) -> None:
        super().__init__()
        dim = arch.decoder_dim
        self.laterals = nn.ModuleList(nn.Linear(width, dim) for width in arch.dims)
        self.mix = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.head = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, channels))

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Decode features (B, H, W, C) of four scales to a map (B, channels, H/4, W/4)."""
        return _side_by_side([self], features)[0]


class PyramidDecoders(nn.ModuleDict):
    """Decoders of several tasks that run side by side.

    Attributes:
        normalized_features: The encoder normalizes the features of each stage.

    """

    normalized_features: ClassVar[bool] = True
    neck: ClassVar[None] = None

    def __init__(self, arch: Architecture, channels: Mapping[str, int]) -> None:
        """Create a decoder for each task.

        Args:
            arch: Sizes of the network.
            channels: Channels of the raw map of each task.

        """
        super().__init__({name: PyramidDecoder(arch, count) for name, count in channels.items()})

    def forward(
        self,
        features: Sequence[Tensor],
        tasks: Iterable[str],
        mergings: Sequence[nn.Module | None] = (),  # noqa: ARG002
    ) -> dict[str, Tensor]:
        """Decode.

        Args:
            features: (B, H, W, C) of four scales; or (tasks, B, H, W, C), one for each task.
            tasks: Names of the tasks to decode, at least one.
            mergings: Not used here; see `HrnetDecoders`.

        Returns:
            By task name, (B, channels, H/4, W/4).

        """
        names = list(tasks)
        decoders = [cast('PyramidDecoder', self[name]) for name in names]
        return dict(zip(names, _side_by_side(decoders, features), strict=True))

    @staticmethod
    def macs(arch: Architecture, grids: Sequence[tuple[int, int]], channels: int) -> int:
        """Count the MACs of one decoder.

        Args:
            arch: Sizes of the network.
            grids: Height and width of the tokens of each stage.
            channels: Channels of the raw map.

        """
        dim = arch.decoder_dim
        laterals = sum(h * w * width * dim for (h, w), width in zip(grids, arch.dims, strict=True))
        height, width = grids[0]
        return laterals + height * width * dim * (9 + dim + channels)


def _side_by_side(decoders: Sequence[PyramidDecoder], features: Sequence[Tensor]) -> list[Tensor]:
    """Run decoders with their channels side by side in one tensor, up to the heads.

    That is a third faster for small networks than one after the other, with the same result.
    Channels are the last axis in memory, so the 1x1 layers are linear ones.
    """
    pyramid = _pyramid(decoders, features)  # B, decoders * dim, H/4, W/4
    weight = torch.cat([decoder.mix.weight for decoder in decoders])
    bias = torch.cat([_bias(decoder.mix) for decoder in decoders])
    mixed = functional.conv2d(pyramid, weight, bias, padding=1, groups=len(weight))
    slices = add(pyramid, mixed).permute(0, 2, 3, 1).chunk(len(decoders), -1)
    return [
        decoder.head(piece).permute(0, 3, 1, 2)  # B, channels, H/4, W/4
        for decoder, piece in zip(decoders, slices, strict=True)
    ]


def _pyramid(decoders: Sequence[PyramidDecoder], features: Sequence[Tensor]) -> Tensor:
    """Project all scales for all decoders and add them up, (B, decoders * dim, H/4, W/4)."""
    x = None
    for scale in reversed(range(len(features))):
        laterals = [cast('nn.Linear', decoder.laterals[scale]) for decoder in decoders]
        finer = _project(laterals, features[scale]).permute(0, 3, 1, 2)  # B, decoders * dim, H, W
        if x is not None:
            finer = add(functional.interpolate(x, finer.shape[-2:], mode='bilinear'), finer)
        x = finer
    assert x is not None
    return x


def _project(layers: Sequence[nn.Linear], x: Tensor) -> Tensor:
    """Apply one layer of each decoder, (B, H, W, C) to (B, H, W, layers * outputs).

    All layers get the same features, or each its own, (layers, B, H, W, C).
    """
    bias = torch.cat([_bias(layer) for layer in layers])
    if x.dim() == 4:
        return functional.linear(x, torch.cat([layer.weight for layer in layers]), bias)
    weight = torch.stack([layer.weight for layer in layers]).transpose(1, 2)
    products = torch.bmm(x.flatten(1, 3), weight).transpose(0, 1).flatten(1)
    return (products + bias).view(*x.shape[1:4], -1)


def _bias(layer: nn.Linear | nn.Conv2d) -> Tensor:
    assert layer.bias is not None
    return layer.bias
