# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The decoder of released MTLoRA networks: all scales brought to the finest, then two 1x1 layers.

It takes the features of a stage after the patch merging, so each task's stream has to be merged
once more (Agiza et al. 2024, "MTLoRA", figure 2; Sun et al. 2019, "HRNet", for the head). The
merging and the 1x1 layer behind it are both linear, so they run as one product here: ten times
fewer MACs than one after the other at the first stage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from adamtl_ros.nn.layers import WeightCache

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adamtl_ros.nn.layers import LoRALinear
    from adamtl_ros.nn.swin.architecture import Architecture


def level_dims(arch: Architecture) -> tuple[int, ...]:
    """Channels that each scale is reduced to."""
    return tuple(arch.decoder_dim << stage for stage in range(len(arch.depths)))


class HrnetDecoder(nn.Module):
    """Weights that make a map at stride 8 of the features of four scales; `decode()` runs them.

    Attributes:
        levels: One 1x1 layer for each scale, after the merging.
        mix: The first layer on all scales.
        norm: Batch norm behind it; at inference it is part of that layer.
        head: The last layer.

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
        self._kept: WeightCache[Tensor] = WeightCache(len(arch.depths))

    def level(self, scale: int, merging: LoRALinear | None) -> Tensor:
        """Return the weight of a scale with the merging before it, (channels, inputs).

        Kept between calls; see `WeightCache`.
        """
        weight = cast('nn.Linear', self.levels[scale]).weight
        if merging is None:
            return weight
        matrix = merging.matrix()
        return self._kept.get(scale, [weight, matrix], lambda: weight @ matrix)

    def predict(self, x: Tensor) -> Tensor:
        """Make the map of all scales, (B, H, W, sum of channels) to (B, channels, H, W)."""
        if self.training:
            hidden = self.norm(self.mix(x).flatten(0, 2)).view(*x.shape[:3], -1)
        else:
            hidden = functional.linear(x, *self._mix())
        return self.head(functional.relu_(hidden)).permute(0, 3, 1, 2)

    def _mix(self) -> tuple[Tensor, Tensor]:
        """Return weight and bias of the first layer with the batch norm in them."""
        norm, mix = self.norm, self.mix
        assert norm.running_mean is not None
        assert norm.running_var is not None
        factor = norm.weight * (norm.running_var + norm.eps).rsqrt()
        return mix.weight * factor[:, None], (mix.bias - norm.running_mean) * factor + norm.bias


def decode(
    decoders: Sequence[HrnetDecoder],
    features: Sequence[Tensor],
    mergings: Sequence[LoRALinear | None],
) -> list[Tensor]:
    """Run decoders.

    Args:
        decoders: At least one.
        features: Of each scale what is to be merged, (B, H, W, C); or (decoders, B, H, W, C),
            for each its own.
        mergings: Of each scale the layer that merges; None where there is none.

    Returns:
        Of each decoder (B, channels, H/8, W/8).

    """
    scales = []
    for scale, (feature, merging) in enumerate(zip(features, mergings, strict=True)):
        weights = [decoder.level(scale, merging) for decoder in decoders]
        scales.append(_levels(feature, weights))
    return [
        decoder.predict(_joined([scale[number] for scale in scales]))
        for number, decoder in enumerate(decoders)
    ]


def _levels(x: Tensor, weights: Sequence[Tensor]) -> Sequence[Tensor]:
    """Apply one weight after the other, (B, H, W, C), or each its own, to (B, H, W, channels)."""
    if x.dim() == 5:
        products = torch.bmm(x.flatten(1, 3), torch.stack(list(weights)).transpose(1, 2))
        return products.view(*x.shape[:-1], -1).unbind()
    return functional.linear(x, torch.cat(list(weights))).chunk(len(weights), -1)


def _joined(scales: Sequence[Tensor]) -> Tensor:
    """Bring all scales to the size of the first, one behind the other in the channels."""
    size = scales[0].shape[1:3]
    planes = [scale.permute(0, 3, 1, 2) for scale in scales]
    resized = [functional.interpolate(plane, size, mode='bilinear') for plane in planes[1:]]
    return torch.cat([planes[0], *resized], 1).permute(0, 2, 3, 1)
