# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Working on some rows of a stream, and on some share of a change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adamtl_ros.nn.inplace import add

if TYPE_CHECKING:
    from torch import Tensor


def scaled(x: Tensor, factor: Tensor | None) -> Tensor:
    """Multiply by a factor, where there is one."""
    return x if factor is None else x * factor


def picked(x: Tensor, tokens: Tensor | None) -> Tensor:
    """Return rows of (n, slots, C) as (k, C); all of it, as it is, where none are named."""
    return x if tokens is None else x.reshape(-1, x.shape[-1]).index_select(0, tokens)


def put(x: Tensor, change: Tensor, tokens: Tensor | None) -> Tensor:
    """Add a change to the rows that `picked()` gave; `change` may be overwritten."""
    if tokens is None:
        return add(x, change)
    rows = x.reshape(-1, x.shape[-1])
    return rows.index_add(0, tokens, change.to(rows.dtype)).view_as(x)
