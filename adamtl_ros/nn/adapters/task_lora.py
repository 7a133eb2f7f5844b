# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The low-rank pairs that tasks have in a block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from adamtl_ros.nn.layers import (
    LoRALayer,
    WeightCache,
    add,
    gather_rows,
    gelu,
    scaled,
    scatter_rows,
)
from adamtl_ros.nn.swin.windows import permutation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from adamtl_ros.nn.layers import LoRALinear
    from adamtl_ros.nn.swin.encoder import BlockMask, SwinBlock
    from adamtl_ros.nn.swin.windows import WindowGrid

CHUNK = 1 << 17
"""Hidden values of all tasks that are worked on together, so that they stay in the cache."""


@dataclass(frozen=True)
class Streams:
    """The streams of tasks after a block, not yet written out.

    Attributes:
        own: What they have in common, (n, slots, C).
        codes: (tasks, n * slots, k).
        up: Directions of the codes, (tasks, k, C).

    """

    own: Tensor
    codes: Tensor
    up: Tensor

    def written(self) -> Tensor:
        """Write them out, (tasks, n, slots, C)."""
        tasks, dim = len(self.codes), self.own.shape[-1]
        rows = self.own.reshape(1, -1, dim).expand(tasks, -1, -1)
        return torch.baddbmm(rows, self.codes, self.up).view(tasks, *self.own.shape)

    def reordered(self, shared: Tensor, source: WindowGrid) -> tuple[Tensor, Streams]:
        """Bring them to row-major order while they are short.

        Args:
            shared: The shared stream, (images * windows, slots, C).
            source: The order in which it is, and these are.

        Returns:
            The shared stream and these, as (images, tokens, C).

        """
        index = permutation(source, None, shared.device)
        moved = shared.view(-1, len(index), shared.shape[-1]).index_select(1, index)
        own = moved
        if self.own is not shared:
            own = self.own.view_as(moved).index_select(1, index)
        codes = self.codes.unflatten(1, moved.shape[:2]).index_select(2, index).flatten(1, 2)
        return moved, Streams(own, codes, self.up)


@dataclass(frozen=True)
class Pair:
    """Stacked pairs of one layer.

    Attributes:
        down: (tasks, rank, inputs).
        up: (tasks, rank, outputs), scale included.

    """

    down: Tensor
    up: Tensor

    def codes(self, x: Tensor) -> Tensor:
        """Apply A to what all tasks share, (rows, inputs) to (tasks, rows, rank)."""
        tasks, rank = self.down.shape[:2]
        weight = self.down[..., : x.shape[-1]].reshape(tasks * rank, -1)
        return functional.linear(x, weight).view(-1, tasks, rank).transpose(0, 1)

    def own_codes(self, x: Tensor) -> Tensor:
        """Apply A to what each task has, (tasks, rows, inputs) to (tasks, rows, rank)."""
        return torch.bmm(x, self.down[..., : x.shape[-1]].transpose(1, 2))


@dataclass(frozen=True)
class Factors:
    """The pairs of the tasks in use, and what a block does with them.

    Attributes:
        count: Tasks.
        bare: Branches leave out the shared pairs of the layers that have task pairs.
        dropout: On the input of the pairs.
        proj: Pairs of the attention's last layer; None if it has none.
        fc1: Of the MLP's first layer.
        fc2: Of its last layer.

    """

    count: int
    bare: bool
    dropout: float
    proj: Pair | None
    fc1: Pair | None
    fc2: Pair | None

    def run(
        self, block: SwinBlock, x: Tensor, mixed: Tensor, extent: BlockMask
    ) -> tuple[Tensor, Streams]:
        """Do the rest of a block after its attention; see `SwinBlock.forward()`.

        Args:
            block: The block.
            x: Its input, (n, slots, C).
            mixed: What attention made of it, before the last linear layer.
            extent: How much of the block runs.

        """
        full, bare = self._both(block.attn.proj, self.proj, mixed)
        own = None if bare is full else add(x, scaled(bare, extent.attention))
        h = add(x, scaled(full, extent.attention))
        own = h if own is None else own
        before = None
        if self.proj is not None:
            before = scaled(self.proj.codes(self._drop(mixed)), _by_row(extent.attention, x))
        change, own_change, after = self._mlp(block, h, own, before, extent)
        if own is not h or own_change is not change:
            # The same change goes into two streams then, and `scatter_rows()` overwrites it.
            own = scatter_rows(own, scaled(own_change, extent.mlp) + 0, extent.tokens)
        out = scatter_rows(h, scaled(change, extent.mlp), extent.tokens)
        after = None if after is None else _spread(after, extent, x)
        return out, self._streams(out if own is h else own, before, after)

    def _mlp(
        self, block: SwinBlock, h: Tensor, own: Tensor, before: Tensor | None, extent: BlockMask
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return what the MLP adds, to the shared stream and to what the tasks add to, and codes.

        Args:
            block: The block.
            h: The shared stream after attention, (n, slots, C).
            own: What the tasks' streams add to, likewise.
            before: Codes of the tasks after attention, (tasks, n * slots, rank).
            extent: How much of the block runs.

        """
        mlp, outputs = block.mlp, block.mlp.outputs(extent.width)
        normed = block.norm2(gather_rows(h, extent.tokens))
        full, bare = self._both(mlp.fc1, self.fc1, normed, outputs)
        codes = None
        if self.fc1 is not None:
            own = gather_rows(own, extent.tokens)
            if before is not None and extent.tokens is not None:
                before = before.index_select(1, extent.tokens)
            codes = self._through_gelu(block.norm2, own, before, bare, extent.channels)
        hidden = scaled(gelu(full), extent.channels)
        if self.fc2 is not None and self.fc1 is None:
            codes = self.fc2.codes(self._drop(hidden))
        return (*self._both(mlp.fc2, self.fc2, hidden), codes)

    def _through_gelu(
        self,
        norm: nn.Module,
        own: Tensor,
        before: Tensor | None,
        shared: Tensor,
        channels: Tensor | None,
    ) -> Tensor:
        """Return the codes after the MLP where each task has hidden channels of its own.

        These are many, so they are worked off in pieces that stay in the cache.
        """
        own, shared = own.reshape(-1, own.shape[-1]), shared.reshape(-1, shared.shape[-1])
        if channels is not None:
            channels = channels.expand(-1, len(shared) // len(channels), -1).flatten(0, 1)
        size = max(1, CHUNK // (self.count * shared.shape[-1]))
        size = max(1, len(own)) if torch.is_grad_enabled() else size
        pieces = []
        for first in range(0, len(own), size):
            rows = slice(first, first + size)
            codes = None if before is None else before[:, rows]
            factor = None if channels is None else channels[rows]
            pieces.append(self._piece(norm, own[rows], codes, shared[rows], factor))
        return torch.cat(pieces, 1) if pieces else own.new_zeros(self.count, 0, self._rank)

    def _piece(
        self,
        norm: nn.Module,
        own: Tensor,
        before: Tensor | None,
        shared: Tensor,
        channels: Tensor | None,
    ) -> Tensor:
        assert self.fc1 is not None
        assert self.fc2 is not None
        streams = own.expand(self.count, -1, -1)
        if before is not None:
            assert self.proj is not None
            streams = torch.baddbmm(streams, before, self.proj.up)
        codes = self.fc1.own_codes(self._drop(norm(streams)))
        shared = shared.expand(self.count, -1, -1)
        hidden = torch.baddbmm(shared, codes, self.fc1.up[..., : shared.shape[-1]])
        return self.fc2.own_codes(self._drop(scaled(gelu(hidden), channels)))

    @property
    def _rank(self) -> int:
        assert self.fc2 is not None
        return self.fc2.down.shape[1]

    def _both(
        self, layer: LoRALinear, pair: Pair | None, x: Tensor, outputs: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Apply a layer, for the shared stream and for what the tasks add to."""
        full, bare = layer.both(x, outputs)
        return full, bare if self.bare and pair is not None else full

    def _streams(self, own: Tensor, before: Tensor | None, after: Tensor | None) -> Streams:
        terms = [
            (codes, pair.up)
            for codes, pair in ((before, self.proj), (after, self.fc2))
            if codes is not None and pair is not None
        ]
        codes, up = torch.cat([one for one, _ in terms], -1), torch.cat([u for _, u in terms], 1)
        return Streams(own, codes, up)

    def _drop(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.dropout, self.dropout > 0)


def _spread(codes: Tensor, extent: BlockMask, x: Tensor) -> Tensor:
    """Bring the MLP's codes to all rows of (n, slots, C): zero where no MLP ran."""
    if extent.tokens is not None:
        full = codes.new_zeros(len(codes), x.shape[0] * x.shape[1], codes.shape[-1])
        codes = full.index_copy(1, extent.tokens, codes)
    return scaled(codes, _by_row(extent.mlp, x))


def _by_row(factor: Tensor | None, x: Tensor) -> Tensor | None:
    """Repeat a factor for (n, slots, C) by row, (n * slots, 1)."""
    return None if factor is None else factor.expand(*x.shape[:2], 1).reshape(-1, 1)


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
        self._kept: WeightCache[dict[str, Pair]] = WeightCache(CACHED_COMBINATIONS)
        for layer in layers:
            of = layer_of(block, layer)
            pairs = {
                name: LoRALayer(of.in_features, of.out_features, rank, scale, dropout, generator)
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
            layer: [cast('LoRALayer', cast('nn.ModuleDict', pairs)[name]) for name in names]
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

    def _stack(self, pairs: list[LoRALayer]) -> Pair:
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


def layer_of(block: SwinBlock, name: str) -> LoRALinear:
    """Return the linear layer with that name."""
    return cast('LoRALinear', getattr(block.attn if name in ('qkv', 'proj') else block.mlp, name))


def _lengthen(matrix: Tensor, gap: int) -> Tensor:
    """Add rows of zeros."""
    return functional.pad(matrix, (0, 0, 0, gap)) if gap else matrix
