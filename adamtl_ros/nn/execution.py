# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Running an encoder by plans: what a plan leaves out is not computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from adamtl_ros.nn.block import Extent
from adamtl_ros.nn.branches import for_all
from adamtl_ros.nn.swin import reorder
from adamtl_ros.nn.windows import regather

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adamtl_ros.nn.block import SwinBlock
    from adamtl_ros.nn.plan import BlockPlan, Plan
    from adamtl_ros.nn.windows import WindowGrid


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
    out, streams = block(windows, grid, Extent(plan.width), branches)
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
    order = regather(source, grid, x.device)
    chosen = {image: _windows(plan, grid, x.device) for image, plan in plans.items()}
    rows = torch.cat([_rows(order, grid, chosen[image]) + image * len(order) for image in chosen])
    flat = x.reshape(-1, x.shape[-1])
    gathered = flat.index_select(0, rows).view(-1, grid.slots, x.shape[-1])
    extent = Extent(
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
