# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Exact multiply-accumulates (MACs) of the network, in closed form.

Counted are matrix products, convolutions and attention products, as executed: padding
included, biases, normalisation, activations, resampling and gathers not.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import torch

from adamtl_ros.nn.places import cell_grid
from adamtl_ros.nn.plan import uniform_plan
from adamtl_ros.nn.swin import hidden_channels
from adamtl_ros.nn.windows import ceil_to, window_grid

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor

    from adamtl_ros.nn.architecture import Architecture
    from adamtl_ros.nn.gating import Gates
    from adamtl_ros.nn.plan import BlockPlan, Plan
    from adamtl_ros.nn.policy import PolicyConfig
    from adamtl_ros.tasks import Task


@dataclass(frozen=True)
class BlockCost:
    """MACs of one block.

    Attributes:
        windows: Attention windows of its grid.
        slots: Tokens of a window.
        attention: MACs of the attention of one window, projections included.
        channel: MACs of one hidden channel of the MLP for one token.
        hidden: Hidden channels of the MLP.

    """

    windows: int
    slots: int
    attention: int
    channel: int
    hidden: int

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
        return self.channel * hidden_channels(self.hidden, width)


@dataclass(frozen=True)
class Complexity:
    """MACs of one image of one size, by part.

    Attributes:
        blocks: Of each block of all stages.
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
        run = (cost.of(block) for cost, block in zip(self.blocks, plan.blocks, strict=True))
        return self.fixed_for(tasks) + sum(run)

    def asking(self, heads: Iterable[str]) -> int:
        """Return the MACs of asking these heads of the policy."""
        return self.policy + sum(self.heads[head] for head in heads)

    def check(self, plan: Plan) -> None:
        """Check that a plan fits.

        Raises:
            ValueError: Another number of blocks; windows or tokens that are not there, named
                twice or out of order; or a block that runs on no window.

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

    def windows_run(self, plan: Plan) -> int:
        """Return the attention windows that a plan executes, summed over the blocks."""
        costs = zip(self.blocks, plan.blocks, strict=True)
        return sum(cost.windows_run(block) for cost, block in costs)

    def gated(self, gates: Gates) -> Tensor:
        """Return the MACs of the blocks under gates, without all the rest, (B,) double.

        Gates of 0 and 1 give exact counts, those between expected ones; gradients pass.
        """
        windows, slots, attention, least, most = self.table.to(gates.device)
        mlp = most if gates.widths is None else least + (most - least) * gates.widths
        count = windows if gates.windows is None else gates.windows.sum(-1)
        spent = count * attention + _passing(gates, count * slots) * mlp
        return (spent if gates.blocks is None else spent * gates.blocks).sum(-1)

    @cached_property
    @torch.inference_mode(mode=False)
    def table(self) -> Tensor:
        """Sizes of the blocks as rows, (5, blocks) double.

        They are windows, slots, and the MACs of a window's attention, a token's narrow MLP and
        its full one.
        """
        rows = [
            (cost.windows, cost.slots, cost.attention, cost.mlp(self.narrow), cost.mlp(1.0))
            for cost in self.blocks
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
    arch: Architecture, size: tuple[int, int], tasks: tuple[Task, ...], policy: PolicyConfig
) -> Complexity:
    """Count the MACs of an architecture at an input size (height, width)."""
    grids = stage_grids(arch, size)
    embed = grids[0][0] * grids[0][1] * arch.embed_dim * 3 * arch.patch**2
    merging = sum(h * w * 8 * dim**2 for (h, w), dim in zip(grids[1:], arch.dims, strict=False))
    costs = [_block(arch, grid, dim) for grid, dim in zip(grids, arch.dims, strict=True)]
    blocks = [cost for cost, depth in zip(costs, arch.depths, strict=True) for _ in range(depth)]
    head = _policy_head(arch, grids[0], policy)
    return Complexity(
        blocks=tuple(blocks),
        size=size,
        depths=arch.depths,
        grid=grids[0],
        fixed=embed + merging,
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


def _decoder(arch: Architecture, grids: list[tuple[int, int]], channels: int) -> int:
    dim = arch.decoder_dim
    laterals = sum(h * w * width * dim for (h, w), width in zip(grids, arch.dims, strict=True))
    height, width = grids[0]
    return laterals + height * width * dim * (9 + dim + channels)


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
