# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What a block does for tasks with low-rank pairs, all tasks in use side by side.

MTLoRA (Agiza et al. 2024), section 3.2: the frozen layers run once, on the shared stream, and
each task adds products of low rank. So a task's stream is the shared one plus a few *codes* per
token times a few directions, and is written out only once, at the end of the block.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from adamtl_ros.nn.inplace import add, gelu
from adamtl_ros.nn.rows import picked, put, scaled
from adamtl_ros.nn.windows import regather

if TYPE_CHECKING:
    from adamtl_ros.nn.adapted import AdaptedLinear
    from adamtl_ros.nn.block import Extent, SwinBlock
    from adamtl_ros.nn.windows import WindowGrid

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
        index = regather(source, None, shared.device)
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
        self, block: SwinBlock, x: Tensor, mixed: Tensor, extent: Extent
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
            # The same change goes into two streams then, and `put()` overwrites it.
            own = put(own, scaled(own_change, extent.mlp) + 0, extent.tokens)
        out = put(h, scaled(change, extent.mlp), extent.tokens)
        after = None if after is None else _spread(after, extent, x)
        return out, self._streams(out if own is h else own, before, after)

    def _mlp(
        self, block: SwinBlock, h: Tensor, own: Tensor, before: Tensor | None, extent: Extent
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
        normed = block.norm2(picked(h, extent.tokens))
        full, bare = self._both(mlp.fc1, self.fc1, normed, outputs)
        codes = None
        if self.fc1 is not None:
            own = picked(own, extent.tokens)
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
        self, layer: AdaptedLinear, pair: Pair | None, x: Tensor, outputs: int | None = None
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


def _spread(codes: Tensor, extent: Extent, x: Tensor) -> Tensor:
    """Bring the MLP's codes to all rows of (n, slots, C): zero where no MLP ran."""
    if extent.tokens is not None:
        full = codes.new_zeros(len(codes), x.shape[0] * x.shape[1], codes.shape[-1])
        codes = full.index_copy(1, extent.tokens, codes)
    return scaled(codes, _by_row(extent.mlp, x))


def _by_row(factor: Tensor | None, x: Tensor) -> Tensor | None:
    """Repeat a factor for (n, slots, C) by row, (n * slots, 1)."""
    return None if factor is None else factor.expand(*x.shape[:2], 1).reshape(-1, 1)
