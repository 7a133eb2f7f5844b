# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Weights of a network before training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import nn

from adamtl_ros.nn.policy import HeadStack

if TYPE_CHECKING:
    import torch


SWIN_DEVIATION = 0.02

QUIET = 0.1
"""Of the policy's last layers, so that no gate is nearly certain from the start."""

OPEN_AT_FIRST = 0.9
"""Probability with which a gate is open before training, all tasks in use."""


def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Draw the weights of all linear and convolution layers of a network, or of a part of it.

    Biases become zero. Weights come from normal distributions cut at two deviations: linear
    layers of the encoder with 0.02, as in Swin; all others so as to keep the variance (He et
    al. 2015).
    The policy's scores begin near one value, at which a gate is most likely open.
    """
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            swin = isinstance(module, nn.Linear) and name.startswith('encoder.')
            deviation = SWIN_DEVIATION if swin else _he_deviation(module)
            nn.init.trunc_normal_(
                module.weight, std=deviation, a=-2 * deviation, b=2 * deviation, generator=generator
            )
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, HeadStack):
            deviation = QUIET / math.sqrt(module.weight.shape[-1])
            nn.init.normal_(module.weight, std=deviation, generator=generator)
            if module.bias is not None:
                nn.init.constant_(module.bias, _score_of(OPEN_AT_FIRST, len(module.weight)))


def _he_deviation(layer: nn.Linear | nn.Conv2d) -> float:
    return math.sqrt(2 / layer.weight[0].numel())


def _score_of(probability: float, heads: int) -> float:
    """Score of each head with which the union of all has a probability."""
    return math.log(math.expm1(-math.log1p(-probability) / heads))
