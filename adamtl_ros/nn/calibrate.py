# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Calibration procedure: fit the threshold that spends a budget on average over images."""

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

MAX_COMBINED = 6
"""Number of tasks up to which every combination of them is calibrated by default."""


@torch.inference_mode()
def calibrate(
    network: AdaptiveNetwork,
    batches: Iterable[Tensor],
    budgets: Sequence[float] = BUDGETS,
    combinations: Sequence[tuple[str, ...]] | None = None,
) -> Calibration:
    """Fit the threshold of each budget for each combination of tasks.

    A threshold is one number for all images, so that hard images get more than easy ones. It is
    the lowest one at which the mean fraction of the full MACs over the images stays within the
    budget, with the standard error of so few images added, while no single image exceeds the
    budget + `PER_FRAME`, if necessary by a higher threshold of its own. MACs fall as a threshold
    rises, so bisection over the scores finds it. A level that would spend less than the one
    below it is left out: more budget never spends less.

    Only the policy runs, on the patch embedding; no block does.

    Args:
        network: Network to calibrate; it is not changed.
        batches: Normalized images (B, 3, H, W), all of one size; a few dozen at least, from as
            many places.
        budgets: Budgets, as fractions of the full MACs.
        combinations: Combinations of tasks that may be in use together; by default, all of them
            for at most `MAX_COMBINED` tasks, otherwise each task alone and all together.

    Examples:
        >>> network.calibration = calibrate(network, [images])  # doctest: +SKIP
        >>> network(images, budget=0.5).costs[0].fraction  # doctest: +SKIP

    Raises:
        ValueError: Fewer than two images, different sizes, or unknown tasks.

    """
    policy = network.policy
    cells, size = _features(network, batches)
    cost_models = [
        network.budget_model(size, x) for x in combinations or _all_combinations(network)
    ]
    levels: dict[str, list[Level]] = {','.join(costs.tasks): [] for costs in cost_models}
    for budget in sorted(budgets):
        conditions = cells.new_full((len(cells),), budget)
        scores = policy.head_scores(
            cells, cost_models[0].complexity.grid, conditions, network.tasks
        )
        for costs in cost_models:
            found = levels[','.join(costs.tasks)]
            level = _level(_combine(scores, policy.head_indices(costs.tasks), costs), costs, budget)
            if level and (not found or level.fraction >= found[-1].fraction):
                found.append(level)
    return Calibration(size, len(cells), {some: tuple(rows) for some, rows in levels.items()})


def _features(
    network: AdaptiveNetwork, batches: Iterable[Tensor]
) -> tuple[Tensor, tuple[int, int]]:
    """Return the policy's features of all images, and height and width of the images."""
    features, sizes = [], set()
    for images in batches:
        embedding = network.encoder.embedding(network.encoder.stem(images))
        features.append(network.policy.features(embedding))
        sizes.add((images.shape[-2], images.shape[-1]))
    count = sum(map(len, features))
    if len(sizes) != 1 or count < 2:
        got = f'got {count} of sizes {sorted(sizes)}'
        raise ValueError(f'calibration needs at least two images, all of one size, {got}')
    return torch.cat(features), sizes.pop()


def _all_combinations(network: AdaptiveNetwork) -> list[tuple[str, ...]]:
    """Return the combinations of tasks that are calibrated by default, in table order."""
    tasks = tuple(network.tasks)
    sizes = range(1, len(tasks) + 1) if len(tasks) <= MAX_COMBINED else (1, len(tasks))
    return [some for size in sizes for some in itertools.combinations(tasks, size)]


def _combine(scores: Gates, heads: list[int], costs: BudgetModel) -> Gates:
    """Return the scores of the gates with some of the heads in use."""
    return combine_heads(scores.map(lambda score: score[..., heads]), branches=costs.branch_gates)


def _level(scores: Gates, costs: BudgetModel, budget: float) -> Level | None:
    """Fit one budget; None if it cannot be kept."""
    curve = costs.curve(scores)
    lowest = curve.lowest_within(frame_limit(budget))
    values = curve.thresholds[curve.thresholds.isfinite()].unique()
    # Between the scores, so that no rounding flips a gate; and finite, since JSON needs that.
    edges = torch.cat([values[:1] - 1, values, values[-1:] + 1])
    thresholds = (edges[1:] + edges[:-1]) / 2

    def fractions(number: int) -> Tensor:
        return curve.fraction(lowest.maximum(thresholds[number]))

    numbers = range(len(thresholds))
    found = bisect_left(numbers, True, key=lambda number: _upper(fractions(number)) <= budget)
    if found == len(thresholds):
        return None
    return Level(budget, float(thresholds[found]), float(fractions(found).mean()))


def _upper(fractions: Tensor) -> float:
    """Return the upper end of the confidence interval of a mean."""
    error = fractions.std() / len(fractions) ** 0.5
    return float(fractions.mean() + CONFIDENCE * error)
