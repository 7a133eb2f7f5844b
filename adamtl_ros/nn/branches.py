# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The low-rank pairs that tasks have in a block."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from adamtl_ros.nn.adapted import LowRank
from adamtl_ros.nn.factors import Factors, Pair
from adamtl_ros.nn.kept import Kept

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from adamtl_ros.nn.adapted import AdaptedLinear
    from adamtl_ros.nn.block import SwinBlock

CACHED_COMBINATIONS = 64
"""So many combinations of tasks keep their pairs stacked in each block."""


class TaskBranches(nn.Module):
    """Low-rank pairs of tasks on layers of one block.

    They run where the block does and the task's own gate, if it has one, is open: a task that
    would not have run the block is not served by a branch of its own, and gets the stream that
    all share; see `gating.joined()`.

    Attributes:
        bare: A task's branch leaves out the shared pair of these layers (form 'matrix').

    """

    def __init__(
        self,
        block: SwinBlock,
        layers: Sequence[str],
        ranks: Mapping[str, tuple[int, float]],
        *,
        bare: bool,
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        """Make pairs that change nothing yet.

        Args:
            block: The block.
            layers: Which of 'proj', 'fc1' and 'fc2' carry pairs.
            ranks: Rank and scale of each task.
            bare: See the attribute.
            dropout: On the input of the pairs, in training.
            generator: For the matrices A.

        """
        super().__init__()
        self.bare, self.dropout = bare, dropout
        self.rank = max(rank for rank, _ in ranks.values())
        self.names = tuple(ranks)
        self._kept: Kept[dict[str, Pair]] = Kept(CACHED_COMBINATIONS)
        for layer in layers:
            of = layer_of(block, layer)
            pairs = {
                name: LowRank(of.in_features, of.out_features, rank, scale, dropout, generator)
                for name, (rank, scale) in ranks.items()
            }
            self.add_module(layer, nn.ModuleDict(pairs))

    def among(self, tasks: Sequence[str]) -> list[str]:
        """Return those of the tasks that have branches here."""
        return [name for name in tasks if name in self.names]

    def factors(self, tasks: Sequence[str]) -> Factors | None:
        """Return the matrices of tasks in use, stacked; None if none of them has any."""
        names = self.among(tasks)
        if not names:
            return None
        layers = {
            layer: [cast('LowRank', cast('nn.ModuleDict', pairs)[name]) for name in names]
            for layer, pairs in self.named_children()
        }
        weights = [weight for pairs in layers.values() for x in pairs for weight in (x.a, x.b)]
        stacked = self._kept.get(
            tuple(names),
            weights,
            lambda: {layer: self._stack(pairs) for layer, pairs in layers.items()},
        )
        dropout = self.dropout if self.training else 0.0
        return Factors(
            len(names), self.bare, dropout, stacked.get('proj'), stacked.get('fc1'),
            stacked.get('fc2'),
        )  # fmt: skip

    def _stack(self, pairs: list[LowRank]) -> Pair:
        """Stack pairs; lower ranks than the highest are filled up with zeros."""
        gaps = [self.rank - len(pair.a) for pair in pairs]
        down = [_lengthen(pair.a, gap) for pair, gap in zip(pairs, gaps, strict=True)]
        up = [_lengthen(pair.scale * pair.b.T, gap) for pair, gap in zip(pairs, gaps, strict=True)]
        return Pair(torch.stack(down), torch.stack(up))


def for_all(tasks: Sequence[str], served: Sequence[str], streams: Tensor, shared: Tensor) -> Tensor:
    """Return a stream for each task, the shared one where no branch ran.

    Args:
        tasks: Those in use.
        served: Those whose branches ran, in the same order.
        streams: Theirs, (served, ...).
        shared: The shared one, (...).

    """
    if len(served) == len(tasks):
        return streams
    own = dict(zip(served, streams, strict=True))
    return torch.stack([own.get(name, shared) for name in tasks])


def layer_of(block: SwinBlock, name: str) -> AdaptedLinear:
    """Return the linear layer with that name."""
    return cast(
        'AdaptedLinear', getattr(block.attn if name in ('qkv', 'proj') else block.mlp, name)
    )


def _lengthen(matrix: Tensor, gap: int) -> Tensor:
    """Add rows of zeros."""
    return functional.pad(matrix, (0, 0, 0, gap)) if gap else matrix
