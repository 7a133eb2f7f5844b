# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the multiply-accumulates (MACs) of a network add up to, by plan, gates and tasks."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from adamtl_ros.nn.block import hidden_channels
from adamtl_ros.nn.plan import uniform_plan

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor

    from adamtl_ros.nn.gating import Gates
    from adamtl_ros.nn.plan import BlockPlan, Plan


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
