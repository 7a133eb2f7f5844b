# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""One Swin block, of which any part can be left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from adamtl_ros.nn.adapted import AdaptedLinear
from adamtl_ros.nn.attention import WindowAttention
from adamtl_ros.nn.inplace import add, gelu
from adamtl_ros.nn.rows import picked, put, scaled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adamtl_ros.nn.branches import TaskBranches
    from adamtl_ros.nn.factors import Streams
    from adamtl_ros.nn.windows import WindowGrid


@dataclass(frozen=True)
class Extent:
    """How much of a block runs on the windows that it is given.

    Attributes:
        width: Share of the MLP's hidden channels.
        windows: (n,) number in the grid of each window; all in order if not given.
        tokens: Rows of the input, as (n * slots, C), that pass the MLP; all if not given.
        attention: Factor on what attention adds, such as (n, 1, 1), for training.
        mlp: Factor on what the MLP adds.
        channels: Factor on its hidden channels, such as (n, 1, hidden).

    """

    width: float = 1.0
    windows: Tensor | None = None
    tokens: Tensor | None = None
    attention: Tensor | None = None
    mlp: Tensor | None = None
    channels: Tensor | None = None


EVERYTHING = Extent()


class Mlp(nn.Module):
    """Two linear layers with GELU between them, whose hidden channels are nested.

    The first ones can run without the rest (Devvrit et al. 2023, "MatFormer", section 3).
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = AdaptedLinear(dim, hidden)
        self.fc2 = AdaptedLinear(hidden, dim)

    def forward(self, x: Tensor, width: float = 1.0, channels: Tensor | None = None) -> Tensor:
        """Apply to the last axis.

        Args:
            x: (..., C).
            width: Share of the hidden channels.
            channels: Factor on these; none if not given.

        """
        return self.fc2(scaled(gelu(self.fc1(x, self.outputs(width))), channels))

    def outputs(self, width: float) -> int | None:
        """Return how many hidden channels a share of them is; None for all."""
        return None if width == 1 else hidden_channels(self.fc1.out_features, width)


class SwinBlock(nn.Module):
    """Window attention and MLP, each normalised first and added to the stream (equation 3).

    Attributes:
        branches: Low-rank branches of tasks; None if there are none.

    """

    def __init__(self, dim: int, heads: int, window: int, mlp_ratio: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, heads, window)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, mlp_ratio * dim)
        self.branches: TaskBranches | None = None

    def forward(
        self,
        x: Tensor,
        grid: WindowGrid,
        extent: Extent = EVERYTHING,
        tasks: Sequence[str] = (),
    ) -> tuple[Tensor, Streams | None]:
        """Run on windows of tokens.

        Args:
            x: (n, slots, C).
            grid: How the tokens were cut.
            extent: How much of the block runs.
            tasks: Those whose branches run, where they have one.

        Returns:
            The shared stream, as x; and one for each of `branching(tasks)`, or None where there
            are none.

        """
        mixed = self.attn.mix(self.norm1(x), grid, extent.windows)
        factors = None if self.branches is None else self.branches.factors(tasks)
        if factors is not None:
            return factors.run(self, x, mixed, extent)
        x = add(x, scaled(self.attn.proj(mixed), extent.attention))
        rows = picked(x, extent.tokens)
        change = self.mlp(self.norm2(rows), extent.width, extent.channels)
        return put(x, scaled(change, extent.mlp), extent.tokens), None

    def branching(self, tasks: Sequence[str]) -> list[str]:
        """Return those of the tasks that have branches here."""
        return [] if self.branches is None else self.branches.among(tasks)


def hidden_channels(full: int, width: float) -> int:
    """Return the hidden channels that a share of them stands for, at least one."""
    return max(1, round(full * width))
