# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""EfficientNet-Lite encoder (Tan and Le 2019; Liu 2020) for any input size.

Inverted residual blocks with ReLU6 and without squeeze-and-excitation. Stem and head keep their
width in all variants, and so do the numbers of blocks of the first and the last stage.
Parameter names follow the common PyTorch port of the published TensorFlow weights, less the
leading underscores; padding is TensorFlow's SAME, which depends on the input size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol, cast

from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adamtl_ros.nn.layers import LoRALinear

STEM_CHANNELS = 32
HEAD_CHANNELS = 1280
IMAGENET_CLASSES = 1000
BATCH_NORM_EPS = 1e-3
BATCH_NORM_MOMENTUM = 0.01
"""Of the published weights: TensorFlow's decay of 0.99 is a momentum of 0.01 here."""

MULTIPLIERS = {
    'lite0': (1.0, 1.0),
    'lite1': (1.0, 1.1),
    'lite2': (1.1, 1.2),
    'lite3': (1.2, 1.4),
    'lite4': (1.4, 1.8),
}
"""Multipliers of the channels and of the number of blocks, by variant."""

STAGES = (
    # expansion, channels, blocks, stride, kernel
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
"""EfficientNet-B0 (Tan and Le 2019, table 1)."""


@dataclass(frozen=True)
class BlockConfig:
    """Sizes of one inverted residual block.

    Attributes:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        expansion: Factor from the input's channels to those of the depthwise convolution.
        stride: Stride of the depthwise convolution.
        kernel: Side of its kernel.

    """

    in_channels: int
    out_channels: int
    expansion: int
    stride: int
    kernel: int

    @property
    def hidden(self) -> int:
        """Channels of the depthwise convolution."""
        return self.in_channels * self.expansion

    @property
    def residual(self) -> bool:
        """Whether the input is added to the output, so that the block can be skipped."""
        return self.stride == 1 and self.in_channels == self.out_channels


@lru_cache(maxsize=16)
def block_configs(variant: str) -> tuple[BlockConfig, ...]:
    """Return the blocks of a variant, in the order in which they run.

    Raises:
        ValueError: An unknown variant.

    """
    if variant not in MULTIPLIERS:
        raise ValueError(f"unknown variant '{variant}', choose from: {', '.join(MULTIPLIERS)}")
    width, depth = MULTIPLIERS[variant]
    blocks: list[BlockConfig] = []
    channels = STEM_CHANNELS
    for number, (expansion, base, repeats, stride, kernel) in enumerate(STAGES):
        fixed = number in (0, len(STAGES) - 1)
        out = round_channels(base * width)
        for index in range(repeats if fixed else math.ceil(repeats * depth)):
            step = stride if index == 0 else 1
            blocks.append(BlockConfig(channels, out, expansion, step, kernel))
            channels = out
    return tuple(blocks)


def round_channels(channels: float, divisor: int = 8) -> int:
    """Round to a multiple of the divisor, and never down by more than a tenth."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Create a batch norm with the constants of the published weights."""
    return nn.BatchNorm2d(channels, eps=BATCH_NORM_EPS, momentum=BATCH_NORM_MOMENTUM)


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding: outputs are inputs over stride, rounded up."""

    def forward(self, x: Tensor) -> Tensor:
        """Pad as the input size needs, and convolve, (B, C, H, W)."""
        stride, kernel = self.stride[0], self.kernel_size[0]
        height, width = (_padding(side, kernel, stride) for side in x.shape[-2:])
        if height % 2 or width % 2:
            top, left = height // 2, width // 2
            x = functional.pad(x, (left, width - left, top, height - top))
            height = width = 0
        padding = (height // 2, width // 2)
        return functional.conv2d(
            x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )


def _padding(side: int, kernel: int, stride: int) -> int:
    """Pixels that both ends of a side are padded with together."""
    return max((-(-side // stride) - 1) * stride + kernel - side, 0)


class MBConv(nn.Module):
    """Inverted residual block (Sandler et al. 2018): expand, depthwise, project."""

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        self.config = config
        hidden = config.hidden
        if config.expansion != 1:
            self.expand_conv = nn.Conv2d(config.in_channels, hidden, 1, bias=False)
            self.bn0 = batch_norm(hidden)
        self.depthwise_conv = SameConv2d(
            hidden, hidden, config.kernel, config.stride, groups=hidden, bias=False
        )
        self.bn1 = batch_norm(hidden)
        self.project_conv = nn.Conv2d(hidden, config.out_channels, 1, bias=False)
        self.bn2 = batch_norm(config.out_channels)

    def forward(self, x: Tensor, gate: Tensor | None = None) -> Tensor:
        """Run the block.

        Args:
            x: (B, in, H, W).
            gate: Factor on what a residual block adds, (B, 1, 1, 1); None for 1.

        Returns:
            (B, out, H/stride, W/stride).

        """
        h = x
        if self.config.expansion != 1:
            h = functional.relu6(self.bn0(self.expand_conv(h)))  # B, hidden, H, W
        h = functional.relu6(self.bn1(self.depthwise_conv(h)))  # B, hidden, H/stride, W/stride
        h = self.bn2(self.project_conv(h))  # B, out, H/stride, W/stride
        return x + (h if gate is None else h * gate) if self.config.residual else h


class Execution(Protocol):
    """Strategy that runs the gated blocks of an encoder; see `gating.execution`."""

    def residual(self, place: tuple[int, int], block: MBConv, x: Tensor) -> Tensor:
        """Run a residual block on the images on which it is open, (B, C, H, W) to the same.

        Args:
            place: Index of the stage, and of the block among its gated ones.
            block: The block.
            x: Features of all images.

        """


class EfficientNetEncoder(nn.Module):
    """Stem and blocks; gives features at strides 4, 8, 16 and 32.

    Residual blocks are gated, the others always run.

    Attributes:
        dims: Channels of the four features.
        places: Index of the stage and among its gated blocks, by the number of the block.
        linears: Layers that can have low-rank pairs: none.
        mergings: Layers between the stages that decoders may share: none.

    """

    def __init__(self, variant: str) -> None:
        super().__init__()
        configs = block_configs(variant)
        self.conv_stem = SameConv2d(3, STEM_CHANNELS, 3, 2, bias=False)
        self.bn0 = batch_norm(STEM_CHANNELS)
        self.blocks = nn.ModuleList(MBConv(config) for config in configs)
        self.ends = feature_blocks(configs)
        self.dims = tuple(configs[end].out_channels for end in self.ends)
        self.places = _places(configs, self.ends)
        self.linears: list[LoRALinear] = []
        self.mergings: list[LoRALinear | None] = [None] * len(self.ends)

    def stem(self, images: Tensor) -> Tensor:
        """Embed images, (B, 3, H, W) to (B, 32, H/2, W/2)."""
        return functional.relu6(self.bn0(self.conv_stem(images)))

    @staticmethod
    def embedding(x: Tensor) -> Tensor:
        """Return what the policy looks at: the stem's output at stride 4, (B, H/4, W/4, 32)."""
        return functional.avg_pool2d(x, 2, ceil_mode=True).permute(0, 2, 3, 1)

    def forward(
        self, x: Tensor, execution: Execution | None = None, tasks: Sequence[str] = ()
    ) -> list[Tensor]:
        """Encode what the stem gave.

        Args:
            x: (B, 32, H/2, W/2).
            execution: Strategy that runs the residual blocks; all run if not given.
            tasks: Not used here; see `SwinEncoder`.

        Returns:
            Features (B, C, H/4, W/4) to (B, C, H/32, W/32), sides rounded up.

        """
        del tasks
        features = []
        for index, block in enumerate(self.blocks):
            if execution is None or index not in self.places:
                x = block(x)
            else:
                x = execution.residual(self.places[index], cast('MBConv', block), x)
            if index in self.ends:
                features.append(x)
        return features


class EfficientNetClassifier(nn.Module):
    """The encoder with its ImageNet head: what the published weights were trained as."""

    def __init__(self, variant: str) -> None:
        super().__init__()
        self.encoder = EfficientNetEncoder(variant)
        self.conv_head = nn.Conv2d(self.encoder.dims[-1], HEAD_CHANNELS, 1, bias=False)
        self.bn1 = batch_norm(HEAD_CHANNELS)
        self.fc = nn.Linear(HEAD_CHANNELS, IMAGENET_CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Classify images, (B, 3, H, W) to logits (B, 1000)."""
        x = self.encoder(self.encoder.stem(images))[-1]
        x = functional.relu6(self.bn1(self.conv_head(x)))
        return self.fc(x.mean((2, 3)))


def feature_blocks(configs: Sequence[BlockConfig]) -> tuple[int, ...]:
    """Return the numbers of the last blocks at strides 4, 8, 16 and 32."""
    strides = [2]
    for config in configs:
        strides.append(strides[-1] * config.stride)
    after = strides[1:]
    return tuple(max(i for i, s in enumerate(after) if s == stride) for stride in (4, 8, 16, 32))


def _places(configs: Sequence[BlockConfig], ends: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Return stage and index among its residual blocks, by number of the residual block."""
    places: dict[int, tuple[int, int]] = {}
    counts = [0] * len(ends)
    for number, config in enumerate(configs):
        stage = next(stage for stage, end in enumerate(ends) if number <= end)
        if config.residual:
            places[number] = (stage, counts[stage])
            counts[stage] += 1
    return places
