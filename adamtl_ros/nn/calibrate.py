# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Calibration: which threshold spends a budget on average, measured on images."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from typing import TYPE_CHECKING

import torch

from adamtl_ros.nn.gating.calibration import BUDGETS, CONFIDENCE, Calibration, Level, frame_limit
from adamtl_ros.nn.gating.gates import combine_heads

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor

    from adamtl_ros.nn.cost.budget import BudgetModel
    from adamtl_ros.nn.gating.gates import Gates
    from adamtl_ros.nn.network import AdaptiveNetwork

MOST_COMBINED = 6
"""Up to so many tasks every combination of them is calibrated by default."""


@torch.inference_mode()
def calibrate(
    network: AdaptiveNetwork,
    batches: Iterable[Tensor],
    budgets: Sequence[float] = BUDGETS,
    combinations: Sequence[tuple[str, ...]] | None = None,
) -> Calibration:
    """Fit, for each combination of tasks and each budget, the threshold that spends it.

    The threshold is one number for all images, so that hard images get more than easy ones. It
    is the lowest one with which the mean share of the full MACs over the images, with the error
    that so few images leave, stays within the budget, while each single image is kept within
    the budget + `PER_FRAME`, by a threshold of its own where it must. MACs fall as a threshold
    rises, so bisection over the scores finds it. A level that would spend less than the one
    below it is left out: more budget never spends less.

    Only the policy runs, on the patch embedding; no block does. Branches of tasks are counted by
    the tasks' own gates, as the combination's votes have them.

    Args:
        network: Its weights; its own calibration is not touched.
        batches: (B, 3, H, W) normalised images, all of one size; a few dozen at least, of as
            many places.
        budgets: Shares of the full MACs.
        combinations: Tasks that may be in use together; if not given, every combination where
            there are at most `MOST_COMBINED` tasks, else each alone and all.

    Raises:
        ValueError: Fewer than two images, different sizes, or unknown tasks.

    """
    cells, size = _look(network, batches)
    every = combinations or _all_combinations(network)
    combined = [network.spending(size, some) for some in every]
    levels: dict[str, list[Level]] = {','.join(spending.tasks): [] for spending in combined}
    for budget in sorted(budgets):
        conditions = cells.new_full((len(cells),), budget)
        votes = network.policy.votes(cells, combined[0].counts.grid, conditions, network.tasks)
        for spending in combined:
            found = levels[','.join(spending.tasks)]
            heads = network.policy.heads_of(spending.tasks)
            level = _level(_scores(votes, heads, spending), spending, budget)
            if level and (not found or level.share >= found[-1].share):
                found.append(level)
    return Calibration(size, len(cells), {some: tuple(rows) for some, rows in levels.items()})


def _look(network: AdaptiveNetwork, batches: Iterable[Tensor]) -> tuple[Tensor, tuple[int, int]]:
    """Return what the policy sees of all images, and their height and width."""
    looks, sizes = [], set()
    for images in batches:
        looks.append(network.policy.look(network.encoder.patch_embed(images)))
        sizes.add((images.shape[-2], images.shape[-1]))
    count = sum(map(len, looks))
    if len(sizes) != 1 or count < 2:
        got = f'got {count} of sizes {sorted(sizes)}'
        raise ValueError(f'calibration needs at least two images, all of one size, {got}')
    return torch.cat(looks), sizes.pop()


def _all_combinations(network: AdaptiveNetwork) -> list[tuple[str, ...]]:
    tasks = tuple(network.tasks)
    sizes = range(1, len(tasks) + 1) if len(tasks) <= MOST_COMBINED else (1, len(tasks))
    return [some for size in sizes for some in itertools.combinations(tasks, size)]


def _scores(votes: Gates, heads: list[int], spending: BudgetModel) -> Gates:
    return combine_heads(votes.map(lambda vote: vote[..., heads]), own=spending.own_gates)


def _level(scores: Gates, spending: BudgetModel, budget: float) -> Level | None:
    """Fit one budget; None if it cannot be kept."""
    steps = spending.steps(scores)
    lowest = steps.lowest_within(frame_limit(budget))
    values = steps.at[steps.at.isfinite()].unique()
    # Between the scores, so that no rounding flips a gate; and finite, as JSON needs it.
    edges = torch.cat([values[:1] - 1, values, values[-1:] + 1])
    thresholds = (edges[1:] + edges[:-1]) / 2

    def shares(number: int) -> Tensor:
        return steps.share(lowest.maximum(thresholds[number]))

    numbers = range(len(thresholds))
    found = bisect_left(numbers, True, key=lambda number: _upper(shares(number)) <= budget)
    if found == len(thresholds):
        return None
    return Level(budget, float(thresholds[found]), float(shares(found).mean()))


def _upper(shares: Tensor) -> float:
    """Return the upper end of the confidence interval of a mean."""
    error = shares.std() / len(shares) ** 0.5
    return float(shares.mean() + CONFIDENCE * error)
