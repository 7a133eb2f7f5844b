# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Folding of batch norms into the convolutions before them, for inference."""

from __future__ import annotations

import copy
import itertools
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import nn
from torch.nn.utils import fuse_conv_bn_weights

if TYPE_CHECKING:
    from torch.nn.parameter import Parameter

M = TypeVar('M', bound=nn.Module)


def fold_batch_norms(module: M) -> M:
    """Return a copy for inference, without batch norms and channels last.

    A batch norm that is registered right after a convolution is taken to follow it, as it does
    in all modules of this package. A module without any batch norm is returned itself.

    Args:
        module: Module in evaluation mode; it does not change. The copy shares the weights that
            folding does not change.

    """
    if not any(isinstance(part, nn.BatchNorm2d) for part in module.modules()):
        return module
    shared: dict[int, Parameter] = {id(weight): weight for weight in module.parameters()}
    folded = copy.deepcopy(module, dict(shared))
    for part in list(folded.modules()):
        for (_, conv), (name, norm) in itertools.pairwise(list(part.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                _fold(conv, norm)
                setattr(part, name, nn.Identity())
    # A tenth faster on a CPU than the order in which convolutions are trained.
    folded.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return folded.requires_grad_(False)


def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """Fold a norm into its convolution, in place."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight,
        conv.bias,
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight,
        norm.bias,
    )
