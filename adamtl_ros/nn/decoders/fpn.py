# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""One feature pyramid that all tasks share, and a light head for each task.

For convolutional encoders: tensors are (B, C, H, W), and all norms are batch norms, which fold
into the convolutions before them.

    features of strides 4, 8, 16, 32 --> FeaturePyramid --> (B, dim, H/4, W/4) --> FpnHead per task
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from adamtl_ros.nn.architecture import Architecture

FUSION_KERNEL, HEAD_KERNEL = 3, 5
"""Sides of the depthwise kernels in the pyramid and in the heads."""


class SeparableConv(nn.Sequential):
    """Depthwise and 1x1 convolution, each with a batch norm (Howard et al. 2017, "MobileNets")."""

    def __init__(self, dim: int, kernel: int) -> None:
        super().__init__(
            nn.Conv2d(dim, dim, kernel, padding=kernel // 2, groups=dim, bias=False),
            nn.BatchNorm2d(dim),
            nn.Conv2d(dim, dim, 1, bias=False),
            nn.BatchNorm2d(dim),
        )


class FeaturePyramid(nn.Module):
    """Top-down sum of all scales (Lin et al. 2017), with the mean of the whole frame on top.

    Each scale is projected to `decoder_dim` channels; from the coarsest on, the sum so far is
    doubled in size, the next scale added, and a separable convolution smooths the result. The
    coarsest scale begins with the mean of its projection over the frame, since depth and the
    kind of room are global (Liu et al. 2015, "ParseNet").
    """

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        dim = arch.decoder_dim
        self.laterals = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, dim, 1, bias=False), nn.BatchNorm2d(dim))
            for width in arch.dims
        )
        self.context = nn.Conv2d(arch.dims[-1], dim, 1)
        self.fusions = nn.ModuleList(SeparableConv(dim, FUSION_KERNEL) for _ in arch.dims)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Fuse features (B, C, H, W) of all scales to (B, dim, H/4, W/4)."""
        x = self.context(features[-1].mean((2, 3), keepdim=True))  # B, dim, 1, 1
        for scale in reversed(range(len(features))):
            finer = self.laterals[scale](features[scale])  # B, dim, H, W
            if x.shape[-1] > 1:
                x = functional.interpolate(x, finer.shape[-2:], mode='bilinear')
            x = x + finer
            x = functional.relu(x + self.fusions[scale](x))
        return x

    @staticmethod
    def macs(arch: Architecture, grids: Sequence[tuple[int, int]]) -> int:
        """Count the MACs.

        Args:
            arch: Sizes of the network.
            grids: Height and width of the features of each scale.

        """
        dim = arch.decoder_dim
        fusion = dim * (FUSION_KERNEL**2 + dim)
        scales = zip(grids, arch.dims, strict=True)
        return arch.dims[-1] * dim + sum(h * w * (width * dim + fusion) for (h, w), width in scales)


class FpnHead(nn.Module):
    """Head of one task: a separable convolution and the projection to the raw map."""

    def __init__(self, arch: Architecture, channels: int) -> None:
        super().__init__()
        self.mix = SeparableConv(arch.decoder_dim, HEAD_KERNEL)
        self.out = nn.Conv2d(arch.decoder_dim, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Predict, (B, dim, H/4, W/4) to (B, channels, H/4, W/4)."""
        return self.out(functional.relu(x + self.mix(x)))


class FpnDecoders(nn.ModuleDict):
    """Heads of several tasks; `FeaturePyramid` is their neck.

    Attributes:
        normalized_features: Not used by convolutional encoders.

    """

    normalized_features: ClassVar[bool] = True
    neck: ClassVar[type[FeaturePyramid]] = FeaturePyramid

    def __init__(self, arch: Architecture, channels: Mapping[str, int]) -> None:
        """Create a head for each task.

        Args:
            arch: Sizes of the network.
            channels: Channels of the raw map of each task.

        """
        super().__init__({name: FpnHead(arch, count) for name, count in channels.items()})

    def forward(
        self,
        features: Tensor,
        tasks: Iterable[str],
        mergings: Sequence[nn.Module | None] = (),  # noqa: ARG002
    ) -> dict[str, Tensor]:
        """Decode.

        Args:
            features: Output of the neck, (B, dim, H/4, W/4).
            tasks: Names of the tasks to decode, at least one.
            mergings: Not used here; see `HrnetDecoders`.

        Returns:
            By task name, (B, channels, H/4, W/4).

        """
        return {name: cast('FpnHead', self[name])(features) for name in tasks}

    @staticmethod
    def macs(arch: Architecture, grids: Sequence[tuple[int, int]], channels: int) -> int:
        """Count the MACs of one head.

        Args:
            arch: Sizes of the network.
            grids: Height and width of the features of each scale.
            channels: Channels of the raw map.

        """
        dim = arch.decoder_dim
        height, width = grids[0]
        return height * width * dim * (HEAD_KERNEL**2 + dim + channels)
