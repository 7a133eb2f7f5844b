# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What thresholds on scores cost, so that budgets can be kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from adamtl_ros.nn.cost.macs import complexity
from adamtl_ros.nn.gating.gates import apply_threshold
from adamtl_ros.nn.gating.plan import OFF, BlockPlan, Plan, uniform_plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adamtl_ros.nn.adapters.config import LoraConfig
    from adamtl_ros.nn.cost.macs import BlockCost, Complexity
    from adamtl_ros.nn.gating.gates import Gates
    from adamtl_ros.nn.gating.policy import PolicyConfig
    from adamtl_ros.nn.swin.architecture import Architecture
    from adamtl_ros.tasks import Task


def to_plans(
    gates: Gates, images: int, counts: Complexity, tasks: Sequence[str] = ()
) -> list[Plan]:
    """Say as plans what gates leave open.

    Args:
        gates: Open or shut.
        images: Number of images.
        counts: The blocks' sizes.
        tasks: Those in use; needed where their branches have gates of their own.

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
        plans.append(Plan.of(blocks, counts.depths))
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
    served = _served(gates.get('branches'), cost, tasks)
    return BlockPlan(True, width, windows, tokens, served)


def _served(
    gates: list[bool] | None, cost: BlockCost, tasks: Sequence[str]
) -> tuple[str, ...] | None:
    """Tasks whose branch is open; None if those of all that have one are."""
    if gates is None or cost.branch is None:
        return None
    own = dict(zip(tasks, gates, strict=True))
    own = {task: gate for task, gate in own.items() if task in cost.branch.tasks}
    return None if all(own.values()) else tuple(task for task, gate in own.items() if gate)


def _open(gates: list[bool] | None, count: int) -> tuple[int, ...] | None:
    """Numbers of the open gates; None if all are."""
    if gates is None:
        return None
    numbers = tuple(index for index, gate in enumerate(gates) if gate)
    return None if len(numbers) == count else numbers


@dataclass(frozen=True)
class BudgetModel:
    """What gates cost for some tasks at one input size, as shares of the full MACs.

    Attributes:
        counts: MACs by part.
        policy: What the policy decides.
        tasks: Those in use.

    """

    counts: Complexity
    policy: PolicyConfig
    tasks: tuple[str, ...]

    @cached_property
    def full(self) -> int:
        """MACs with everything on, without the policy."""
        return self.counts.full(self.tasks)

    @cached_property
    def floor(self) -> int:
        """MACs with all gates shut, which needs no policy."""
        return self.counts.total(self.least, self.tasks)

    @cached_property
    def asking(self) -> int:
        """MACs of the policy."""
        return self.counts.asking(self.policy.heads(self.tasks))

    @cached_property
    def always(self) -> int:
        """MACs of everything but the blocks, where the policy is asked."""
        return self.counts.fixed_for(self.tasks) + self.asking

    @cached_property
    @torch.inference_mode(mode=False)
    def _branches(self) -> tuple[Tensor, Tensor, Tensor]:
        """Numbers of the task and block of each branch, and its sizes as in a table, (5, n)."""
        macs = self.counts.branch_table(self.tasks)
        task, block = macs.any(1).nonzero().unbind(1)
        sizes = self.counts.table(())[:2, block]
        return task, block, torch.cat([sizes, macs[task, :, block].T])

    @cached_property
    def windows(self) -> int:
        """Attention windows of all blocks."""
        return self.counts.windows_run(uniform_plan(self.counts.depths))

    @cached_property
    def own_gates(self) -> bool:
        """Whether each task's branches have gates of their own, and do not go with the block.

        Some of the tasks must have branches, and there must be votes of more than one task on
        whether a block runs. Else the block's gate is each task's own.
        """
        having = {name for cost in self.counts.blocks if cost.branch for name in cost.branch.tasks}
        several = len(self.policy.heads(self.tasks)) > 1
        return several and self.policy.least == OFF and not having.isdisjoint(self.tasks)

    @property
    def least(self) -> Plan:
        """The plan with all gates shut."""
        return uniform_plan(self.counts.depths, self.policy.least)

    def share(self, gates: Gates) -> Tensor:
        """Return the share of the full MACs under gates, the policy included, (B,) double."""
        return (self.always + self.counts.gated(gates, self.tasks)) / self.full

    def steps(self, scores: Gates) -> ThresholdCurve:
        """Return the share of the full MACs as a function of the threshold."""
        at, macs = self._parts(scores)
        at, order = at.sort(1)
        # From the highest score down, what is open so far; and nothing above all of them.
        opened = macs[order].flip(1).cumsum(1).flip(1)
        opened = torch.cat([opened, opened.new_zeros(len(at), 1)], 1)
        return ThresholdCurve(at, (self.always + opened) / self.full)

    def _parts(self, scores: Gates) -> tuple[Tensor, Tensor]:
        """Say below which threshold each part opens, (B, parts), and what it costs, (parts,).

        It is +inf for what has no gate.
        """
        counts, device = self.counts, scores.device
        table = counts.table(self.tasks if scores.branches is None else ()).to(device)
        parts = _openings(scores, table)
        if scores.branches is not None:
            task, block, sizes = (part.to(device) for part in self._branches)
            own = scores.branches[:, block, task]
            there = scores.map(lambda score: score[:, block])
            run = own if there.blocks is None else own.minimum(there.blocks)
            parts += _openings(replace(there, blocks=run), sizes)
        return (
            torch.cat([at.flatten(1) for at, _ in parts], 1),
            torch.cat([macs.repeat_interleave(at.shape[2:].numel()) for at, macs in parts]),
        )


@lru_cache(maxsize=256)
def budget_model(
    arch: Architecture,
    size: tuple[int, int],
    known: tuple[Task, ...],
    policy: PolicyConfig,
    tasks: tuple[str, ...],
    adapters: LoraConfig | None = None,
    *,
    folded: bool = True,
) -> BudgetModel:
    """Return what gates cost; `known` are all tasks of the network, `tasks` those in use."""
    counts = complexity(arch, size, known, policy, adapters, folded=folded)
    return BudgetModel(counts, policy, tasks)


@dataclass(frozen=True)
class ThresholdCurve:
    """Share of the full MACs of images as a falling step function of a threshold on scores.

    Attributes:
        at: (B, steps), thresholds from which on a part is shut, ascending.
        shares: (B, steps + 1), share below the first one, between them, and from the last on.

    """

    at: Tensor
    shares: Tensor

    def share(self, thresholds: Tensor) -> Tensor:
        """Return the share of each image at its threshold, (B,) to (B,)."""
        shut = torch.searchsorted(self.at, thresholds[:, None], right=True)
        return self.shares.gather(1, shut)[:, 0]

    def lowest_within(self, limit: float) -> Tensor:
        """Return the lowest threshold of each image that keeps its share within a limit, (B,).

        It is -inf where everything may run, and the highest where nothing may: there alone the
        limit can be broken.
        """
        shut = (self.shares > limit).sum(1, keepdim=True).clamp_max(self.at.shape[1])
        lowest = self.at.gather(1, (shut - 1).clamp_min(0))
        return lowest.masked_fill(shut == 0, float('-inf'))[:, 0]


def plans_within(
    scores: Gates, spending: BudgetModel, threshold: float, limit: float, images: int
) -> list[Plan]:
    """Open what is above the threshold, or above a higher one on images that need it.

    Args:
        scores: Scores of the gates.
        spending: What they cost.
        threshold: Of all images.
        limit: Share of the full MACs that no image may exceed.
        images: Number of them.

    """
    counts = spending.counts
    if threshold > float('-inf'):
        thresholds = torch.full((images,), threshold, device=scores.device)
        plans = to_plans(apply_threshold(scores, thresholds), images, counts, spending.tasks)
        spent = (counts.total(plan, spending.tasks) + spending.asking for plan in plans)
        if all(macs <= limit * spending.full for macs in spent):
            return plans
    lowest = spending.steps(scores).lowest_within(limit)
    gates = apply_threshold(scores, lowest.clamp_min(threshold))
    return to_plans(gates, images, counts, spending.tasks)


def _openings(scores: Gates, table: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Say below which threshold each part opens, and what it costs.

    A part runs where all the gates on it are open, that is below the least of their scores.

    Args:
        scores: Scores of the gates.
        table: Sizes of the blocks, as `Complexity.table` has them.

    Returns:
        Of parts, (B, blocks, ...) thresholds, +inf for what has no gate, and (blocks,) MACs.

    """
    windows, slots, attention, least, most = table
    some = next(iter(scores.present.values()))
    run = some.new_full((len(some), len(slots), 1), float('inf'))
    if scores.blocks is not None:
        run = scores.blocks[..., None]
    if scores.windows is not None:
        run, windows = run.minimum(scores.windows), torch.ones_like(windows)
    passing, tokens = run, windows * slots
    if scores.tokens is not None:
        passing, tokens = run[..., None].minimum(scores.tokens), torch.ones_like(slots)
    mlp = most if scores.widths is None else least
    parts = [(run, windows * attention + tokens * mlp)]
    if scores.tokens is not None:
        parts = [(run, windows * attention), (passing, mlp)]
    if scores.widths is not None:
        wide = scores.widths.view(*scores.widths.shape, *[1] * (passing.dim() - 2))
        parts.append((passing.minimum(wide), tokens * (most - least)))
    return parts
