# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Plan: input size and parts of the encoder that run on one image, known before it starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
    """Input size and parts of the encoder that run, as plain numbers that any engine can read.

    Attributes:
        stages: Plan of each gated block of each stage.
        scale: Sides of the input as a fraction of those of the full network's input.

    """

    stages: tuple[tuple[BlockPlan, ...], ...]
    scale: float = 1.0

    def __post_init__(self) -> None:
        """Check the scale.

        Raises:
            ValueError: A scale outside (0, 1].

        """
        if not 0 < self.scale <= 1:
            raise ValueError(f'scale of a plan must lie in (0, 1], got {self.scale}')

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
        return Plan(tuple(map(tuple, rows)), self.scale)

    @classmethod
    def from_blocks(
        cls, blocks: Sequence[BlockPlan], depths: Sequence[int], scale: float = 1.0
    ) -> Plan:
        """Create a plan from the blocks of all stages in a row."""
        ends = [sum(depths[: stage + 1]) for stage in range(len(depths))]
        rows = zip(ends, depths, strict=True)
        return cls(tuple(tuple(blocks[end - depth : end]) for end, depth in rows), scale)


def uniform_plan(depths: Sequence[int], block: BlockPlan = FULL) -> Plan:
    """Return the plan with the same plan for every block; by default, all of it runs."""
    return Plan(tuple((block,) * depth for depth in depths))


SIZE_STEP = 4
"""Sides of a scaled input are multiples of this, in pixels: the stride of the first features."""


def scaled_size(size: Sequence[int], scale: float) -> tuple[int, int]:
    """Return the input size of a plan.

    Args:
        size: Height and width of the full network's input, in pixels.
        scale: Scale of the plan.

    """
    if scale == 1:
        return size[0], size[1]
    height, width = (max(1, round(side * scale / SIZE_STEP)) * SIZE_STEP for side in size)
    return height, width


@dataclass(frozen=True)
class Rung:
    """Rung of a ladder: one of the few plans that a network is trained for.

    Attributes:
        scale: Sides of the input as a fraction of those of the full network's input.
        skip: Numbers of the gated blocks, counted over all stages, that do not run; ascending.

    """

    scale: float = 1.0
    skip: tuple[int, ...] = ()

    def check(self, blocks: int) -> None:
        """Check that the rung fits an encoder.

        Args:
            blocks: Number of gated blocks.

        Raises:
            ValueError: A scale outside (0, 1], or blocks that do not exist, repeat or do not
                ascend.

        """
        ascending = list(self.skip) == sorted(set(self.skip))
        inside = all(0 <= number < blocks for number in self.skip)
        if not (0 < self.scale <= 1 and ascending and inside):
            raise ValueError(
                f'a rung has a scale in (0, 1] and skips blocks of 0..{blocks - 1} in ascending '
                f'order, got {self}'
            )

    def plan(self, depths: Sequence[int]) -> Plan:
        """Return the plan of this rung for an encoder with a number of blocks in each stage."""
        blocks = [OFF if number in self.skip else FULL for number in range(sum(depths))]
        return Plan.from_blocks(blocks, depths, self.scale)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Rung:
        """Create from the dictionary of its fields, with a list for `skip`.

        Raises:
            TypeError: Missing or unknown keys.

        """
        return cls(**{**values, 'skip': tuple(values.get('skip', ()))})
