# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Running an encoder under gates with gradients, for training: everything is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from adamtl_ros.nn.block import Extent, hidden_channels
from adamtl_ros.nn.branches import for_all
from adamtl_ros.nn.swin import reorder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adamtl_ros.nn.block import Mlp, SwinBlock
    from adamtl_ros.nn.gating import Gates
    from adamtl_ros.nn.windows import WindowGrid


class RelaxedExecution:
    """Computes every block and lets through what the gates leave open.

    With gates of 0 and 1 the result equals that of the plans which say the same, and gradients
    reach the gates. Branches without gates of their own go with the block.
    """

    def __init__(self, gates: Gates, depths: Sequence[int], narrow: float) -> None:
        """Prepare.

        Args:
            gates: Open (1) or shut (0), as `relax()` draws them.
            depths: Blocks of each stage.
            narrow: Share of the hidden channels of a block whose width gate is shut.

        """
        self.gates = gates
        self.depths = tuple(depths)
        self.narrow = narrow

    def idle(self, stage: int) -> bool:  # noqa: ARG002
        """Compute all stages."""
        return False

    def block(
        self,
        place: tuple[int, int],
        block: SwinBlock,
        x: Tensor,
        source: WindowGrid | None,
        grid: WindowGrid,
        tasks: Sequence[str] = (),
    ) -> tuple[Tensor, WindowGrid | None, Tensor | None]:
        """Run a block; see `Execution`."""
        number = sum(self.depths[: place[0]]) + place[1]
        here = {name: value[:, number].to(x) for name, value in self.gates.present.items()}
        passing = _by_window(here, grid, x)
        tokens = reorder(x, source, grid).reshape(-1, grid.slots, x.shape[-1])
        attended = passing
        if 'tokens' in here:
            passing = passing * here['tokens'][:, : grid.count].reshape(-1, grid.slots, 1)
        channels = self._channels(block.mlp, here.get('widths'), grid)
        extent = Extent(attention=attended, mlp=passing, channels=channels)
        out, streams = block(tokens, grid, extent, tasks)
        out = out.view_as(x)
        if streams is None:
            return out, grid, None
        served, written = block.branching(tasks), streams.written().view(-1, *x.shape)
        if 'branches' in here:
            columns = [list(tasks).index(name) for name in served]
            written = _let_through(written, out, here['branches'][:, columns])
        return out, grid, for_all(tasks, served, written, out)

    def _channels(self, mlp: Mlp, wide: Tensor | None, grid: WindowGrid) -> Tensor | None:
        """Return what counts of the hidden channels, (images * windows, 1, hidden).

        Those beyond the narrow ones count as much as the gate is open.
        """
        if wide is None:
            return None
        wide = wide.repeat_interleave(grid.count)[:, None, None]
        hidden = mlp.fc1.out_features
        always = torch.arange(hidden, device=wide.device) < hidden_channels(hidden, self.narrow)
        return torch.where(always, torch.ones_like(wide), wide)


def _let_through(streams: Tensor, shared: Tensor, gates: Tensor) -> Tensor:
    """Let through what streams of tasks, (tasks, B, ...), have more than the shared one.

    A task whose gate, (B, tasks), is shut has just that, also where its branch would have left
    out a shared pair.
    """
    return torch.lerp(shared, streams.to(shared), gates.T[..., None, None].to(shared))


def _by_window(gates: dict[str, Tensor], grid: WindowGrid, x: Tensor) -> Tensor:
    """Return what block and window gates let through, (images * windows, 1, 1)."""
    passing = x.new_ones(len(x), grid.count)
    if 'blocks' in gates:
        passing = passing * gates['blocks'][:, None]
    if 'windows' in gates:
        passing = passing * gates['windows'][:, : grid.count]
    return passing.view(-1, 1, 1)
