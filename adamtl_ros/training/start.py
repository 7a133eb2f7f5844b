# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The network that a training starts with: at random, or from weights that are there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from adamtl_ros.nn.architecture import architecture
from adamtl_ros.nn.checkpoint import load_model
from adamtl_ros.nn.foreign import load_swin
from adamtl_ros.nn.initialise import initialise
from adamtl_ros.nn.network import AdaptiveNetwork

if TYPE_CHECKING:
    from collections.abc import Mapping

    from adamtl_ros.tasks import Task
    from adamtl_ros.training.recipe import Recipe


def starting_network(
    recipe: Recipe, tasks: Mapping[str, Task]
) -> tuple[AdaptiveNetwork, tuple[str, ...]]:
    """Return the network, and the parts of it that a recipe's `start` has no weights for.

    The encoder is always taken from there; a decoder if the task is there with the same
    classes; the policy if it decides the same for the same tasks.

    Args:
        recipe: Says where to start.
        tasks: Those of the network, with the classes of the data.

    Raises:
        ValueError: The file to start from has another architecture, or cannot be used.

    """
    with torch.random.fork_rng(devices=[]):
        network = AdaptiveNetwork(architecture(recipe.architecture), tasks, recipe.policy)
    initialise(network, torch.Generator().manual_seed(recipe.seed))
    if recipe.pretrained:
        load_swin(network.encoder, Path(recipe.pretrained).expanduser())
    fresh = _take(network, recipe.start) if recipe.start else ()
    return network.train(), fresh


def _take(network: AdaptiveNetwork, start: str) -> tuple[str, ...]:
    """Copy what fits from weights; return the names of what does not."""
    source = load_model(str(Path(start).expanduser())).network
    if source.arch != network.arch:
        raise ValueError(
            f"start '{start}' is {source.arch.name}, the recipe asks for {network.arch.name}"
        )
    same = [name for name, task in network.tasks.items() if source.tasks.get(name) == task]
    fits = {'encoder': True, **{f'decoders.{name}': name in same for name in network.tasks}}
    fits['policy'] = (
        list(source.tasks) == list(network.tasks) and source.policy.config == network.policy.config
    )
    for name, taken in fits.items():
        if taken:
            network.get_submodule(name).load_state_dict(source.get_submodule(name).state_dict())
    return tuple(name for name, taken in fits.items() if not taken)
