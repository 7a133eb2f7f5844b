# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""One light decoder per task: a top-down pyramid of all four scales, one 3x3 and one 1x1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adamtl_ros.nn.architecture import Architecture


class Decoder(nn.Module):
    """Features of four scales to a map at stride 4.

    Each scale is projected to `decoder_dim` channels; from the coarsest on, the sum so far is
    doubled in size and the next scale added (Lin et al. 2017, "Feature Pyramid Networks").
    """

    def __init__(self, arch: Architecture, channels: int) -> None:
        super().__init__()
        dim = arch.decoder_dim
        self.laterals = nn.ModuleList(nn.Linear(width, dim) for width in arch.dims)
        self.mix = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.head = nn.Sequential(nn.Conv2d(dim, dim, 1), nn.GELU(), nn.Conv2d(dim, channels, 1))

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Decode features (B, H, W, C) of four scales to (B, channels, H/4, W/4)."""
        projected = [
            lateral(feature).permute(0, 3, 1, 2)
            for lateral, feature in zip(self.laterals, features, strict=True)
        ]
        x = projected.pop()
        while projected:
            finer = projected.pop()
            x = finer + functional.interpolate(x, finer.shape[-2:], mode='bilinear')
        return self.head(x + self.mix(x))
