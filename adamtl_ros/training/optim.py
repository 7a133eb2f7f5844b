# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What a stage trains, how fast, and the running mean of the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR
from torch.optim.swa_utils import get_ema_multi_avg_fn

from adamtl_ros.training.adapters import trainable_names

if TYPE_CHECKING:
    from collections.abc import Container

    from torch import nn
    from torch.optim import Optimizer

    from adamtl_ros.nn.network import AdaptiveNetwork
    from adamtl_ros.training.recipe import Recipe, Stage

POLICY = 'policy.'
"""How the names of the policy's parameters begin."""


def parameter_groups(
    network: AdaptiveNetwork,
    stage: Stage,
    weight_decay: float,
    names: Container[str] | None = None,
) -> list[dict[str, Any]]:
    """Return what a stage trains, and freeze the rest.

    Matrices decay; biases, norms and the position bias tables do not (Liu et al. 2021).

    Args:
        network: The network.
        stage: The stage.
        weight_decay: Of matrices.
        names: Of all that learns beside the policy; everything if not given.

    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(_learns(name, stage, names))
        if parameter.requires_grad:
            decays = parameter.dim() > 1 and 'bias' not in name
            groups.setdefault((name.startswith(POLICY), decays), []).append(parameter)
    return [
        {
            'params': members,
            'lr': stage.policy_lr if is_policy else stage.lr,
            'weight_decay': weight_decay if decays else 0.0,
        }
        for (is_policy, decays), members in groups.items()
    ]


def trained_parameters(network: AdaptiveNetwork, recipe: Recipe) -> int:
    """Return how many parameters of a network the stages of a recipe train."""
    names = trainable_names(network, recipe)
    return sum(
        parameter.numel()
        for name, parameter in network.named_parameters()
        if any(_learns(name, stage, names) for stage in recipe.stages)
    )


def _learns(name: str, stage: Stage, names: Container[str] | None) -> bool:
    if name.startswith(POLICY):
        return stage.kind in ('policy', 'joint')
    return stage.kind != 'policy' and (names is None or name in names)


def cosine_schedule(optimiser: Optimizer, stage: Stage) -> SequentialLR:
    """Return rates that rise linearly at first and then fall as a cosine to a hundredth."""
    rise = max(1, round(stage.warmup * stage.steps))
    lowest = min(group['lr'] for group in optimiser.param_groups) / 100
    warm = LinearLR(optimiser, 0.02, total_iters=rise)
    fall = CosineAnnealingLR(optimiser, max(1, stage.steps - rise), lowest)
    return SequentialLR(optimiser, [warm, fall], [rise])


def ema_with_warmup(decay: float) -> Any:  # noqa: ANN401
    """Return the update of a running mean that forgets faster while it is young."""

    def update(mean: Any, current: Any, count: Any) -> None:  # noqa: ANN401
        young = (1 + float(count)) / (10 + float(count))
        get_ema_multi_avg_fn(min(decay, young))(mean, current, count)

    return update
