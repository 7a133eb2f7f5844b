# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What runs: the plan of one frame, known before the encoder starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from adamtl_ros.nn.complexity import Complexity


@dataclass(frozen=True)
class Plan:
    """A plain description of the parts of the encoder that run.

    Attributes:
        blocks: For each stage, for each block, whether it runs.

    """

    blocks: tuple[tuple[bool, ...], ...]

    @property
    def blocks_run(self) -> int:
        """Number of blocks that run."""
        return sum(map(sum, self.blocks))

    @property
    def blocks_total(self) -> int:
        """Number of blocks there are."""
        return sum(map(len, self.blocks))

    def without(self, stage: int, block: int) -> Plan:
        """Return this plan with one block switched off."""
        rows = [list(row) for row in self.blocks]
        rows[stage][block] = False
        return Plan(tuple(map(tuple, rows)))


def full_plan(depths: Sequence[int]) -> Plan:
    """Return the plan that runs everything."""
    return Plan(tuple((True,) * depth for depth in depths))


def plan_for_budget(
    complexity: Complexity, depths: Sequence[int], tasks: Iterable[str], budget: float
) -> Plan:
    """Return the plan for a budget: blocks leave in a fixed order until the MACs fit.

    So a larger budget runs a superset of what a smaller one runs. Below the floor every block
    is off.

    Args:
        complexity: MACs of the network at the input size.
        depths: Blocks of each stage.
        tasks: Tasks in use; their decoders always run.
        budget: Share of the full MACs that may be spent, in (0, 1].

    Raises:
        ValueError: A budget outside (0, 1], NaN included.

    """
    if not 0 < budget <= 1:
        raise ValueError(f'budget must lie in (0, 1], got {budget}')
    tasks = tuple(tasks)
    plan = full_plan(depths)
    allowed = budget * complexity.total(plan, tasks)
    for stage, block in _skip_order(depths):
        if complexity.total(plan, tasks) <= allowed:
            break
        plan = plan.without(stage, block)
    return plan


def _skip_order(depths: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Order in which blocks leave: the deepest stage's last block first, the finest last.

    Residual blocks of one stage refine the same features, so the stage with the most blocks
    left loses its last one first; among equals the coarser stage does.
    """
    left = list(depths)
    while any(left):
        stage = max(range(len(left)), key=lambda index: (left[index], index))
        left[stage] -= 1
        yield stage, left[stage]
