# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Trainable parameters and their groups, learning rate schedule, and averaging of weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR
from torch.optim.swa_utils import get_ema_multi_avg_fn

from adamtl_ros.nn.adapters.inject import PARTS, trainable_parameters

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container

    from torch.optim import Optimizer

    from adamtl_ros.nn.network import AdaptiveNetwork
    from adamtl_ros.training.recipe import Recipe, Stage

POLICY, ENCODER = 'policy.', 'encoder.'
"""Prefixes of the names of the policy's and the encoder's parameters."""


def trainable_names(
    network: AdaptiveNetwork, tasks: Collection[str], parts: Collection[str] = PARTS
) -> set[str] | None:
    """Return the names of the parameters that are trained in a network with adapters.

    Decoders and low-rank pairs of other tasks are never among them, nor is the policy, which
    depends on the stage; see `parameter_groups()`.

    Args:
        network: The network.
        tasks: Names of the tasks that are trained.
        parts: Groups of parameters that are trained, of `PARTS`.

    Returns:
        Parameter names; None, for all parameters, if the network has no adapters.

    """
    if network.adapters is None:
        return None
    other_tasks = {name for name in network.tasks if name not in tasks}
    return {
        name
        for part, members in trainable_parameters(network).items()
        for name in members
        if part in parts and not other_tasks.intersection(name.split('.'))
    }


def parameter_groups(
    network: AdaptiveNetwork,
    stage: Stage,
    weight_decay: float,
    names: Container[str] | None = None,
) -> list[dict[str, Any]]:
    """Return the optimizer's parameter groups for a stage, and freeze all other parameters.

    Weight decay is applied to matrices only, not to biases, norms and the position bias tables
    (Liu et al. 2021).

    Args:
        network: The network, whose `requires_grad` flags are set.
        stage: The stage, which has the learning rates.
        weight_decay: Weight decay of matrices.
        names: Names of the trainable parameters beside the policy; all if not given.

    """
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(_is_trained(name, stage, names))
        if parameter.requires_grad:
            decays = parameter.dim() > 1 and 'bias' not in name
            groups.setdefault((_learning_rate(name, stage), decays), []).append(parameter)
    return [
        {'params': parameters, 'lr': rate, 'weight_decay': weight_decay if decays else 0.0}
        for (rate, decays), parameters in groups.items()
    ]


def _learning_rate(name: str, stage: Stage) -> float:
    if name.startswith(POLICY):
        return stage.policy_lr
    if name.startswith(ENCODER) and stage.encoder_lr is not None:
        return stage.encoder_lr
    return stage.lr


def count_trained_parameters(network: AdaptiveNetwork, recipe: Recipe) -> int:
    """Return the number of parameters that the stages of a recipe train together."""
    names = trainable_names(network, recipe.tasks, recipe.trained_parts)
    return sum(
        parameter.numel()
        for name, parameter in network.named_parameters()
        if any(_is_trained(name, stage, names) for stage in recipe.stages)
    )


def _is_trained(name: str, stage: Stage, names: Container[str] | None) -> bool:
    if name.startswith(POLICY):
        return stage.kind in ('policy', 'joint')
    return stage.kind != 'policy' and (names is None or name in names)


def set_norm_statistics(network: nn.Module, *, trained: bool) -> None:
    """Let batch norms follow the statistics of the batches, or keep those that they have.

    A ladder trains with those of the full network: batches of different rungs have different
    statistics, and norms that are the same on every rung fold into the same convolutions.

    Args:
        network: Network in training mode; frozen parts of it stay as they are.
        trained: Whether the statistics follow.

    """
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train(trained)


def cosine_schedule(optimizer: Optimizer, steps: int, warmup: float) -> SequentialLR:
    """Return a schedule with linear warm-up and cosine decay to a hundredth of the rate.

    Args:
        optimizer: Optimizer with its peak learning rates.
        steps: Number of optimizer steps, warm-up included.
        warmup: Fraction of the steps that warm up, 0..1.

    """
    warmup_steps = max(1, round(warmup * steps))
    lowest = min(group['lr'] for group in optimizer.param_groups) / 100
    rise = LinearLR(optimizer, 0.02, total_iters=warmup_steps)
    decay = CosineAnnealingLR(optimizer, max(1, steps - warmup_steps), lowest)
    return SequentialLR(optimizer, [rise, decay], [warmup_steps])


def ema_with_warmup(decay: float) -> Callable[[Any, Any, Any], None]:
    """Return the update of an exponential moving average (EMA) whose decay grows at first.

    After n updates the decay is min(decay, (1 + n) / (10 + n)).

    Args:
        decay: Final decay, 0..1.

    """

    def update(average: Any, current: Any, count: Any) -> None:
        early = (1 + float(count)) / (10 + float(count))
        get_ema_multi_avg_fn(min(decay, early))(average, current, count)

    return update
