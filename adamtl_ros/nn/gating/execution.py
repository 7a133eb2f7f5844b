# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Execution of an encoder's blocks: by plans at inference, under gates with gradients in training.

Both classes are strategies for the encoders' `forward()`; see `swin.encoder.Execution` and
`efficientnet.encoder.Execution`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from adamtl_ros.nn.adapters.lora import per_task_features, run_block, tasks_with_branches
from adamtl_ros.nn.swin.encoder import BlockMask, hidden_channels
from adamtl_ros.nn.swin.windows import permutation, reorder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adamtl_ros.nn.efficientnet.encoder import MBConv
    from adamtl_ros.nn.gating.gates import Gates
    from adamtl_ros.nn.gating.plan import BlockPlan, Plan
    from adamtl_ros.nn.swin.encoder import Mlp, SwinBlock
    from adamtl_ros.nn.swin.windows import WindowGrid


class PlannedExecution:
    """Execution that runs each image of a batch by its own plan.

    A block whose plan is the same for all images, with all windows and tokens, runs densely.
    Otherwise the windows that run are gathered, of all images together, and scattered back;
    images that differ in width or branches run one group after the other. A task whose branch is
    not in the plan gets the block's shared features, and nothing of its branch is computed.
    """

    def __init__(self, plans: Sequence[Plan]) -> None:
        self.plans = tuple(plans)

    def idle(self, stage: int) -> bool:
        """Whether no block of a stage runs on any image."""
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
        """Run a block on the images and windows that are planned; see `Execution`."""
        stage, index = place
        plans = [plan.stages[stage][index] for plan in self.plans]
        if not any(plan.run for plan in plans):
            return x, source, None
        first = plans[0]
        if first.windows is None and first.tokens is None and all(p == first for p in plans):
            return _run_densely(block, x, source, grid, first, tasks)
        groups = {
            image: (plan.width, tuple(tasks_with_branches(block, plan.allowed_branches(tasks))))
            for image, plan in enumerate(plans)
            if plan.run
        }
        branching = any(names for _, names in groups.values())
        features = x.expand(len(tasks), *x.shape).clone() if branching else None
        for group in sorted(set(groups.values())):
            members = {image: plans[image] for image in groups if groups[image] == group}
            rows, out, own = _run_windows(block, x, source, grid, members, group[1])
            x = x.reshape(-1, x.shape[-1]).index_copy(0, rows, out).view_as(x)
            if features is not None:
                _write_rows(features, rows, tasks, out, own)
        return x, source, features

    def residual(self, place: tuple[int, int], block: MBConv, x: Tensor) -> Tensor:
        """Run a residual block on the images whose plan has it; see `Execution`."""
        stage, index = place
        runs = [plan.stages[stage][index].run for plan in self.plans]
        if not any(runs):
            return x
        if all(runs):
            return block(x)
        rows = torch.tensor(runs, device=x.device).nonzero()[:, 0]
        return x.index_copy(0, rows, block(x.index_select(0, rows)).to(x.dtype))


def _run_densely(
    block: SwinBlock,
    x: Tensor,
    source: WindowGrid | None,
    grid: WindowGrid,
    plan: BlockPlan,
    tasks: Sequence[str],
) -> tuple[Tensor, WindowGrid | None, Tensor | None]:
    """Run a block on all windows of all images."""
    windows = reorder(x, source, grid).view(-1, grid.slots, x.shape[-1])  # n, slots, C
    branches = tasks_with_branches(block, plan.allowed_branches(tasks))
    out, features = run_block(block, windows, grid, BlockMask(plan.width), branches)
    if features is None:
        return out.view_as(x), grid, None
    x, features = features.to_row_major(out, grid)
    return x, None, per_task_features(tasks, branches, features.expand(), x)


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
        block: Block to run.
        x: Tokens of all images, (B, padded tokens, C).
        source: Window order of x; None for row-major.
        grid: The block's own window order.
        plans: Plan of the block, by index of the image.
        branches: Tasks whose branches run.

    Returns:
        Rows of x that ran, in any order, (k,); the shared features on them, (k, C); and likewise
        the features of each task whose branch ran.

    """
    order = permutation(source, grid, x.device)  # padded tokens
    chosen = {image: _windows(plan, grid, x.device) for image, plan in plans.items()}
    rows = torch.cat([_rows(order, grid, chosen[image]) + image * len(order) for image in chosen])
    flat = x.reshape(-1, x.shape[-1])
    gathered = flat.index_select(0, rows).view(-1, grid.slots, x.shape[-1])  # n, slots, C
    mask = BlockMask(
        next(iter(plans.values())).width,
        torch.cat(list(chosen.values())),
        _tokens(plans, chosen, grid),
    )
    out, features = run_block(block, gathered, grid, mask, branches)
    own = () if features is None else features.expand().flatten(1, 2)
    return rows, out.flatten(0, 1), dict(zip(branches, own, strict=True))


def _write_rows(
    features: Tensor, rows: Tensor, tasks: Sequence[str], shared: Tensor, own: dict[str, Tensor]
) -> None:
    """Write rows of the features of all tasks, the shared ones where a task has none."""
    for number, task in enumerate(tasks):
        values = own.get(task, shared).to(features.dtype)
        features[number].flatten(0, 1).index_copy_(0, rows, values)


def _windows(plan: BlockPlan, grid: WindowGrid, device: torch.device) -> Tensor:
    """Return the windows of the grid that run on an image, (windows,)."""
    if plan.windows is None:
        return torch.arange(grid.count, device=device)
    return torch.tensor(plan.windows, dtype=torch.long, device=device)


def _rows(order: Tensor, grid: WindowGrid, windows: Tensor) -> Tensor:
    """Return the positions of the tokens of some windows, (windows * slots,)."""
    return order.view(grid.count, grid.slots).index_select(0, windows).view(-1)


def _tokens(
    plans: dict[int, BlockPlan], windows: dict[int, Tensor], grid: WindowGrid
) -> Tensor | None:
    """Return the rows among the gathered ones that pass the MLP, (k,); None for all."""
    if all(plan.tokens is None for plan in plans.values()):
        return None
    found, before = [], 0
    for image, plan in plans.items():
        device = windows[image].device
        numbers = windows[image][:, None] * grid.slots + torch.arange(grid.slots, device=device)
        passing = torch.ones_like(numbers.view(-1), dtype=torch.bool)
        if plan.tokens is not None:
            passing = torch.isin(numbers.view(-1), torch.tensor(plan.tokens, device=device))
        found.append(passing.nonzero()[:, 0] + before)
        before += len(passing)
    return torch.cat(found)


class RelaxedExecution:
    """Execution that computes every block and multiplies what gates shut by zero, for training.

    With gates of 0 and 1 the result equals that of the plans that these stand for, and gradients
    reach the gates. Branches without gates of their own are open where the block is.
    """

    def __init__(self, gates: Gates, depths: Sequence[int], narrow: float) -> None:
        """Store the gates.

        Args:
            gates: Open (1) or shut (0), as `gumbel_sigmoid()` draws them.
            depths: Number of blocks of each stage.
            narrow: Fraction of the hidden channels of a block whose width gate is shut.

        """
        self.gates = gates
        self.depths = tuple(depths)
        self.narrow = narrow

    def idle(self, stage: int) -> bool:  # noqa: ARG002
        """Return False: every block is computed, whatever its gates."""
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
        gates = {name: value[:, number].to(x) for name, value in self.gates.present.items()}
        windows = reorder(x, source, grid).reshape(-1, grid.slots, x.shape[-1])  # n, slots, C
        out, features = run_block(block, windows, grid, self._mask(block, gates, grid, x), tasks)
        out = out.view_as(x)
        if features is None:
            return out, grid, None
        branches, own = tasks_with_branches(block, tasks), features.expand().view(-1, *x.shape)
        if 'branches' in gates:
            columns = [list(tasks).index(name) for name in branches]
            own = _gate_features(own, out, gates['branches'][:, columns])
        return out, grid, per_task_features(tasks, branches, own, out)

    def residual(self, place: tuple[int, int], block: MBConv, x: Tensor) -> Tensor:
        """Run a residual block under its gate; see `Execution`."""
        assert self.gates.blocks is not None
        number = sum(self.depths[: place[0]]) + place[1]
        return block(x, self.gates.blocks[:, number].to(x)[:, None, None, None])

    def _mask(
        self, block: SwinBlock, gates: dict[str, Tensor], grid: WindowGrid, x: Tensor
    ) -> BlockMask:
        """Return the gates of a block as factors: attention and MLP (n, 1 or slots, 1)."""
        attention = _window_gates(gates, grid, x)
        mlp = attention
        if 'tokens' in gates:
            mlp = mlp * gates['tokens'][:, : grid.count].reshape(-1, grid.slots, 1)
        channels = self._channel_gates(block.mlp, gates.get('widths'), grid)
        return BlockMask(attention=attention, mlp=mlp, channels=channels)

    def _channel_gates(self, mlp: Mlp, wide: Tensor | None, grid: WindowGrid) -> Tensor | None:
        """Return the factor on the hidden channels, (n, 1, hidden).

        It is 1 for the narrow ones, and the width gate (B,) for the others.
        """
        if wide is None:
            return None
        wide = wide.repeat_interleave(grid.count)[:, None, None]
        hidden = mlp.fc1.out_features
        narrow = torch.arange(hidden, device=wide.device) < hidden_channels(hidden, self.narrow)
        return torch.where(narrow, torch.ones_like(wide), wide)


def _gate_features(features: Tensor, shared: Tensor, gates: Tensor) -> Tensor:
    """Gate what the features of tasks have beyond the shared ones.

    A task whose gate is shut gets the shared features, also if its branch bypasses a shared pair.

    Args:
        features: Features of each task, (tasks, B, tokens, C).
        shared: Shared features, (B, tokens, C).
        gates: Open (1) or shut (0), (B, tasks).

    """
    return torch.lerp(shared, features.to(shared), gates.T[..., None, None].to(shared))


def _window_gates(gates: dict[str, Tensor], grid: WindowGrid, x: Tensor) -> Tensor:
    """Return the product of block and window gates, (images * windows, 1, 1)."""
    product = x.new_ones(len(x), grid.count)
    if 'blocks' in gates:
        product = product * gates['blocks'][:, None]
    if 'windows' in gates:
        product = product * gates['windows'][:, : grid.count]
    return product.view(-1, 1, 1)
