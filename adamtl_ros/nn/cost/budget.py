# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Budget model: MACs as a function of gates, plans and thresholds, so that budgets can be kept.

A part of a block runs where all gates on it are open (`PART_GATES`). For gates that are open (1)
or shut (0), that is their product; for scores, the lowest of them: the part runs below it as a
threshold. So one list of parts, `BudgetModel.parts()`, gives both

    fraction(gates)     sum of products * MACs                      for training, with gradients
    curve(scores)       MACs of the parts above a threshold         for inference

      MACs  ^
       full |----+
            |    +--+                  The curve falls in steps, one at the score of each part.
            |       +------+           The lowest threshold within a limit is its last step
      limit |. . . . . . . +---+       above the limit.
            |                  +----
            +--------------|------------> threshold
                       lowest_within(limit)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, reduce
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from adamtl_ros.nn.cost.macs import PART_GATES, complexity
from adamtl_ros.nn.gating.gates import Gates, apply_threshold
from adamtl_ros.nn.gating.plan import OFF, BlockPlan, Plan, scaled_size, uniform_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from adamtl_ros.nn.adapters.lora import LoraConfig
    from adamtl_ros.nn.architecture import Architecture
    from adamtl_ros.nn.cost.macs import BlockCost, Complexity
    from adamtl_ros.nn.gating.policy import PolicyConfig
    from adamtl_ros.tasks import Task


@dataclass(frozen=True)
class BudgetModel:
    """Cost of gates for some tasks at one input size, as a fraction of the full MACs.

    Attributes:
        complexity: MACs by part.
        policy: Configuration of the policy.
        tasks: Tasks in use.

    """

    complexity: Complexity
    policy: PolicyConfig
    tasks: tuple[str, ...]

    @cached_property
    def full(self) -> int:
        """MACs of the full network, without the policy."""
        return self.complexity.full(self.tasks)

    @cached_property
    def floor(self) -> int:
        """MACs with all gates shut; the policy does not run then."""
        return self.complexity.total(self.closed_plan, self.tasks)

    @cached_property
    def policy_macs(self) -> int:
        """MACs of the policy."""
        return self.complexity.policy_macs(self.policy.heads(self.tasks))

    @cached_property
    def fixed_macs(self) -> int:
        """MACs of everything but the blocks, the policy included."""
        return self.complexity.fixed_macs(self.tasks) + self.policy_macs

    @cached_property
    def windows(self) -> int:
        """Number of attention windows of all blocks."""
        return self.complexity.windows_run(uniform_plan(self.complexity.depths))

    @cached_property
    def branch_gates(self) -> bool:
        """Whether the branches of tasks have gates of their own, apart from the block's.

        Some of the tasks must have branches, and more than one head must score whether a block
        runs. Otherwise the block's gate is that of each task.
        """
        blocks = self.complexity.blocks
        names = {name for cost in blocks if cost.branch for name in cost.branch.tasks}
        several = len(self.policy.heads(self.tasks)) > 1
        return several and self.policy.closed_block == OFF and not names.isdisjoint(self.tasks)

    @property
    def closed_plan(self) -> Plan:
        """Plan with all gates shut."""
        return uniform_plan(self.complexity.depths, self.policy.closed_block)

    def fraction(self, gates: Gates) -> Tensor:
        """Return the fraction of the full MACs under gates, the policy included, (B,) double.

        It is exact for gates of 0 and 1, and gradients reach the gates.
        """
        parts = self.parts(gates, torch.mul, 1.0)
        spent = [(gate.flatten(2).sum(-1) * macs).sum(-1) for gate, macs in parts]
        return (self.fixed_macs + reduce(torch.add, spent)) / self.full

    def curve(self, scores: Gates) -> ThresholdCurve:
        """Return the fraction of the full MACs as a function of the threshold."""
        parts = self.parts(scores, torch.minimum, float('inf'))
        thresholds = torch.cat([score.flatten(1) for score, _ in parts], 1)  # B, steps
        macs = torch.cat([each.repeat_interleave(s.shape[2:].numel()) for s, each in parts])
        thresholds, order = thresholds.sort(1)
        # MACs of all parts above each step, from the highest score down; none above the last.
        above = macs[order].flip(1).cumsum(1).flip(1)
        above = torch.cat([above, above.new_zeros(len(above), 1)], 1)
        return ThresholdCurve(thresholds, (self.fixed_macs + above) / self.full)

    def parts(
        self, gates: Gates, both: Callable[[Tensor, Tensor], Tensor], ungated: float
    ) -> list[tuple[Tensor, Tensor]]:
        """Return the gate that decides about each part of the blocks, and its MACs.

        Args:
            gates: Gates, open or shut, or their scores.
            both: Gate that is open where both of two are.
            ungated: Gate of a part that always runs.

        Returns:
            Pairs of gates, (B, blocks, windows or 1, tokens or 1), and the MACs of one such
            window or token, (blocks,) double.

        """
        if gates.branches is None:
            table = self.complexity.table(self.tasks).to(gates.device)
            return _parts(gates, table, both, ungated)
        shared = replace(gates, branches=None)
        parts = _parts(shared, self.complexity.table(()).to(gates.device), both, ungated)
        task, block, table = (x.to(gates.device) for x in self._branches)
        own, of_block = gates.branches[:, block, task], shared.map(lambda gate: gate[:, block])
        run = own if of_block.blocks is None else both(own, of_block.blocks)
        return parts + _parts(replace(of_block, blocks=run), table, both, ungated)

    @cached_property
    @torch.inference_mode(mode=False)
    def _branches(self) -> tuple[Tensor, Tensor, Tensor]:
        """Indices of task and block of each branch, (branches,), and its table, (5, branches)."""
        alone = self.complexity.table(())
        added = torch.stack([(self.complexity.table((name,)) - alone)[2:] for name in self.tasks])
        task, block = added.any(1).nonzero().unbind(1)
        return task, block, torch.cat([alone[:2, block], added[task, :, block].T])


def _parts(
    gates: Gates, table: Tensor, both: Callable[[Tensor, Tensor], Tensor], ungated: float
) -> list[tuple[Tensor, Tensor]]:
    """Return gates and MACs of the parts of blocks; parts with the same gates become one.

    Args:
        gates: Gates, (B, blocks, ...), without those of branches.
        table: Sizes of the blocks, (5, blocks), as `Complexity.table()` returns them.
        both: Gate that is open where both of two are.
        ungated: Gate of a part that always runs.

    """
    windows, slots, *macs = table
    present, sums = gates.present, dict[tuple[str, ...], Tensor]()
    for (part, names), each in zip(PART_GATES.items(), macs, strict=True):
        key = tuple(name for name in names if name in present)
        units = each  # MACs of all windows or tokens that one gate decides about
        if 'tokens' not in key:
            units = units if 'windows' in key else units * windows
            units = units if part == 'attention' else units * slots
        sums[key] = sums[key] + units if key in sums else units
    some = next(iter(present.values()))
    open_gate = some.new_full((*some.shape[:2], 1, 1), ungated)
    return [
        (reduce(both, [_four_axes(present[name]) for name in key]) if key else open_gate, units)
        for key, units in sums.items()
    ]


def _four_axes(gate: Tensor) -> Tensor:
    """View a gate as (B, blocks, windows or 1, tokens or 1)."""
    return gate[(...,) + (None,) * (4 - gate.dim())]


@lru_cache(maxsize=256)
def budget_model(
    arch: Architecture,
    size: tuple[int, int],
    known: tuple[Task, ...],
    policy: PolicyConfig,
    tasks: tuple[str, ...],
    adapters: LoraConfig | None = None,
    *,
    merged: bool = True,
) -> BudgetModel:
    """Return the budget model of an architecture, cached.

    Args:
        arch: Sizes of the network.
        size: Height and width of the image, in pixels.
        known: All tasks of the network.
        policy: Configuration of the policy.
        tasks: Names of the tasks in use.
        adapters: Low-rank adapters; None for none.
        merged: Whether these are merged where they can be.

    """
    counts = complexity(arch, size, known, policy, adapters, merged=merged)
    return BudgetModel(counts, policy, tasks)


@lru_cache(maxsize=256)
def ladder_macs(
    arch: Architecture,
    size: tuple[int, int],
    known: tuple[Task, ...],
    policy: PolicyConfig,
    tasks: tuple[str, ...],
    adapters: LoraConfig | None = None,
    *,
    merged: bool = True,
) -> dict[Plan, int]:
    """Return the MACs of the plan of each rung of an architecture's ladder, cached.

    Args:
        arch: Sizes of the network.
        size: Height and width of the image before it is scaled, in pixels.
        known: All tasks of the network.
        policy: Configuration of the policy.
        tasks: Names of the tasks in use.
        adapters: Low-rank adapters; None for none.
        merged: Whether these are merged where they can be.

    """
    macs = {}
    for plan in (rung.plan(arch.depths) for rung in arch.ladder):
        at = scaled_size(size, plan.scale)
        costs = budget_model(arch, at, known, policy, tasks, adapters, merged=merged)
        macs[plan] = costs.complexity.total(plan, tasks)
    return macs


@dataclass(frozen=True)
class ThresholdCurve:
    """Fraction of the full MACs of images as a falling step function of a threshold on scores.

    Attributes:
        thresholds: Thresholds at and above which a part is shut, ascending, (B, steps).
        fractions: Fraction below the first of them, between them, and from the last on,
            (B, steps + 1).

    """

    thresholds: Tensor
    fractions: Tensor

    def fraction(self, thresholds: Tensor) -> Tensor:
        """Return the fraction of each image at its threshold, (B,) to (B,)."""
        shut = torch.searchsorted(self.thresholds, thresholds[:, None], right=True)
        return self.fractions.gather(1, shut)[:, 0]

    def lowest_within(self, limit: float) -> Tensor:
        """Return the lowest threshold of each image that keeps its fraction within a limit, (B,).

        It is -inf if everything may run. If even nothing exceeds the limit, it is the highest
        threshold; only then the limit is not kept.
        """
        shut = (self.fractions > limit).sum(1, keepdim=True).clamp_max(self.thresholds.shape[1])
        lowest = self.thresholds.gather(1, (shut - 1).clamp_min(0))
        return lowest.masked_fill(shut == 0, float('-inf'))[:, 0]


def plans_within(
    scores: Gates, costs: BudgetModel, threshold: float, limit: float, images: int
) -> list[Plan]:
    """Open the gates above a threshold, or above a higher one on images that would exceed a limit.

    Args:
        scores: Scores of the gates.
        costs: Budget model of the tasks in use.
        threshold: Threshold of all images.
        limit: Fraction of the full MACs that no image may exceed.
        images: Number of images.

    """
    counts = costs.complexity
    if threshold > float('-inf'):
        thresholds = torch.full((images,), threshold, device=scores.device)
        plans = to_plans(apply_threshold(scores, thresholds), images, counts, costs.tasks)
        spent = (counts.total(plan, costs.tasks) + costs.policy_macs for plan in plans)
        if all(macs <= limit * costs.full for macs in spent):
            return plans
    lowest = costs.curve(scores).lowest_within(limit)
    gates = apply_threshold(scores, lowest.clamp_min(threshold))
    return to_plans(gates, images, counts, costs.tasks)


def to_plans(
    gates: Gates, images: int, counts: Complexity, tasks: Sequence[str] = ()
) -> list[Plan]:
    """Convert gates to plans.

    Args:
        gates: Gates, open or shut.
        images: Number of images.
        counts: Sizes of the blocks.
        tasks: Tasks in use; needed if their branches have gates of their own.

    """
    lists = {name: value.tolist() for name, value in gates.present.items()}
    plans = []
    for image in range(images):
        blocks = [
            _block_plan(
                {name: rows[image][k] for name, rows in lists.items()}, cost, counts.narrow, tasks
            )
            for k, cost in enumerate(counts.blocks)
        ]
        plans.append(Plan.from_blocks(blocks, counts.depths))
    return plans


def _block_plan(
    gates: dict[str, Any], cost: BlockCost, narrow: float, tasks: Sequence[str]
) -> BlockPlan:
    windows = _open(gates.get('windows'), cost.windows)
    tokens = gates.get('tokens')
    if tokens is not None:
        tokens = _open([slot for window in tokens for slot in window], cost.windows * cost.slots)
    if windows == () or not gates.get('blocks', True):
        return OFF
    width = 1.0 if gates.get('widths', True) else narrow
    return BlockPlan(True, width, windows, tokens, _branches(gates.get('branches'), cost, tasks))


def _branches(
    gates: list[bool] | None, cost: BlockCost, tasks: Sequence[str]
) -> tuple[str, ...] | None:
    """Return the tasks whose branch is open; None if all that have one are."""
    if gates is None or cost.branch is None:
        return None
    own = dict(zip(tasks, gates, strict=True))
    own = {task: gate for task, gate in own.items() if task in cost.branch.tasks}
    return None if all(own.values()) else tuple(task for task, gate in own.items() if gate)


def _open(gates: list[bool] | None, count: int) -> tuple[int, ...] | None:
    """Return the indices of the open gates; None if all are open."""
    if gates is None:
        return None
    numbers = tuple(index for index, gate in enumerate(gates) if gate)
    return None if len(numbers) == count else numbers
