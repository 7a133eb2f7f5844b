# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Gates on the parts of an encoder: from scores to open or shut, at inference and in training.

The policy looks at a frame once, before the first block, and has one head for each task:

    patch embedding --> Policy.features() --> Policy.head_scores() --> scores of each task's head
                                                  budget, tasks in use          |
                                                                                |  combine_heads()
          1 - (1 - p_depth)(1 - p_edges) ...: open for one is open for all      v
                                                                         scores of the gates
                                                                                |
                inference                                                       |    training
      +-------------------------------------------------------------------------+-------------+
      | apply_threshold(): open above the threshold of the budget                             |
      | (`Calibration`, `ThresholdCurve`)                           gumbel_sigmoid(): drawn,  |
      v                                                             with gradients            v
    Gates, open or shut --> cost.budget.to_plans() --> Plan             Gates, 0 or 1 with gradients
                                                        |                                     |
                                                 PlannedExecution                  RelaxedExecution

A gate can be on a whole block, on the width of its MLP, on one of its windows, on one of its
tokens in the MLP, and on the low-rank branch that a task has in it. A part runs where all gates
on it are open: `cost.budget` says which these are, and what it costs.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


GRANULARITIES = ('blocks', 'widths', 'windows', 'tokens')
"""Parts that a policy can gate: whole blocks, the MLP's width, windows, tokens of the MLP."""
GATES = (*GRANULARITIES, 'branches')
"""All parts with gates: the above, and the branch that a task has in a block."""
TINY = 1e-30
"""Lower bound of a positive number whose logarithm must be finite."""


@dataclass(frozen=True)
class Gates:
    """One number for each gate: a score (any number), or open (1) and shut (0).

    A granularity that is not gated is None: all of it is open. Windows that a block does not
    have, and tokens of padding, have the score -inf.

    Attributes:
        blocks: (B, blocks).
        widths: (B, blocks); shut means the narrow MLP.
        windows: (B, blocks, windows), padded to the block with the most windows.
        tokens: (B, blocks, windows, slots), likewise.
        branches: (B, blocks, tasks in use), the task's own gate on its low-rank branch; without
            effect in blocks where it has none. See `combine_heads()`.

    """

    blocks: Tensor | None = None
    widths: Tensor | None = None
    windows: Tensor | None = None
    tokens: Tensor | None = None
    branches: Tensor | None = None

    @property
    def present(self) -> dict[str, Tensor]:
        """The granularities that are gated, by name."""
        pairs = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: value for name, value in pairs if value is not None}

    @property
    def device(self) -> torch.device:
        """Device of the numbers; the CPU if there are none."""
        return next((value.device for value in self.present.values()), torch.device('cpu'))

    def map(self, function: Callable[[Tensor], Tensor]) -> Gates:
        """Apply a function to each granularity."""
        return Gates(**{name: function(value) for name, value in self.present.items()})

    def detach_except(self, names: Iterable[str]) -> Gates:
        """Return the same gates, detached but for some granularities."""
        attached = set(names)
        return Gates(**{k: v if k in attached else v.detach() for k, v in self.present.items()})

    def flat(self) -> Tensor:
        """Return all numbers of each image, (B, gates)."""
        return torch.cat([value.flatten(1) for value in self.present.values()], 1)


def noisy_or(scores: Tensor) -> Tensor:
    """Combine the scores of heads, (B, ..., heads) to (B, ...): open for one is open for all.

    With probabilities p = sigmoid(score) it is the noisy-or 1 - prod(1 - p), as a score again.
    It has a gradient everywhere, unlike a clamped sum, and leaves the score of a single head
    unchanged.
    """
    if scores.shape[-1] == 1:
        return scores[..., 0]
    total = functional.softplus(scores).sum(-1)
    # Inverse of softplus, in the form that neither overflows nor cancels.
    score = total + torch.log(-torch.expm1(-total.clamp_min(TINY)))
    return score.masked_fill(total == 0, float('-inf'))


def combine_heads(head_scores: Gates, *, branches: bool = False) -> Gates:
    """Combine the scores of the heads of the tasks in use.

    Args:
        head_scores: (B, ..., heads); with `branches`, of blocks or windows at least.
        branches: Score the branches of tasks, too. A block runs for all tasks if one of them
            needs it, but a task that would not have run it gets no branch of its own. A
            branch's score is the block's combined score with every head replaced by this
            task's head; with window gates, a head's score is the minimum of its block score and
            its highest window score.

    """
    scores = head_scores.map(noisy_or)
    if not branches:
        return scores
    best = None if head_scores.windows is None else head_scores.windows.amax(2)
    needed = [score for score in (head_scores.blocks, best) if score is not None]
    runs = torch.stack(needed).amin(0)  # B, blocks, heads
    alike = runs[..., None].expand(*runs.shape, runs.shape[-1])
    return replace(scores, branches=noisy_or(alike))


def apply_threshold(scores: Gates, threshold: Tensor) -> Gates:
    """Open the gates whose score is above the threshold of their image, (B,)."""
    return scores.map(lambda score: score > threshold.view(-1, *[1] * (score.dim() - 1)))


def gumbel_sigmoid(
    scores: Gates, temperature: float, generator: torch.Generator | None = None
) -> Gates:
    """Draw gates for training: 0 or 1 forward, with the gradient of a softened gate.

    A binary concrete variable (Maddison et al. 2017, equation 22) with a straight-through
    estimator. A gate is open with probability sigmoid(score) at any temperature; a higher one
    widens the range of scores that get a gradient. Lower it in the course of training.

    Args:
        scores: Scores of the gates.
        temperature: Temperature, positive.
        generator: Random generator of the noise, on the scores' device.

    Raises:
        ValueError: A temperature that is not positive.

    """
    if not temperature > 0:
        raise ValueError(f'temperature must be positive, got {temperature}')

    def draw(score: Tensor) -> Tensor:
        uniform = torch.rand(score.shape, generator=generator, device=score.device)
        noise = torch.logit(uniform, eps=1e-6)
        soft = torch.sigmoid((score.float() + noise) / temperature)
        # In this order the sum is exactly 0 or 1.
        return (soft - soft.detach()) + (soft > 0.5).float()

    return scores.map(draw)
