# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Decoder of released MTLoRA networks: all scales resized to the finest, then two 1x1 layers.

It takes the features of a stage after the patch merging, so the features of each task have to
be merged once more (Agiza et al. 2024, "MTLoRA", figure 2; Sun et al. 2019, "HRNet", for the
head). The merging and the 1x1 layer behind it are both linear, so they run as one product here:
ten times fewer MACs than one after the other at the first stage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from adamtl_ros.nn.layers import WeightCache

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from adamtl_ros.nn.architecture import Architecture
    from adamtl_ros.nn.layers import LoRALinear


def level_dims(arch: Architecture) -> tuple[int, ...]:
    """Return the channels that each scale is reduced to."""
    return tuple(arch.decoder_dim << stage for stage in range(len(arch.depths)))


class HrnetDecoder(nn.Module):
    """Decoder of one task, from the features of four scales to a map at stride 8.

    Attributes:
        levels: One 1x1 layer for each scale, after the merging.
        mix: First 1x1 layer on all scales together.
        norm: Batch norm behind it; at inference it is part of that layer.
        head: Last 1x1 layer.

    """

    def __init__(self, arch: Architecture, channels: int) -> None:
        super().__init__()
        dims = level_dims(arch)
        merged = (*arch.dims[1:], arch.dims[-1])
        self.levels = nn.ModuleList(
            nn.Linear(width, dim, bias=False) for width, dim in zip(merged, dims, strict=True)
        )
        self.mix = nn.Linear(sum(dims), 4 * sum(dims))
        self.norm = nn.BatchNorm1d(4 * sum(dims))
        self.head = nn.Linear(4 * sum(dims), channels)
        self._cache: WeightCache[Tensor] = WeightCache(len(arch.depths))

    def level_weight(self, scale: int, merging: LoRALinear | None) -> Tensor:
        """Return the weight of a scale multiplied with the merging before it.

        Returns:
            (channels, inputs), cached; see `WeightCache`.

        """
        weight = cast('nn.Linear', self.levels[scale]).weight
        if merging is None:
            return weight
        matrix = merging.effective_weight()
        return self._cache.get(scale, [weight, matrix], lambda: weight @ matrix)

    def forward(self, x: Tensor) -> Tensor:
        """Decode all scales at one size, (B, H, W, sum of channels) to (B, channels, H, W)."""
        if self.training:
            hidden = self.norm(self.mix(x).flatten(0, 2)).view(*x.shape[:3], -1)
        else:
            hidden = functional.linear(x, *self._mix_with_norm())
        return self.head(functional.relu_(hidden)).permute(0, 3, 1, 2)

    def _mix_with_norm(self) -> tuple[Tensor, Tensor]:
        """Return weight and bias of the first layer with the batch norm folded in."""
        norm, mix = self.norm, self.mix
        assert norm.running_mean is not None
        assert norm.running_var is not None
        factor = norm.weight * (norm.running_var + norm.eps).rsqrt()
        return mix.weight * factor[:, None], (mix.bias - norm.running_mean) * factor + norm.bias


class HrnetDecoders(nn.ModuleDict):
    """Decoders of several tasks, whose first layers run as one product.

    Attributes:
        normalized_features: The encoder gives the features that are to be merged instead.

    """

    normalized_features: ClassVar[bool] = False
    neck: ClassVar[None] = None

    def __init__(self, arch: Architecture, channels: Mapping[str, int]) -> None:
        """Create a decoder for each task.

        Args:
            arch: Sizes of the network.
            channels: Channels of the raw map of each task.

        """
        super().__init__({name: HrnetDecoder(arch, count) for name, count in channels.items()})

    def forward(
        self,
        features: Sequence[Tensor],
        tasks: Iterable[str],
        mergings: Sequence[LoRALinear | None],
    ) -> dict[str, Tensor]:
        """Decode.

        Args:
            features: Features to be merged of each scale, (B, H, W, C); or one for each task,
                (tasks, B, H, W, C).
            tasks: Names of the tasks to decode, at least one.
            mergings: Layer that merges each scale; None where there is none.

        Returns:
            By task name, (B, channels, H/8, W/8).

        """
        decoders = {name: cast('HrnetDecoder', self[name]) for name in tasks}
        scales = []
        for scale, (feature, merging) in enumerate(zip(features, mergings, strict=True)):
            weights = [decoder.level_weight(scale, merging) for decoder in decoders.values()]
            scales.append(_reduce(feature, weights))
        return {
            name: decoder(_concatenate([scale[number] for scale in scales]))
            for number, (name, decoder) in enumerate(decoders.items())
        }

    @staticmethod
    def macs(arch: Architecture, grids: Sequence[tuple[int, int]], channels: int) -> int:
        """Count the MACs of one decoder.

        Args:
            arch: Sizes of the network.
            grids: Height and width of the tokens of each stage.
            channels: Channels of the raw map.

        """
        dims = level_dims(arch)
        merged = [*grids[1:], grids[-1]]
        inputs = [4 * dim for dim in arch.dims[:-1]] + [arch.dims[-1]]
        levels = sum(h * w * a * b for (h, w), a, b in zip(merged, inputs, dims, strict=True))
        height, width = merged[0]
        return levels + height * width * 4 * sum(dims) * (sum(dims) + channels)


def _reduce(x: Tensor, weights: Sequence[Tensor]) -> Sequence[Tensor]:
    """Apply the weight of each decoder to shared or to own features.

    Args:
        x: (B, H, W, C), or (decoders, B, H, W, C).
        weights: (channels, C) of each decoder.

    Returns:
        (B, H, W, channels) for each decoder.

    """
    if x.dim() == 5:
        products = torch.bmm(x.flatten(1, 3), torch.stack(list(weights)).transpose(1, 2))
        return products.view(*x.shape[:-1], -1).unbind()
    return functional.linear(x, torch.cat(list(weights))).chunk(len(weights), -1)


def _concatenate(scales: Sequence[Tensor]) -> Tensor:
    """Resize all scales to the first, and concatenate their channels."""
    size = scales[0].shape[1:3]
    planes = [scale.permute(0, 3, 1, 2) for scale in scales]
    resized = [functional.interpolate(plane, size, mode='bilinear') for plane in planes[1:]]
    return torch.cat([planes[0], *resized], 1).permute(0, 2, 3, 1)
