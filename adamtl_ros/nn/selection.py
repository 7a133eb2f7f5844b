# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""From scores to plans that keep a budget."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from adamtl_ros.nn.gating import Gates, decide, to_plans
from adamtl_ros.nn.plan import uniform_plan

if TYPE_CHECKING:
    from torch import Tensor

    from adamtl_ros.nn.complexity import Complexity
    from adamtl_ros.nn.plan import Plan
    from adamtl_ros.nn.policy import PolicyConfig


PROBES = 32
"""Thresholds tried in one round for one image."""


@dataclass(frozen=True)
class Spending:
    """What gates cost for some tasks at one input size, as shares of the full MACs.

    Attributes:
        counts: MACs by part.
        policy: What the policy decides.
        tasks: Those in use.

    """

    counts: Complexity
    policy: PolicyConfig
    tasks: tuple[str, ...]

    @cached_property
    def full(self) -> int:
        """MACs with everything on, without the policy."""
        return self.counts.full(self.tasks)

    @cached_property
    def floor(self) -> int:
        """MACs with all gates shut, which needs no policy."""
        return self.counts.total(self.least, self.tasks)

    @cached_property
    def asking(self) -> int:
        """MACs of the policy."""
        return self.counts.asking(self.policy.heads(self.tasks))

    @property
    def least(self) -> Plan:
        """The plan with all gates shut."""
        return uniform_plan(self.counts.depths, self.policy.least)

    def share(self, gates: Gates) -> Tensor:
        """Return the share of the full MACs under gates, the policy included, (B,) double."""
        always = self.counts.fixed_for(self.tasks) + self.asking
        return (always + self.counts.gated(gates)) / self.full

    def plans(self, gates: Gates, images: int) -> list[Plan]:
        """Say as plans what gates leave open."""
        return to_plans(gates, images, self.counts)


def fit(scores: Gates, spending: Spending, limit: float) -> Tensor:
    """Find for each image the lowest threshold with which it stays within a limit.

    MACs fall as the threshold rises, so a search over the sorted scores finds it: each round
    tries several thresholds at once, fewer the more images there are.

    Args:
        scores: Scores of the gates.
        spending: What gates cost.
        limit: Largest share of the full MACs of an image.

    Returns:
        (B,) thresholds: -inf where everything may run, the highest score where nothing may
        (there alone the limit can be broken).

    """
    flat = scores.flat()
    candidates = torch.cat([flat.new_full((len(flat), 1), float('-inf')), flat.sort(1).values], 1)
    repeated = scores.map(lambda score: score[:, None])
    probes = max(1, PROBES // len(flat))
    steps = torch.arange(1, probes + 1, device=flat.device)
    low = torch.zeros(len(flat), 1, dtype=torch.long, device=flat.device)
    high = torch.full_like(low, candidates.shape[1] - 1)
    while bool((low < high).any()):
        tried = low + (high - low) * steps // (probes + 1)
        within = spending.share(decide(repeated, candidates.gather(1, tried))) <= limit
        low = torch.where(within, low, tried + 1).amax(1, keepdim=True).minimum(high)
        high = torch.where(within, tried, high).amin(1, keepdim=True)
    return candidates.gather(1, high)[:, 0]


def select(scores: Gates, spending: Spending, threshold: float, limit: float) -> Gates:
    """Open the gates above a threshold, but no more than a limit allows on any image.

    Args:
        scores: Scores of the gates.
        spending: What gates cost.
        threshold: The same for all images, which may thus spend differently.
        limit: Largest share of the full MACs of an image.

    """
    flat = next(iter(scores.present.values()))
    thresholds = flat.new_full((len(flat),), threshold)
    gates = decide(scores, thresholds)
    if bool((spending.share(gates) > limit).any()):
        gates = decide(scores, thresholds.maximum(fit(scores, spending, limit)))
    return gates
