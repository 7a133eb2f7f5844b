# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What a forward pass gives: maps, what ran for them, and what it cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from adamtl_ros.nn.cost.budget import BudgetModel
    from adamtl_ros.nn.gating.gates import Gates
    from adamtl_ros.nn.gating.plan import Plan


@dataclass(frozen=True)
class Cost:
    """What one image cost.

    Attributes:
        macs: Multiply-accumulates executed, those of the policy included.
        macs_full: The same with everything on and no policy, for the same tasks and size.
        blocks_run: Encoder blocks of which something was executed.
        blocks_total: Encoder blocks of the network.
        windows_run: Attention windows executed, summed over the blocks.
        windows_total: The same with everything on.
        floor: The budget was below what always runs, so that was spent instead.

    """

    macs: int
    macs_full: int
    blocks_run: int
    blocks_total: int
    windows_run: int
    windows_total: int
    floor: bool

    @property
    def share(self) -> float:
        """Executed share of the full MACs."""
        return self.macs / self.macs_full

    @classmethod
    def of(cls, spending: BudgetModel, plan: Plan, *, asked: bool, floor: bool) -> Cost:
        """Count a plan.

        Args:
            spending: What things cost for the tasks in use.
            plan: What ran.
            asked: The policy ran too.
            floor: The budget was below what always runs.

        """
        counts = spending.counts
        return cls(
            macs=counts.total(plan, spending.tasks) + asked * spending.asking,
            macs_full=spending.full,
            blocks_run=plan.blocks_run,
            blocks_total=plan.blocks_total,
            windows_run=counts.windows_run(plan),
            windows_total=spending.windows,
            floor=floor,
        )


@dataclass(frozen=True)
class Prediction:
    """Raw maps of a forward pass, what ran for them and what it cost.

    Attributes:
        maps: By task name, (B, channels, H/4, W/4): class logits, unscaled normals, the
            logarithm of metres, or the logit of a probability.
        plans: What ran, for each image.
        costs: What was spent, for each image.

    """

    maps: dict[str, Tensor]
    plans: tuple[Plan, ...]
    costs: tuple[Cost, ...]


@dataclass(frozen=True)
class RelaxedPrediction:
    """Raw maps of a forward pass under drawn gates.

    Attributes:
        maps: As in `Prediction`.
        shares: (B,) share of the full MACs that each image would cost at inference; gradients
            reach the policy.
        tokens: (B, H/4, W/4, C), the patch embedding.
        scores: The policy's.
        gates: Drawn from them, 0 or 1; all open at budget 1.

    """

    maps: dict[str, Tensor]
    shares: Tensor
    tokens: Tensor
    scores: Gates
    gates: Gates
