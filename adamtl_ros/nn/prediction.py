# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Results of a forward pass: raw maps, the plans that ran, and their cost."""

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
    """Cost of one image.

    Attributes:
        macs: Multiply-accumulates executed, those of the policy included.
        macs_full: Multiply-accumulates of the full network without a policy, for the same tasks
            and size.
        blocks_run: Number of encoder blocks of which any part was executed.
        blocks_total: Number of encoder blocks of the network.
        windows_run: Number of attention windows executed, summed over the blocks.
        windows_total: Number of attention windows of the full network.
        floor: Whether the budget was below what always runs, so that this was spent instead.

    """

    macs: int
    macs_full: int
    blocks_run: int
    blocks_total: int
    windows_run: int
    windows_total: int
    floor: bool

    @property
    def fraction(self) -> float:
        """Executed fraction of the full MACs."""
        return self.macs / self.macs_full

    @classmethod
    def of(cls, model: BudgetModel, plan: Plan, *, policy: bool, floor: bool) -> Cost:
        """Return the cost of a plan.

        Args:
            model: Budget model of the tasks in use.
            plan: Plan that ran.
            policy: Whether the policy ran, too.
            floor: Whether the budget was below what always runs.

        """
        counts = model.complexity
        return cls(
            macs=counts.total(plan, model.tasks) + policy * model.policy_macs,
            macs_full=model.full,
            blocks_run=plan.blocks_run,
            blocks_total=plan.blocks_total,
            windows_run=counts.windows_run(plan),
            windows_total=model.windows,
            floor=floor,
        )


@dataclass(frozen=True)
class Prediction:
    """Result of a forward pass at inference.

    Attributes:
        maps: Raw maps by task name, (B, channels, H/4, W/4): class logits, unscaled normals,
            logarithms of metres, or logits of a probability.
        plans: Plan of each image.
        costs: Cost of each image.

    """

    maps: dict[str, Tensor]
    plans: tuple[Plan, ...]
    costs: tuple[Cost, ...]


@dataclass(frozen=True)
class RelaxedPrediction:
    """Result of a forward pass under drawn gates, in training.

    Attributes:
        maps: Raw maps, as in `Prediction`.
        fractions: Fraction of the full MACs that each image would cost at inference, (B,);
            gradients reach the policy.
        tokens: Patch embedding, (B, H/4, W/4, C).
        scores: Scores of the gates, from the policy.
        gates: Gates drawn from the scores, 0 or 1; all open at budget 1.

    """

    maps: dict[str, Tensor]
    fractions: Tensor
    tokens: Tensor
    scores: Gates
    gates: Gates
