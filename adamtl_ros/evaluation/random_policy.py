# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What a policy is worth: the same network with blocks at random in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from adamtl_ros.nn.plan import OFF, BlockPlan, Plan

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from adamtl_ros.nn.network import AdaptiveNetwork
    from adamtl_ros.nn.prediction import Prediction
    from adamtl_ros.nn.spending import Spending


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
        spending = self.network.spending(batch.shape[-2:], tasks)
        plans = [self._plan(spending) for _ in batch]
        with torch.inference_mode():
            return self.network.follow(batch, plans, spending.tasks)

    def _plan(self, spending: Spending) -> Plan:
        """Open blocks in a random order, and of the last one as many windows as may still run."""
        counts = spending.counts
        blocks = [OFF] * len(counts.blocks)
        for index in torch.randperm(len(blocks), generator=self._generator).tolist():
            total = counts.blocks[index].windows
            order = torch.randperm(total, generator=self._generator).tolist()
            for count in range(total, 0, -1):
                windows = None if count == total else tuple(sorted(order[:count]))
                tried = [*blocks]
                tried[index] = BlockPlan(windows=windows)
                plan = Plan.of(tried, counts.depths)
                if counts.total(plan, spending.tasks) <= self.share * spending.full:
                    blocks = tried
                    break
            if blocks[index] == OFF or blocks[index].windows is not None:
                break
        return Plan.of(blocks, counts.depths)
