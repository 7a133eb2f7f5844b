# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What a gate is worth: the loss with it open against the loss with it shut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from adamtl_ros.nn.gating import Gates

if TYPE_CHECKING:
    from torch import Tensor

FRAME_GATES = ('blocks', 'widths')
"""Granularities with one gate for a block and frame: few enough to be tried one by one."""

EVEN = 0.05
"""Added to each gate's chance to be tried, so that those that seem settled are too."""


@dataclass(frozen=True)
class Flip:
    """One gate of each image, turned over.

    Attributes:
        gates: The gates with one of each image turned over.
        opened: (B,), 1 where the gate was shut and is open now, -1 where it is the other way.
        chance: (B,) probability that the policy opens the gate, divided by that of trying it;
            gradients reach the policy.

    """

    gates: Gates
    opened: Tensor
    chance: Tensor

    def surrogate(self, before: Tensor, after: Tensor) -> Tensor:
        """Return what has the gradient of the expected loss, and the value 0, (B,).

        The expected loss is linear in the probability of each gate, and its slope is the loss
        with the gate open less the loss with it shut, all others being as drawn (the local
        expectation gradient, Titsias and Lazaro-Gredilla 2015). Unlike a straight-through
        estimate it does not take the slope at the end of a curve for the way along it.

        Args:
            before: (B,) losses with the gates as drawn.
            after: (B,) losses with one turned over.

        """
        worth = self.opened * (after - before).detach()
        return worth * (self.chance - self.chance.detach())


def flip_one(scores: Gates, gates: Gates, generator: torch.Generator | None = None) -> Flip:
    """Turn over one block or width gate of each image, more often an undecided one.

    Args:
        scores: The policy's.
        gates: As drawn from them, 0 or 1.
        generator: For the choice, on the scores' device.

    """
    names = [name for name in FRAME_GATES if name in gates.present]
    open_ = torch.cat([gates.present[name] for name in names], 1)
    probability = torch.cat([scores.present[name] for name in names], 1).sigmoid()
    tried = (probability * (1 - probability)).detach() + EVEN
    tried = tried / tried.sum(1, keepdim=True)
    which = tried.multinomial(1, generator=generator)
    was = open_.gather(1, which)
    flipped = open_.detach().scatter(1, which, 1 - was)
    parts = dict(zip(names, flipped.chunk(len(names), 1), strict=True))
    chance = probability.gather(1, which) / tried.gather(1, which)
    return Flip(Gates(**{**gates.present, **parts}), (1 - 2 * was.detach())[:, 0], chance[:, 0])
