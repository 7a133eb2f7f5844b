# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Training low-rank adapters in the place of the whole network: what is attached and learns."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from adamtl_ros.nn.adapting import PARTS, trainable
from adamtl_ros.nn.lora import LoraConfig

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from adamtl_ros.nn.network import AdaptiveNetwork
    from adamtl_ros.training.recipe import Recipe


@dataclass(frozen=True)
class Adapters:
    """Adapters that a training attaches to the network that it starts with.

    Attributes:
        rank: Of the pairs that all tasks share.
        task_rank: Of those of each task that is trained; 0 for none.
        task_layers: Layers with pairs of tasks; without 'fc1' they cost little time.
        merging: Shared pairs for the patch merging (MTLoRA+), whose reduction then stays.
        parts: What learns, of `PARTS`.
        dropout: On the input of the pairs; published is 0.05, whose noise took 29 % of a step on a
            CPU, for the same scores.
        keep: Weight with which tasks without labels are held to what the base answers.

    """

    rank: int = 8
    task_rank: int = 4
    task_layers: tuple[str, ...] = ('proj', 'fc2')
    merging: bool = True
    parts: tuple[str, ...] = PARTS
    dropout: float = 0.0
    keep: float = 1.0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: Unknown parts or an impossible number.

        """
        unknown = [name for name in self.parts if name not in PARTS]
        if unknown or not self.parts:
            raise ValueError(f'parts {unknown} are unknown, choose from: {", ".join(PARTS)}')
        if self.keep < 0:
            raise ValueError(f'keep must be 0 or more, got {self.keep}')
        self.config(1, ())

    def config(self, stages: int, tasks: Iterable[str]) -> LoraConfig:
        """Return what is attached to a network with so many stages, for the trained tasks."""
        return LoraConfig.even(
            stages, tasks if self.task_rank else (), self.rank, self.task_rank,
            merging=self.merging, task_layers=self.task_layers, dropout=self.dropout,
        )  # fmt: skip


def learning(network: AdaptiveNetwork, recipe: Recipe) -> set[str] | None:
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
        for part, members in trainable(network).items()
        for name in members
        if part in parts and not others.intersection(name.split('.'))
    }


def task_weights(recipe: Recipe, network: AdaptiveNetwork) -> dict[str, float]:
    """Return the weight of each task's loss; of tasks without labels if they are held to."""
    keep = recipe.adapters.keep if recipe.adapters else Adapters.keep
    shares = {name: 1.0 if name in recipe.tasks else keep for name in network.tasks}
    return {
        name: share * recipe.weights.get(name, network.tasks[name].loss_weight)
        for name, share in shares.items()
        if share
    }


@contextmanager
def same_dropout(seed: int, device: torch.device) -> Iterator[None]:
    """Let dropout follow a seed meanwhile, so that a training can go on where it was.

    The global random state is left as it was.
    """
    with torch.random.fork_rng([device] if device.type == 'cuda' else []):
        torch.manual_seed(seed)
        yield
