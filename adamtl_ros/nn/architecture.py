# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Sizes of networks, and those that have a name."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from adamtl_ros.nn.efficientnet.encoder import STEM_CHANNELS, block_configs, feature_blocks
from adamtl_ros.nn.gating.plan import Rung
from adamtl_ros.text import quote

MAX_SIDE, MAX_PIXELS = 4096, 2048 * 2048
"""Largest side of an input, and largest number of its pixels."""
MIN_SIDE = 8
MAX_BLOCKS, MAX_STAGES, MAX_RUNGS = 512, 8, 64
MAX_CHANNELS, MAX_WINDOW, MAX_PATCH, MAX_RATIO = 1 << 14, 32, 64, 16
MAX_PAIRS = 1 << 27
"""Limits of what a file may describe: far above every published network, far below all memory."""


class Architecture:
    """Sizes of an encoder and its decoders.

    Attributes:
        name: Short name, such as 'tiny'.
        embed_dim: Channels of the embedding that the policy looks at.
        dims: Channels of the features of each stage.
        depths: Number of gated blocks of each stage.
        patch: Stride of the features of the first stage, in pixels; it doubles in each stage.
        window: Side of an attention window, in tokens; 0 without windows.
        stride: Multiple that the sides of an input should be, in pixels.
        decoder: Kind of decoder, of `decoders`.
        decoder_dim: Channels inside a decoder.
        input_size: Height and width that the network is meant for, in pixels; others work too.
        ladder: Rungs that it is trained for, the full network first; none if gates decide.
        encoder: Kind of encoder, of `ENCODERS`.
        decoders: Kinds of decoders that fit the encoder.
        gates: Granularities that a policy can decide.

    """

    name: str
    embed_dim: int
    dims: tuple[int, ...]
    depths: tuple[int, ...]
    patch: int
    window: int
    stride: int
    decoder: str
    decoder_dim: int
    input_size: tuple[int, int]
    ladder: tuple[Rung, ...]
    encoder: ClassVar[str]
    decoders: ClassVar[tuple[str, ...]]
    gates: ClassVar[tuple[str, ...]]

    @property
    def block_count(self) -> int:
        """Number of gated blocks of all stages."""
        return sum(self.depths)

    @property
    def fewest_weights(self) -> int:
        """Lower bound of the number of weights, computed without building anything."""
        return self.decoder_dim * max(self.dims)

    def check(self) -> None:
        """Check what all kinds have.

        Raises:
            ValueError: A decoder that does not fit, rungs that do not, or absurd sizes.

        """
        self._check_limits()
        if self.decoder not in self.decoders:
            allowed = ', '.join(self.decoders)
            raise ValueError(f"decoder '{self.decoder}' of {self.encoder}, choose from: {allowed}")
        for rung in self.ladder:
            rung.check(self.block_count)
        if self.ladder and self.ladder[0] != Rung():
            raise ValueError(f'the first rung must be the full network, got {self.ladder[0]}')

    def _check_limits(self) -> None:
        height, width = self.input_size
        if not MIN_SIDE <= min(height, width) <= max(height, width) <= MAX_SIDE:
            raise ValueError(
                f'an input has sides of {MIN_SIDE} to {MAX_SIDE} pixels, got {height}x{width}'
            )
        if height * width > MAX_PIXELS:
            raise ValueError(f'an input of {height}x{width} exceeds {MAX_PIXELS} pixels')
        for what, size, most in (
            ('stages', len(self.depths), MAX_STAGES),
            ('blocks', self.block_count, MAX_BLOCKS),
            ('rungs', len(self.ladder), MAX_RUNGS),
            ('channels', max(self.decoder_dim, *self.dims), MAX_CHANNELS),
            ('window', self.window, MAX_WINDOW),
            ('pairs of tokens in a window', self.block_count * self.window**4, MAX_PAIRS),
            ('patch', self.patch, MAX_PATCH),
        ):
            if size > most:
                raise ValueError(f'{what} of an architecture: at most {most}, got {size}')

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serializable dictionary."""
        return {'encoder': self.encoder, **asdict(self)}  # type: ignore[call-overload]

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Architecture:
        """Create from the dictionary of `to_dict()`; without an encoder, it is a Swin.

        Raises:
            ValueError: Missing or unknown keys.

        """
        values = dict(values)
        kind = values.pop('encoder', SwinArchitecture.encoder)
        if kind not in ENCODERS:
            raise ValueError(f"unknown encoder '{kind}', choose from: {', '.join(ENCODERS)}")
        try:
            ladder = tuple(Rung.from_dict(rung) for rung in values.pop('ladder', ()))
            tuples: dict[str, Any] = {
                k: tuple(v) if isinstance(v, list) else v for k, v in values.items()
            }
            return ENCODERS[kind](ladder=ladder, **tuples)
        except TypeError as error:
            raise ValueError(f'not an architecture of this version: {error}') from error


@dataclass(frozen=True)
class SwinArchitecture(Architecture):
    """Sizes of a Swin encoder and its decoders.

    Attributes:
        name: Short name, such as 'tiny'.
        embed_dim: Channels C of the first stage; stage i has C * 2**i.
        depths: Number of blocks of each stage.
        heads: Number of attention heads of each stage.
        window: Side of an attention window, in tokens.
        decoder_dim: Channels inside a decoder.
        input_size: Height and width that the network is meant for, in pixels; others work too.
        patch: Side of a patch, in pixels.
        mlp_ratio: Hidden channels of an MLP for each of its input channels.
        decoder: Kind of decoder: on normalized features of each stage, or that of MTLoRA, on
            the features after the merging.
        ladder: Rungs that it is trained for; none if gates decide.

    """

    name: str
    embed_dim: int
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    window: int
    decoder_dim: int
    input_size: tuple[int, int]
    patch: int = 4
    mlp_ratio: int = 4
    decoder: str = 'pyramid'
    ladder: tuple[Rung, ...] = ()

    encoder: ClassVar[str] = 'swin'
    decoders: ClassVar[tuple[str, ...]] = ('pyramid', 'hrnet')
    gates: ClassVar[tuple[str, ...]] = ('blocks', 'windows', 'widths', 'tokens')

    def __post_init__(self) -> None:
        """Check that the sizes fit together.

        Raises:
            ValueError: A size that is not positive, or sizes that contradict each other.

        """
        if len(self.depths) > MAX_STAGES or self.mlp_ratio > MAX_RATIO:
            raise ValueError(
                f'at most {MAX_STAGES} stages and an mlp_ratio of {MAX_RATIO}, got '
                f'{len(self.depths)} and {quote(self.mlp_ratio)}'
            )
        sizes = [self.embed_dim, self.window, self.decoder_dim, self.patch, self.mlp_ratio]
        sizes += [*self.depths, *self.heads, *self.input_size]
        if not all(isinstance(size, int) and size > 0 for size in sizes):
            raise ValueError(f'sizes of an architecture must be positive whole numbers: {self}')
        if len(self.depths) != len(self.heads) or len(self.input_size) != 2:
            raise ValueError(f'one number of heads for each stage, two sides of an input: {self}')
        if any(dim % heads for dim, heads in zip(self.dims, self.heads, strict=True)):
            raise ValueError(f'channels {self.dims} do not divide into heads {self.heads}')
        self.check()

    @property
    def dims(self) -> tuple[int, ...]:  # type: ignore[override]
        """Channels of each stage."""
        return tuple(self.embed_dim << stage for stage in range(len(self.depths)))

    @property
    def fewest_weights(self) -> int:
        """Number of weights of the matrices of all blocks and of a layer of a decoder."""
        matrices = 4 + 2 * self.mlp_ratio  # qkv, proj, fc1, fc2
        return super().fewest_weights + sum(
            depth * matrices * dim * dim for depth, dim in zip(self.depths, self.dims, strict=True)
        )

    @property
    def stride(self) -> int:  # type: ignore[override]
        """Input pixels to one token of the last stage."""
        return self.patch << (len(self.depths) - 1)


@dataclass(frozen=True)
class EfficientNetArchitecture(Architecture):
    """Sizes of an EfficientNet-Lite encoder and its decoders.

    Its gated blocks are the residual ones: the others change the shape, so they always run.

    Attributes:
        name: Short name, such as 'lite0'.
        variant: Variant of the encoder, 'lite0' to 'lite4'.
        decoder_dim: Channels inside a decoder.
        input_size: Height and width that the network is meant for, in pixels; others work too.
        decoder: Kind of decoder.
        ladder: Rungs that it is trained for; none if gates decide.

    """

    name: str
    variant: str
    decoder_dim: int
    input_size: tuple[int, int]
    decoder: str = 'fpn'
    ladder: tuple[Rung, ...] = ()

    patch: ClassVar[int] = 4  # type: ignore[misc]
    window: ClassVar[int] = 0  # type: ignore[misc]
    stride: ClassVar[int] = 16  # type: ignore[misc]
    encoder: ClassVar[str] = 'efficientnet'
    decoders: ClassVar[tuple[str, ...]] = ('fpn',)
    gates: ClassVar[tuple[str, ...]] = ('blocks',)

    def __post_init__(self) -> None:
        """Check the sizes.

        Raises:
            ValueError: An unknown variant, or a size that is not positive.

        """
        sizes = [self.decoder_dim, *self.input_size]
        if not all(isinstance(size, int) and size > 0 for size in sizes):
            raise ValueError(f'sizes of an architecture must be positive whole numbers: {self}')
        if len(self.input_size) != 2:
            raise ValueError(f'an input has two sides, got {self.input_size}')
        block_configs(self.variant)
        self.check()

    @property
    def dims(self) -> tuple[int, ...]:  # type: ignore[override]
        """Channels of the features at strides 4, 8, 16 and 32."""
        configs = block_configs(self.variant)
        return tuple(configs[end].out_channels for end in feature_blocks(configs))

    @property
    def depths(self) -> tuple[int, ...]:  # type: ignore[override]
        """Number of residual blocks up to each of the features, after the one before."""
        configs = block_configs(self.variant)
        ends = [0, *(end + 1 for end in feature_blocks(configs))]
        return tuple(
            sum(config.residual for config in configs[first:last])
            for first, last in itertools.pairwise(ends)
        )

    @property
    def embed_dim(self) -> int:  # type: ignore[override]
        """Channels of the stem."""
        return STEM_CHANNELS


ENCODERS: dict[str, type[SwinArchitecture | EfficientNetArchitecture]] = {
    kind.encoder: kind for kind in (SwinArchitecture, EfficientNetArchitecture)
}
"""Kinds of architectures by their encoder."""

LITE_LADDER = (
    Rung(),
    Rung(0.84),
    Rung(0.75, (8,)),
    Rung(0.75, (3, 5, 7, 8)),
    Rung(0.6),
    Rung(0.5),
)
"""Ladder of EfficientNet-Lite0: 1, 0.72, 0.55, 0.46, 0.39 and 0.25 of the MACs at 192x256."""

ARCHITECTURES: dict[str, Architecture] = {
    architecture.name: architecture
    for architecture in (
        # For small CPUs: 8x8 windows take 1.35 times less time per attention MAC than 7x7.
        SwinArchitecture('nano', 24, (1, 2, 6, 1), (1, 2, 4, 8), 8, 24, (192, 256)),
        # For comparison: its full network has as many MACs as `nano` has at budget 0.57.
        SwinArchitecture('pico', 24, (1, 1, 2, 1), (1, 2, 4, 8), 8, 24, (192, 256)),
        # Liu et al. 2021, "Swin Transformer", section 3.3.
        SwinArchitecture('tiny', 96, (2, 2, 6, 2), (3, 6, 12, 24), 7, 48, (224, 224)),
        SwinArchitecture('small', 96, (2, 2, 18, 2), (3, 6, 12, 24), 7, 48, (224, 224)),
        SwinArchitecture('base', 128, (2, 2, 18, 2), (4, 8, 16, 32), 7, 64, (224, 224)),
        SwinArchitecture('base384', 128, (2, 2, 18, 2), (4, 8, 16, 32), 12, 64, (384, 384)),
        # Tan and Le 2019; Liu 2020: see `efficientnet.encoder`.
        EfficientNetArchitecture('lite0', 'lite0', 64, (192, 256), ladder=LITE_LADDER),
        EfficientNetArchitecture('lite2', 'lite2', 64, (192, 256)),
    )
}
"""Architectures by name."""


def architecture(name: str) -> Architecture:
    """Return the architecture of a name.

    Raises:
        ValueError: An unknown name.

    """
    if name not in ARCHITECTURES:
        raise ValueError(f"unknown architecture '{name}', choose from: {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]
