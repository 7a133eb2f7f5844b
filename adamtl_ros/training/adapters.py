# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Training low-rank adapters in the place of the whole network: what is attached and learns."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from adamtl_ros.nn.adapters.inject import PARTS, trainable_parameters
from adamtl_ros.training.recipe import AdapterConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from adamtl_ros.nn.network import AdaptiveNetwork
    from adamtl_ros.training.recipe import Recipe


def trainable_names(network: AdaptiveNetwork, recipe: Recipe) -> set[str] | None:
    """Return the names of what learns of an adapted network; None if it has no adapters.

    That is never a decoder, or a pair, of a task that is not trained. The policy is another
    matter: the stage decides.
    """
    if network.adapters is None:
        return None
    parts = recipe.adapters.parts if recipe.adapters else PARTS
    others = {name for name in network.tasks if name not in recipe.tasks}
    return {
        name
        for part, members in trainable_parameters(network).items()
        for name in members
        if part in parts and not others.intersection(name.split('.'))
    }


def task_weights(recipe: Recipe, network: AdaptiveNetwork) -> dict[str, float]:
    """Return the weight of each task's loss; of tasks without labels if they are held to."""
    keep = recipe.adapters.keep if recipe.adapters else AdapterConfig.keep
    shares = {name: 1.0 if name in recipe.tasks else keep for name in network.tasks}
    return {
        name: share * recipe.weights.get(name, network.tasks[name].loss_weight)
        for name, share in shares.items()
        if share
    }


@contextmanager
def seeded_rng(seed: int, device: torch.device) -> Iterator[None]:
    """Let dropout follow a seed meanwhile, so that a training can go on where it was.

    The global random state is left as it was.
    """
    with torch.random.fork_rng([device] if device.type == 'cuda' else []):
        torch.manual_seed(seed)
        yield
