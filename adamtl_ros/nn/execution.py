# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Running an encoder by plans: what a plan leaves out is not computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from adamtl_ros.nn.block import Extent
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
    of all images together, and put back; images whose widths differ take turns.
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
            windows = reorder(x, source, grid).view(-1, grid.slots, x.shape[-1])
            out, streams = block(windows, grid, Extent(first.width), tasks)
            if streams is None:
                return out.view_as(x), grid, None
            x, streams = streams.reordered(out, grid)
            return x, None, streams.written()
        written = None if block.branches is None else block.branches.shared_by(tasks, x)
        for width in sorted({plan.width for plan in plans if plan.run}):
            alike = {i: p for i, p in enumerate(plans) if p.run and p.width == width}
            x, written = _run_windows(block, x, written, source, grid, alike, tasks)
        return x, source, written


def _run_windows(
    block: SwinBlock,
    x: Tensor,
    streams: Tensor | None,
    source: WindowGrid | None,
    grid: WindowGrid,
    plans: dict[int, BlockPlan],
    tasks: Sequence[str],
) -> tuple[Tensor, Tensor | None]:
    """Run a block on the windows of some images, whose plans have one width, by image."""
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
    out, own = block(gathered, grid, extent, tasks)
    x = flat.index_copy(0, rows, out.view(-1, x.shape[-1])).view_as(x)
    if streams is not None and own is not None:
        written = own.written().flatten(1, 2)
        streams.flatten(1, 2).index_copy_(1, rows, written.to(streams.dtype))
    return x, streams


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
