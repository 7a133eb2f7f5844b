# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Gates: from scores to what is open, for inference and for training."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


GRANULARITIES = ('blocks', 'widths', 'windows', 'tokens')
"""What gates can be put on: whole blocks, the MLP's width, windows, tokens of the MLP."""
GATES = (*GRANULARITIES, 'branches')
"""All that gates are on: the above, and the branch that a task has in a block."""
SMALLEST = 1e-30
"""Keeps logarithms finite."""


@dataclass(frozen=True)
class Gates:
    """One number for each gate: a score (any number), or open (1) and shut (0).

    A granularity that is not gated is None: all of it is open. Windows that a block does not
    have, and tokens of padding, have the score -inf.

    Attributes:
        blocks: (B, blocks).
        widths: (B, blocks); shut means the narrow MLP.
        windows: (B, blocks, windows), as many as the block with the most has.
        tokens: (B, blocks, windows, slots).
        branches: (B, blocks, tasks in use, in their order), the task's own gate on its low-rank
            branch; of no effect in blocks where it has none. See `combine_heads()`.

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
        """Where the numbers are; the CPU if there are none."""
        return next((value.device for value in self.present.values()), torch.device('cpu'))

    def map(self, function: Callable[[Tensor], Tensor]) -> Gates:
        """Apply a function to each granularity."""
        return Gates(**{name: function(value) for name, value in self.present.items()})

    def only_through(self, names: Iterable[str]) -> Gates:
        """Return the same gates, without gradients but for those of some granularities."""
        kept = set(names)
        return Gates(**{k: v if k in kept else v.detach() for k, v in self.present.items()})

    def flat(self) -> Tensor:
        """Return all numbers of each image, (B, gates)."""
        return torch.cat([value.flatten(1) for value in self.present.values()], 1)


def noisy_or(scores: Tensor) -> Tensor:
    """Join the scores of heads, (B, ..., heads): open for one is open for all.

    With probabilities p = sigmoid(score) it is the soft union 1 - prod(1 - p), as a score
    again. It has a gradient everywhere, unlike a clamped sum, and one head alone keeps its
    score.
    """
    if scores.shape[-1] == 1:
        return scores[..., 0]
    total = functional.softplus(scores).sum(-1)
    # Inverse of softplus, in the form that neither overflows nor cancels.
    score = total + torch.log(-torch.expm1(-total.clamp_min(SMALLEST)))
    return score.masked_fill(total == 0, float('-inf'))


def combine_heads(votes: Gates, *, own: bool = False) -> Gates:
    """Join the votes of heads, those of the tasks in use.

    Args:
        votes: (B, ..., heads), of blocks or windows at least if `own`.
        own: Also score the branches of tasks. The block runs for all tasks where one of them
            needs it, but one that would not have run it is not served by a branch of its own:
            its branch has the score that running the block at all would have if all tasks voted
            as this one, that is of the block and, if windows vote, of the best of them.

    """
    scores = votes.map(noisy_or)
    if not own:
        return scores
    runs = [votes.blocks, None if votes.windows is None else votes.windows.amax(2)]
    vote = torch.stack([one for one in runs if one is not None]).amin(0)
    alike = vote[..., None].expand(*vote.shape, vote.shape[-1])
    return replace(scores, branches=noisy_or(alike))


def apply_threshold(scores: Gates, threshold: Tensor) -> Gates:
    """Open the gates whose score is above the threshold of their image, (B,)."""
    return scores.map(lambda score: score > threshold.view(-1, *[1] * (score.dim() - 1)))


def gumbel_sigmoid(
    scores: Gates, temperature: float, generator: torch.Generator | None = None
) -> Gates:
    """Draw gates for training: 0 or 1 forward, with the gradient of a softened gate.

    A binary concrete variable (Maddison et al. 2017, equation 22) with a straight-through
    estimate: open with probability sigmoid(score) whatever the temperature, which only says
    how far from the flip the gradient still reaches. Lower it as training goes on.

    Args:
        scores: Scores of the gates.
        temperature: Positive.
        generator: For the noise, on the scores' device.

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
