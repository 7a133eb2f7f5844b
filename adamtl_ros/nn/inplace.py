# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Operations that reuse memory where no gradient is asked for, and are ordinary otherwise.

Large maps do not fit a core's cache, so memory that is not written is time: a tenth of the MLP
of the first stage. Forward hooks on the layer before see what was overwritten.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def gelu(x: Tensor) -> Tensor:
    """Apply GELU; x may be overwritten."""
    return functional.gelu(x) if torch.is_grad_enabled() else torch.ops.aten.gelu_(x)


def add(x: Tensor, change: Tensor) -> Tensor:
    """Return the sum; `change` may be overwritten, x is not."""
    if torch.is_grad_enabled() or change.dtype != x.dtype:
        return x + change
    return change.add_(x)
