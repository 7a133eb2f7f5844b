# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Random plans that skip one granularity, as much of it as a budget requires."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from adamtl_ros.nn.gating.plan import FULL, OFF, BlockPlan, Plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from adamtl_ros.nn.cost.macs import BlockCost
    from adamtl_ros.nn.network import AdaptiveNetwork

    Draw = Callable[[float, BlockCost, random.Random], BlockPlan]

STEPS = 40


def plan_within(
    network: AdaptiveNetwork, tasks: tuple[str, ...], draw: Draw, budget: float, seed: int
) -> Plan:
    """Return the random plan with the most computation within a budget.

    If no plan is within the budget it is the one with the least computation.

    Args:
        network: Network.
        tasks: Names of the active tasks.
        draw: Function that draws the plan of a block, of `PLANS`.
        budget: Fraction of the full MACs.
        seed: Seed of the plan.

    """
    costs = network.budget_model(network.arch.input_size, tasks)
    counts = costs.complexity
    for step in range(STEPS, -1, -1):
        rng = random.Random(seed)  # noqa: S311
        plan = Plan.from_blocks(
            [draw(step / STEPS, cost, rng) for cost in counts.blocks], counts.depths
        )
        if counts.total(plan, costs.tasks) <= budget * costs.full:
            break
    return plan


def blocks(fraction: float, _cost: BlockCost, rng: random.Random) -> BlockPlan:
    """Skip whole blocks."""
    return FULL if rng.random() <= fraction else OFF


def windows(fraction: float, cost: BlockCost, rng: random.Random) -> BlockPlan:
    """Skip scattered windows of every block, all but one."""
    return BlockPlan(windows=_some(cost.windows, fraction, rng, least=1))


def widths(fraction: float, _cost: BlockCost, rng: random.Random) -> BlockPlan:
    """Run some blocks at half width."""
    return FULL if rng.random() <= fraction else BlockPlan(width=0.5)


def tokens(fraction: float, cost: BlockCost, rng: random.Random) -> BlockPlan:
    """Skip scattered tokens in the MLP of every block, as AdaMTL does."""
    return BlockPlan(tokens=_some(cost.windows * cost.slots, fraction, rng, least=0))


def mixed(fraction: float, cost: BlockCost, rng: random.Random) -> BlockPlan:
    """Skip blocks and scattered windows of the others, the same fraction of both."""
    return windows(fraction**0.5, cost, rng) if rng.random() <= fraction**0.5 else OFF


def _some(count: int, fraction: float, rng: random.Random, least: int) -> tuple[int, ...] | None:
    number = max(least, round(fraction * count))
    return None if number == count else tuple(sorted(rng.sample(range(count), number)))


PLANS: dict[str, Draw] = {
    'blocks': blocks,
    'windows': windows,
    'widths': widths,
    'tokens (AdaMTL)': tokens,
    'blocks, windows': mixed,
}
"""Functions that draw the plan of a block; their first argument is the fraction that runs."""
