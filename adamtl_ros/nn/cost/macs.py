# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Exact multiply-accumulates (MACs) of an architecture, in closed form.

Counted are matrix products, convolutions and attention products, as executed: padding
included, biases, normalisation, activations, resampling and gathers not. Nor are products of
weights with weights, which are kept between frames.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import torch

from adamtl_ros.nn.decoders.hrnet import level_dims
from adamtl_ros.nn.gating.plan import uniform_plan
from adamtl_ros.nn.gating.policy import cell_grid
from adamtl_ros.nn.swin.encoder import hidden_channels
from adamtl_ros.nn.swin.windows import ceil_to, window_grid

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor

    from adamtl_ros.nn.adapters.config import LoraConfig
    from adamtl_ros.nn.gating.gates import Gates
    from adamtl_ros.nn.gating.plan import BlockPlan, Plan
    from adamtl_ros.nn.gating.policy import PolicyConfig
    from adamtl_ros.nn.swin.architecture import Architecture
    from adamtl_ros.tasks import Task


@dataclass(frozen=True)
class BranchCost:
    """MACs that the branches of one task add to a block.

    Attributes:
        tasks: Those that have branches.
        slot: For each token of a window that runs.
        token: For each token that passes the MLP.
        channel: For each of its hidden channels that run.

    """

    tasks: tuple[str, ...]
    slot: int
    token: int
    channel: int


@dataclass(frozen=True)
class BlockCost:
    """MACs of one block.

    Attributes:
        windows: Attention windows of its grid.
        slots: Tokens of a window.
        attention: MACs of the attention of one window, projections included.
        channel: MACs of one hidden channel of the MLP for one token.
        hidden: Hidden channels of the MLP.
        token: MACs of one token that passes the MLP, besides its hidden channels.
        branch: What each task that has low-rank branches here adds.

    """

    windows: int
    slots: int
    attention: int
    channel: int
    hidden: int
    token: int = 0
    branch: BranchCost | None = None

    def serving(self, tasks: Iterable[str]) -> BlockCost:
        """Return the cost with the branches of these tasks in it."""
        if self.branch is None:
            return self
        count = sum(task in self.branch.tasks for task in tasks)
        return replace(
            self,
            attention=self.attention + count * self.slots * self.branch.slot,
            channel=self.channel + count * self.branch.channel,
            token=self.token + count * self.branch.token,
            branch=None,
        )

    def windows_run(self, plan: BlockPlan) -> int:
        """Return the windows that a plan executes."""
        if not plan.run:
            return 0
        return self.windows if plan.windows is None else len(plan.windows)

    def of(self, plan: BlockPlan) -> int:
        """Return the MACs of a plan."""
        windows = self.windows_run(plan)
        tokens = windows * self.slots
        if plan.tokens is not None and plan.run:
            chosen = None if plan.windows is None else set(plan.windows)
            tokens = sum(chosen is None or t // self.slots in chosen for t in plan.tokens)
        return windows * self.attention + tokens * self.mlp(plan.width)

    def mlp(self, width: float) -> int:
        """Return the MACs of the MLP for one token."""
        return self.token + self.channel * hidden_channels(self.hidden, width)


@dataclass(frozen=True)
class Complexity:
    """MACs of one image of one size, by part.

    Attributes:
        blocks: Of each block of all stages, without the branches of tasks.
        size: Height and width of the image.
        depths: Blocks of each stage.
        grid: Height and width of the first stage's tokens.
        fixed: What always runs in the encoder: patch embedding and merging.
        decoders: By task name.
        policy: Of the policy's look at the frame; it is taken where there is a choice.
        heads: Of the policy's head for each task, or of the one for all as 'shared'.
        narrow: Share of the hidden channels of a block whose width gate is shut.

    """

    blocks: tuple[BlockCost, ...]
    size: tuple[int, int]
    depths: tuple[int, ...]
    grid: tuple[int, int]
    fixed: int
    decoders: Mapping[str, int]
    policy: int
    heads: Mapping[str, int]
    narrow: float

    def fixed_for(self, tasks: Iterable[str]) -> int:
        """Return the MACs of everything but the blocks and the policy."""
        return self.fixed + sum(self.decoders[task] for task in tasks)

    def full(self, tasks: Iterable[str]) -> int:
        """Return the MACs with everything on, without the policy."""
        return self.total(uniform_plan(self.depths), tasks)

    def total(self, plan: Plan, tasks: Iterable[str]) -> int:
        """Return the MACs of a plan for these tasks, without the policy."""
        names = tuple(tasks)
        costs = zip(self.blocks, plan.blocks, strict=True)
        return self.fixed_for(names) + sum(
            cost.serving(block.served(names)).of(block) for cost, block in costs
        )

    def asking(self, heads: Iterable[str]) -> int:
        """Return the MACs of asking these heads of the policy."""
        return self.policy + sum(self.heads[head] for head in heads)

    def check(self, plan: Plan) -> None:
        """Check that a plan fits.

        Raises:
            ValueError: Another number of blocks; windows or tokens that are not there, named
                twice or out of order; a block that runs on no window; or an unknown task.

        """
        depths = tuple(map(len, plan.stages))
        if depths != self.depths:
            raise ValueError(f'plan for stages of {depths} blocks, the network has {self.depths}')
        for number, (cost, block) in enumerate(zip(self.blocks, plan.blocks, strict=True)):
            where = f'block {number} of the plan'
            _check_numbers(f'{where}, windows', block.windows, cost.windows)
            _check_numbers(f'{where}, tokens', block.tokens, cost.windows * cost.slots)
            if block.run and block.windows == ():
                raise ValueError(f'{where} runs on no window; say run=False')
            for task in block.tasks or ():
                if task not in self.decoders:
                    known = ', '.join(self.decoders)
                    raise ValueError(f"{where}: unknown task '{task}', choose from: {known}")

    def windows_run(self, plan: Plan) -> int:
        """Return the attention windows that a plan executes, summed over the blocks."""
        costs = zip(self.blocks, plan.blocks, strict=True)
        return sum(cost.windows_run(block) for cost, block in costs)

    def gated(self, gates: Gates, tasks: Iterable[str]) -> Tensor:
        """Return the MACs of the blocks for tasks under gates, without the rest, (B,) double.

        Gates of 0 and 1 give exact counts, those between expected ones; gradients pass.
        """
        names = tuple(tasks)
        shared = names if gates.branches is None else ()
        windows, slots, *macs = self.table(shared).to(gates.device)
        if gates.branches is not None:
            macs = self._with_branches(macs, gates.branches, names)
        attention, least, most = macs
        mlp = most if gates.widths is None else least + (most - least) * gates.widths
        count = windows if gates.windows is None else gates.windows.sum(-1)
        spent = count * attention + _passing(gates, count * slots) * mlp
        return (spent if gates.blocks is None else spent * gates.blocks).sum(-1)

    def _with_branches(
        self, macs: list[Tensor], gates: Tensor, tasks: tuple[str, ...]
    ) -> list[Tensor]:
        """Add the branches that gates of their own leave open, (blocks,) to (B, blocks)."""
        branches = self.branch_table(tasks).to(gates.device)
        own = torch.einsum('bkt,tmk->mbk', gates.double(), branches)
        return [shared + more for shared, more in zip(macs, own, strict=True)]

    def branch_table(self, tasks: Iterable[str]) -> Tensor:
        """Return what the branch of each task adds to the MACs of a table, (tasks, 3, blocks)."""
        return torch.stack([(self.table((task,)) - self.table(()))[2:] for task in tasks])

    def table(self, tasks: Iterable[str]) -> Tensor:
        """Sizes of the blocks for tasks as rows, (5, blocks) double; made once for each.

        They are windows, slots, and the MACs of a window's attention, a token's narrow MLP and
        its full one.
        """
        names = tuple(tasks)
        if names not in self._tables:
            self._tables[names] = self._table(names)
        return self._tables[names]

    @cached_property
    def _tables(self) -> dict[tuple[str, ...], Tensor]:
        return {}

    @torch.inference_mode(mode=False)
    def _table(self, tasks: tuple[str, ...]) -> Tensor:
        serving = [cost.serving(tasks) for cost in self.blocks]
        rows = [
            (cost.windows, cost.slots, cost.attention, cost.mlp(self.narrow), cost.mlp(1.0))
            for cost in serving
        ]
        return torch.tensor(rows, dtype=torch.double).T.contiguous()


def _check_numbers(what: str, numbers: tuple[int, ...] | None, count: int) -> None:
    """Check that numbers ascend within 0 and a count."""
    if not numbers:
        return
    ascend = all(a < b for a, b in itertools.pairwise(numbers))
    if numbers[0] < 0 or numbers[-1] >= count or not ascend:
        raise ValueError(f'{what} must ascend within 0..{count - 1}, got {numbers}')


def _passing(gates: Gates, everything: Tensor) -> Tensor:
    """Tokens that pass the MLP of each block, where its blocks gate is open."""
    if gates.tokens is None:
        return everything
    if gates.windows is None:
        return gates.tokens.sum((-2, -1))
    return (gates.tokens * gates.windows[..., None]).sum((-2, -1))


@lru_cache(maxsize=256)
def complexity(
    arch: Architecture,
    size: tuple[int, int],
    tasks: tuple[Task, ...],
    policy: PolicyConfig,
    adapters: LoraConfig | None = None,
    *,
    folded: bool = True,
) -> Complexity:
    """Count the MACs of an architecture.

    Args:
        arch: The architecture.
        size: Input height and width.
        tasks: All that there are.
        policy: What the policy decides.
        adapters: Low-rank adapters; None for none.
        folded: Whether they are folded where they can be.

    """
    grids = stage_grids(arch, size)
    embed = grids[0][0] * grids[0][1] * arch.embed_dim * 3 * arch.patch**2
    blocks = [
        _adapted(_block(arch, grids[stage], dim), adapters, stage, index + 1 == depth, folded)
        for stage, (dim, depth) in enumerate(zip(arch.dims, arch.depths, strict=True))
        for index in range(depth)
    ]
    head = _policy_head(arch, grids[0], policy)
    return Complexity(
        blocks=tuple(blocks),
        size=size,
        depths=arch.depths,
        grid=grids[0],
        fixed=embed + _merging(arch, grids, None if folded else adapters),
        decoders={task.name: _decoder(arch, grids, task.channels) for task in tasks},
        policy=_policy_trunk(arch, grids[0], policy),
        heads=dict.fromkeys(policy.heads(task.name for task in tasks), head),
        narrow=policy.narrow,
    )


def stage_grids(arch: Architecture, size: tuple[int, int]) -> list[tuple[int, int]]:
    """Token grid of each stage; sides are rounded up on the way down."""
    height, width = (ceil_to(side, arch.patch) // arch.patch for side in size)
    grids = []
    for _ in arch.depths:
        grids.append((height, width))
        height, width = (height + 1) // 2, (width + 1) // 2
    return grids


def _block(arch: Architecture, grid: tuple[int, int], dim: int) -> BlockCost:
    cut = window_grid(*grid, arch.window, False)
    attention = cut.slots * (4 * dim**2 + 2 * cut.slots * dim)
    return BlockCost(cut.count, cut.slots, attention, 2 * dim, arch.mlp_ratio * dim)


def _adapted(
    cost: BlockCost, adapters: LoraConfig | None, stage: int, last: bool, folded: bool
) -> BlockCost:
    """Add what low-rank pairs cost that are not folded, and the branches of tasks."""
    if adapters is None:
        return cost
    dim, rank = cost.channel // 2, adapters.shared.ranks[stage]
    beside = {
        layer: rank
        for layer in adapters.shared_layers
        if not (folded and adapters.folds(layer, stage, last=last))
    }
    slot = (4 * beside.get('qkv', 0) + 2 * beside.get('proj', 0)) * dim
    mlp = beside.get('fc1', 0) + beside.get('fc2', 0)
    return BlockCost(
        cost.windows,
        cost.slots,
        cost.attention + cost.slots * slot,
        cost.channel + mlp,
        cost.hidden,
        mlp * dim,
        _branch(adapters, stage, dim) if last else None,
    )


def _branch(adapters: LoraConfig, stage: int, dim: int) -> BranchCost | None:
    """Count what the branch of each task does; see `branches.Factors`."""
    pairs, layers = adapters.branching(stage), adapters.task_layers
    if not pairs:
        return None
    rank = max(rank for rank, _ in pairs.values())
    proj, fc1, fc2 = ('proj' in layers, 'fc1' in layers, 'fc2' in layers)
    return BranchCost(
        tasks=tuple(pairs),
        # Codes of the attention; and all codes times directions at the end.
        slot=rank * dim * (proj + proj + fc2),
        # The stream written out before the norm, and its codes.
        token=rank * dim * (proj + 1) * fc1,
        # Hidden channels of its own, and their codes.
        channel=rank * (fc1 + fc2),
    )


def _merging(arch: Architecture, grids: list[tuple[int, int]], adapters: LoraConfig | None) -> int:
    ranks = adapters.merging.ranks if adapters and adapters.merging else (0,) * len(grids)
    return sum(
        height * width * (8 * dim**2 + 6 * dim * rank)
        for (height, width), dim, rank in zip(grids[1:], arch.dims, ranks, strict=False)
    )


def _decoder(arch: Architecture, grids: list[tuple[int, int]], channels: int) -> int:
    if arch.decoder == 'hrnet':
        return _hrnet(arch, grids, channels)
    dim = arch.decoder_dim
    laterals = sum(h * w * width * dim for (h, w), width in zip(grids, arch.dims, strict=True))
    height, width = grids[0]
    return laterals + height * width * dim * (9 + dim + channels)


def _hrnet(arch: Architecture, grids: list[tuple[int, int]], channels: int) -> int:
    dims = level_dims(arch)
    merged = [*grids[1:], grids[-1]]
    inputs = [4 * dim for dim in arch.dims[:-1]] + [arch.dims[-1]]
    levels = sum(h * w * a * b for (h, w), a, b in zip(merged, inputs, dims, strict=True))
    height, width = merged[0]
    return levels + height * width * 4 * sum(dims) * (sum(dims) + channels)


def _policy_trunk(arch: Architecture, grid: tuple[int, int], policy: PolicyConfig) -> int:
    rows, columns = cell_grid(*grid)
    squeeze = grid[0] * grid[1] * arch.embed_dim * policy.channels
    mix = rows * columns * 9 * policy.channels * 2 * policy.channels
    frame = 4 * policy.channels * policy.hidden
    return squeeze + mix + frame + policy.hidden + policy.hidden * 2 * policy.hidden


def _policy_head(arch: Architecture, grid: tuple[int, int], policy: PolicyConfig) -> int:
    rows, columns = cell_grid(*grid)
    places = rows * columns * 2 * policy.channels * len(arch.depths)
    head = policy.hidden * arch.block_count * len(policy.gates)
    return head + places * policy.has_map
