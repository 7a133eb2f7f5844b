# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""One light decoder per task: a top-down pyramid of all four scales, one 3x3 and one 1x1."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from adamtl_ros.nn.layers import add

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adamtl_ros.nn.swin.architecture import Architecture


class Decoder(nn.Module):
    """Weights that make a map at stride 4 of the features of four scales; `decode()` runs them.

    Each scale is projected to `decoder_dim` channels; from the coarsest on, the sum so far is
    doubled in size and the next scale added (Lin et al. 2017, "Feature Pyramid Networks").
    """

    def __init__(self, arch: Architecture, channels: int) -> None:
        super().__init__()
        dim = arch.decoder_dim
        self.laterals = nn.ModuleList(nn.Linear(width, dim) for width in arch.dims)
        self.mix = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.head = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, channels))


def decode(decoders: Sequence[Decoder], features: Sequence[Tensor]) -> list[Tensor]:
    """Run decoders side by side, their channels in one tensor up to the heads.

    That is a third faster for small networks than one after the other, with the same result.
    Channels are the last axis in memory, so the 1x1 layers are linear ones.

    Args:
        decoders: At least one.
        features: (B, H, W, C) of four scales; or (decoders, B, H, W, C), for each its own.

    Returns:
        Of each decoder (B, channels, H/4, W/4).

    """
    pyramid = _pyramid(decoders, features)
    weight = torch.cat([decoder.mix.weight for decoder in decoders])
    bias = torch.cat([_bias(decoder.mix) for decoder in decoders])
    mixed = functional.conv2d(pyramid, weight, bias, padding=1, groups=len(weight))
    shares = add(pyramid, mixed).permute(0, 2, 3, 1).chunk(len(decoders), -1)
    return [
        decoder.head(share).permute(0, 3, 1, 2)
        for decoder, share in zip(decoders, shares, strict=True)
    ]


def _pyramid(decoders: Sequence[Decoder], features: Sequence[Tensor]) -> Tensor:
    """Project all scales for all decoders and add them up, (B, decoders * dim, H/4, W/4)."""
    x = None
    for scale in reversed(range(len(features))):
        laterals = [cast('nn.Linear', decoder.laterals[scale]) for decoder in decoders]
        finer = side_by_side(laterals, features[scale]).permute(0, 3, 1, 2)
        if x is not None:
            finer = add(functional.interpolate(x, finer.shape[-2:], mode='bilinear'), finer)
        x = finer
    assert x is not None
    return x


def side_by_side(layers: Sequence[nn.Linear], x: Tensor) -> Tensor:
    """Apply one layer of each decoder, (B, H, W, C) to (B, H, W, layers * outputs).

    All to the same features, or each to its own, (layers, B, H, W, C).
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
