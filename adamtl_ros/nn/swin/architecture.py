# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Sizes of networks, and those that have a name."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

DECODER_KINDS = ('pyramid', 'hrnet')
"""Kinds of decoders: the default, on normalized features of each stage, and that of MTLoRA, on the
features after the merging."""


@dataclass(frozen=True)
class Architecture:
    """Sizes of an encoder and its decoders.

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
        decoder: Kind of decoder, of `DECODER_KINDS`.

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

    def __post_init__(self) -> None:
        """Check that the sizes fit together.

        Raises:
            ValueError: A size that is not positive, or sizes that contradict each other.

        """
        sizes = [self.embed_dim, self.window, self.decoder_dim, self.patch, self.mlp_ratio]
        sizes += [*self.depths, *self.heads, *self.input_size]
        if not all(isinstance(size, int) and size > 0 for size in sizes):
            raise ValueError(f'sizes of an architecture must be positive whole numbers: {self}')
        if len(self.depths) != len(self.heads) or len(self.input_size) != 2:
            raise ValueError(f'one number of heads for each stage, two sides of an input: {self}')
        if any(dim % heads for dim, heads in zip(self.dims, self.heads, strict=True)):
            raise ValueError(f'channels {self.dims} do not divide into heads {self.heads}')
        if self.decoder not in DECODER_KINDS:
            raise ValueError(
                f"unknown decoder '{self.decoder}', choose from: {', '.join(DECODER_KINDS)}"
            )

    @property
    def dims(self) -> tuple[int, ...]:
        """Channels of each stage."""
        return tuple(self.embed_dim << stage for stage in range(len(self.depths)))

    @property
    def stride(self) -> int:
        """Input pixels to one token of the last stage."""
        return self.patch << (len(self.depths) - 1)

    @property
    def block_count(self) -> int:
        """Number of blocks of all stages."""
        return sum(self.depths)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serializable dictionary."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Architecture:
        """Create from the dictionary of `to_dict()`.

        Raises:
            ValueError: Missing or unknown keys.

        """
        tuples: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in values.items()
        }
        try:
            return cls(**tuples)
        except TypeError as error:
            raise ValueError(f'not an architecture of this version: {error}') from error


ARCHITECTURES = {
    architecture.name: architecture
    for architecture in (
        # For small CPUs: 8x8 windows take 1.35 times less time per attention MAC than 7x7.
        Architecture('nano', 24, (1, 2, 6, 1), (1, 2, 4, 8), 8, 24, (192, 256)),
        # For comparison: its full network has as many MACs as `nano` has at budget 0.57.
        Architecture('pico', 24, (1, 1, 2, 1), (1, 2, 4, 8), 8, 24, (192, 256)),
        # Liu et al. 2021, "Swin Transformer", section 3.3.
        Architecture('tiny', 96, (2, 2, 6, 2), (3, 6, 12, 24), 7, 48, (224, 224)),
        Architecture('small', 96, (2, 2, 18, 2), (3, 6, 12, 24), 7, 48, (224, 224)),
        Architecture('base', 128, (2, 2, 18, 2), (4, 8, 16, 32), 7, 64, (224, 224)),
        Architecture('base384', 128, (2, 2, 18, 2), (4, 8, 16, 32), 12, 64, (384, 384)),
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
