# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Running an encoder under gates with gradients, for training: everything is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from adamtl_ros.nn.adapters.task_lora import for_all
from adamtl_ros.nn.swin.encoder import BlockMask, hidden_channels, reorder
from adamtl_ros.nn.swin.windows import permutation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adamtl_ros.nn.gating.gates import Gates
    from adamtl_ros.nn.gating.plan import BlockPlan, Plan
    from adamtl_ros.nn.swin.encoder import Mlp, SwinBlock
    from adamtl_ros.nn.swin.windows import WindowGrid


class PlannedExecution:
    """Runs each image of a batch by its own plan.

    Blocks that run alike on all images run densely. Otherwise the windows that run are gathered,
    of all images together, and put back; images whose widths or branches differ take turns. A
    task whose branch a plan leaves out gets the block's shared stream, and nothing of its branch
    is computed.
    """

    def __init__(self, plans: Sequence[Plan]) -> None:
        self.plans = tuple(plans)

    def idle(self, stage: int) -> bool:
        """Whether no block of the stage runs on any image."""
        return not any(block.run for plan in self.plans for block in plan.stages[stage])

    def block(
        self,
        place: tuple[int, int],
        block: SwinBlock,
        x: Tensor,
        source: WindowGrid | None,
        grid: WindowGrid,
        tasks: Sequence[str] = (),
    ) -> tuple[Tensor, WindowGrid | None, Tensor | None]:
        """Run a block on the images and windows that are to; see `Execution`."""
        stage, index = place
        plans = [plan.stages[stage][index] for plan in self.plans]
        if not any(plan.run for plan in plans):
            return x, source, None
        first = plans[0]
        if first.windows is None and first.tokens is None and all(p == first for p in plans):
            return _run_densely(block, x, source, grid, first, tasks)
        kinds = {
            image: (plan.width, tuple(block.branching(plan.served(tasks))))
            for image, plan in enumerate(plans)
            if plan.run
        }
        branching = any(names for _, names in kinds.values())
        streams = x.expand(len(tasks), *x.shape).clone() if branching else None
        for kind in sorted(set(kinds.values())):
            alike = {image: plans[image] for image in kinds if kinds[image] == kind}
            rows, out, own = _run_windows(block, x, source, grid, alike, kind[1])
            x = x.reshape(-1, x.shape[-1]).index_copy(0, rows, out).view_as(x)
            if streams is not None:
                _write(streams, rows, tasks, out, own)
        return x, source, streams


def _run_densely(
    block: SwinBlock,
    x: Tensor,
    source: WindowGrid | None,
    grid: WindowGrid,
    plan: BlockPlan,
    tasks: Sequence[str],
) -> tuple[Tensor, WindowGrid | None, Tensor | None]:
    """Run a block on all windows of all images."""
    windows = reorder(x, source, grid).view(-1, grid.slots, x.shape[-1])
    branches = block.branching(plan.served(tasks))
    out, streams = block(windows, grid, BlockMask(plan.width), branches)
    if streams is None:
        return out.view_as(x), grid, None
    x, streams = streams.reordered(out, grid)
    return x, None, for_all(tasks, branches, streams.written(), x)


def _run_windows(
    block: SwinBlock,
    x: Tensor,
    source: WindowGrid | None,
    grid: WindowGrid,
    plans: dict[int, BlockPlan],
    branches: Sequence[str],
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Run a block on the windows of some images, with one width and the same branches.

    Args:
        block: The block.
        x: (B, padded tokens, C), of all images.
        source: Its order.
        grid: The block's.
        plans: By image.
        branches: Tasks whose branches run.

    Returns:
        Rows of x that ran, in any order, (n,); what became of them, (n, C); and likewise the
        streams of the tasks whose branches ran.

    """
    order = permutation(source, grid, x.device)
    chosen = {image: _windows(plan, grid, x.device) for image, plan in plans.items()}
    rows = torch.cat([_rows(order, grid, chosen[image]) + image * len(order) for image in chosen])
    flat = x.reshape(-1, x.shape[-1])
    gathered = flat.index_select(0, rows).view(-1, grid.slots, x.shape[-1])
    extent = BlockMask(
        next(iter(plans.values())).width,
        torch.cat(list(chosen.values())),
        _tokens(plans, chosen, grid),
    )
    out, streams = block(gathered, grid, extent, branches)
    own = () if streams is None else streams.written().flatten(1, 2)
    return rows, out.flatten(0, 1), dict(zip(branches, own, strict=True))


def _write(
    streams: Tensor, rows: Tensor, tasks: Sequence[str], shared: Tensor, own: dict[str, Tensor]
) -> None:
    """Write rows of the streams of all tasks; those without one of their own get the shared."""
    for number, task in enumerate(tasks):
        values = own.get(task, shared).to(streams.dtype)
        streams[number].flatten(0, 1).index_copy_(0, rows, values)


def _windows(plan: BlockPlan, grid: WindowGrid, device: torch.device) -> Tensor:
    """Windows of the grid that run on an image, (n,)."""
    if plan.windows is None:
        return torch.arange(grid.count, device=device)
    return torch.tensor(plan.windows, dtype=torch.long, device=device)


def _rows(order: Tensor, grid: WindowGrid, windows: Tensor) -> Tensor:
    """Where the tokens of these windows lie, (n * slots,)."""
    return order.view(grid.count, grid.slots).index_select(0, windows).view(-1)


def _tokens(
    plans: dict[int, BlockPlan], windows: dict[int, Tensor], grid: WindowGrid
) -> Tensor | None:
    """Rows among the gathered ones that pass the MLP, (n,); None for all."""
    if all(plan.tokens is None for plan in plans.values()):
        return None
    found, before = [], 0
    for image, plan in plans.items():
        device = windows[image].device
        numbers = windows[image][:, None] * grid.slots + torch.arange(grid.slots, device=device)
        kept = torch.ones_like(numbers.view(-1), dtype=torch.bool)
        if plan.tokens is not None:
            kept = torch.isin(numbers.view(-1), torch.tensor(plan.tokens, device=device))
        found.append(kept.nonzero()[:, 0] + before)
        before += len(kept)
    return torch.cat(found)


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
        extent = BlockMask(attention=attended, mlp=passing, channels=channels)
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
