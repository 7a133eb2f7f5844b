# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Plans at random that skip one kind of part, as much of it as a budget asks for."""

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
    """Draw the plan that keeps as much as a budget allows; the least there is, if none does."""
    model = network.budget_model(network.arch.input_size, tasks)
    counts = model.complexity
    for step in range(STEPS, -1, -1):
        numbers = random.Random(seed)  # noqa: S311
        plan = Plan.of([draw(step / STEPS, cost, numbers) for cost in counts.blocks], counts.depths)
        if counts.total(plan, model.tasks) <= budget * model.full:
            break
    return plan


def blocks(kept: float, _cost: BlockCost, numbers: random.Random) -> BlockPlan:
    """Keep whole blocks."""
    return FULL if numbers.random() <= kept else OFF


def windows(kept: float, cost: BlockCost, numbers: random.Random) -> BlockPlan:
    """Keep scattered windows of every block; one of one window stays."""
    return BlockPlan(windows=_some(cost.windows, kept, numbers, least=1))


def widths(kept: float, _cost: BlockCost, numbers: random.Random) -> BlockPlan:
    """Keep the whole width of some blocks and half of the others'."""
    return FULL if numbers.random() <= kept else BlockPlan(width=0.5)


def tokens(kept: float, cost: BlockCost, numbers: random.Random) -> BlockPlan:
    """Keep scattered tokens of the MLP of every block, as AdaMTL does."""
    return BlockPlan(tokens=_some(cost.windows * cost.slots, kept, numbers, least=0))


def mixed(kept: float, cost: BlockCost, numbers: random.Random) -> BlockPlan:
    """Keep some blocks, and of these some windows: as much of one as of the other."""
    return windows(kept**0.5, cost, numbers) if numbers.random() <= kept**0.5 else OFF


def _some(count: int, kept: float, numbers: random.Random, least: int) -> tuple[int, ...] | None:
    number = max(least, round(kept * count))
    return None if number == count else tuple(sorted(numbers.sample(range(count), number)))


PLANS: dict[str, Draw] = {
    'blocks': blocks,
    'windows': windows,
    'widths': widths,
    'tokens (AdaMTL)': tokens,
    'blocks, windows': mixed,
}
"""By name."""
