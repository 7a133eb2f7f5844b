# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Plan: the parts of the encoder that run on one image, known before the first block starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class BlockPlan:
    """Parts of one block that run on one image; the rest is the identity.

    Attributes:
        run: Whether any part runs.
        width: Fraction of the MLP's hidden channels, the first ones, in (0, 1].
        windows: Indices of the attention windows in the block's own grid, ascending; None for
            all. Attention and MLP run on their tokens only.
        tokens: Tokens that pass the MLP, as window * slots + slot, ascending, of the windows
            that run; None for all of these. Attention ignores it.
        tasks: Tasks whose low-rank branches run here; None for all in use. The others get the
            features that all tasks share.

    """

    run: bool = True
    width: float = 1.0
    windows: tuple[int, ...] | None = None
    tokens: tuple[int, ...] | None = None
    tasks: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Check the width.

        Raises:
            ValueError: A width outside (0, 1].

        """
        if not 0 < self.width <= 1:
            raise ValueError(f'width of a block must lie in (0, 1], got {self.width}')

    def allowed_branches(self, tasks: Sequence[str]) -> Sequence[str]:
        """Return the tasks in use whose branches run, if they have any here."""
        return tasks if self.tasks is None else [name for name in tasks if name in self.tasks]


OFF = BlockPlan(run=False)
FULL = BlockPlan()


@dataclass(frozen=True)
class Plan:
    """Parts of the encoder that run, as plain numbers that any engine can read.

    Attributes:
        stages: Plan of each block of each stage.

    """

    stages: tuple[tuple[BlockPlan, ...], ...]

    @property
    def blocks(self) -> tuple[BlockPlan, ...]:
        """Plans of the blocks of all stages, in the order in which they run."""
        return tuple(block for stage in self.stages for block in stage)

    @property
    def blocks_run(self) -> int:
        """Number of blocks of which any part runs."""
        return sum(block.run for block in self.blocks)

    @property
    def blocks_total(self) -> int:
        """Number of blocks of the encoder."""
        return len(self.blocks)

    def replace(self, stage: int, block: int, value: BlockPlan) -> Plan:
        """Return this plan with another plan for one block."""
        rows = [list(row) for row in self.stages]
        rows[stage][block] = value
        return Plan(tuple(map(tuple, rows)))

    @classmethod
    def from_blocks(cls, blocks: Sequence[BlockPlan], depths: Sequence[int]) -> Plan:
        """Create a plan from the blocks of all stages in a row."""
        ends = [sum(depths[: stage + 1]) for stage in range(len(depths))]
        rows = zip(ends, depths, strict=True)
        return cls(tuple(tuple(blocks[end - depth : end]) for end, depth in rows))


def uniform_plan(depths: Sequence[int], block: BlockPlan = FULL) -> Plan:
    """Return the plan with the same plan for every block; by default, all of it runs."""
    return Plan(tuple((block,) * depth for depth in depths))
