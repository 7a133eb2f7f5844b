# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Random policy, to compare a trained one with: the same MACs in random blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from adamtl_ros.nn.gating.plan import FULL, OFF, BlockPlan, Plan

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from adamtl_ros.nn.cost.budget import BudgetModel
    from adamtl_ros.nn.network import AdaptiveNetwork, Prediction


class RandomBackend:
    """Callable that runs a network by plans of random blocks and windows, in place of its policy.

    Each plan spends a given fraction of the full MACs, less than one window below it.
    """

    def __init__(self, network: AdaptiveNetwork, fraction: float, seed: int = 0) -> None:
        """Create the backend.

        Args:
            network: Network.
            fraction: Fraction of the full MACs that each image costs.
            seed: Seed of the plans.

        """
        self.network, self.fraction = network.eval(), fraction
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, batch: Tensor, budget: float, tasks: Iterable[str]) -> Prediction:  # noqa: ARG002
        """Predict without gradients; the budget is ignored."""
        costs = self.network.budget_model(batch.shape[-2:], tasks)
        plans = [self._plan(costs) for _ in batch]
        with torch.inference_mode():
            return self.network.forward_plans(batch, plans, costs.tasks)

    def _plan(self, costs: BudgetModel) -> Plan:
        """Open blocks in random order, each with as many windows as the MACs allow."""
        counts = costs.complexity
        blocks = [OFF] * len(counts.blocks)
        left = self.fraction * costs.full - counts.fixed_macs(costs.tasks)
        for index in torch.randperm(len(blocks), generator=self._generator).tolist():
            block = counts.blocks[index].with_branches(costs.tasks)
            window = block.macs(FULL) / block.windows
            order = torch.randperm(block.windows, generator=self._generator).tolist()
            some = tuple(sorted(order[: max(0, int(left // window))]))
            if some:
                blocks[index] = BlockPlan(windows=some if len(some) < block.windows else None)
            left -= len(some) * window
        return Plan.from_blocks(blocks, counts.depths)
