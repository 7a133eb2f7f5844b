# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What a policy is worth: the same network with blocks at random in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from adamtl_ros.nn.gating.plan import FULL, OFF, BlockPlan, Plan

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from adamtl_ros.nn.cost.budget import BudgetModel
    from adamtl_ros.nn.network import AdaptiveNetwork
    from adamtl_ros.nn.prediction import Prediction


class RandomBackend:
    """Runs a network by plans of random blocks and windows; a `Backend` of the engine.

    Every plan spends the given share of the full MACs, but for less than one window.
    """

    def __init__(self, network: AdaptiveNetwork, share: float, seed: int = 0) -> None:
        """Prepare.

        Args:
            network: The network.
            share: Of the full MACs, for every image.
            seed: The same seed gives the same plans, in the same order.

        """
        self.network, self.share = network.eval(), share
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, batch: Tensor, budget: float, tasks: Iterable[str]) -> Prediction:  # noqa: ARG002
        """Predict without recording gradients, whatever the budget."""
        model = self.network.budget_model(batch.shape[-2:], tasks)
        plans = [self._plan(model) for _ in batch]
        with torch.inference_mode():
            return self.network.forward_plans(batch, plans, model.tasks)

    def _plan(self, model: BudgetModel) -> Plan:
        """Open blocks in a random order, of each as many windows as may still run."""
        counts = model.complexity
        blocks = [OFF] * len(counts.blocks)
        left = self.share * model.full - counts.fixed_macs(model.tasks)
        for index in torch.randperm(len(blocks), generator=self._generator).tolist():
            block = counts.blocks[index].with_branches(model.tasks)
            window = block.macs(FULL) / block.windows
            order = torch.randperm(block.windows, generator=self._generator).tolist()
            some = tuple(sorted(order[: max(0, int(left // window))]))
            if some:
                blocks[index] = BlockPlan(windows=some if len(some) < block.windows else None)
            left -= len(some) * window
        return Plan.of(blocks, counts.depths)
