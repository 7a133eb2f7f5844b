# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Layers and tensor operations that all encoders share: LoRA, in-place sums, row gathering."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

KAIMING_SLOPE = math.sqrt(5)
T = TypeVar('T')


def gelu(x: Tensor) -> Tensor:
    """Apply GELU; x may be overwritten."""
    return functional.gelu(x) if torch.is_grad_enabled() else torch.ops.aten.gelu_(x)


def add(x: Tensor, change: Tensor) -> Tensor:
    """Return the sum; `change` may be overwritten, x is not."""
    if torch.is_grad_enabled() or change.dtype != x.dtype:
        return x + change
    return change.add_(x)


def scaled(x: Tensor, factor: Tensor | None) -> Tensor:
    """Multiply by a factor, if there is one."""
    return x if factor is None else x * factor


def gather_rows(x: Tensor, rows: Tensor | None) -> Tensor:
    """Return rows (k,) of x, (n, slots, C) to (k, C); None returns x itself."""
    return x if rows is None else x.reshape(-1, x.shape[-1]).index_select(0, rows)


def scatter_add_rows(x: Tensor, change: Tensor, rows: Tensor | None) -> Tensor:
    """Add a change to the rows that `gather_rows()` returned; `change` may be overwritten.

    Args:
        x: (n, slots, C).
        change: (k, C), or (n, slots, C) without rows.
        rows: Indices into the n * slots rows of x, (k,); None for all of them in order.

    """
    if rows is None:
        return add(x, change)
    flat = x.reshape(-1, x.shape[-1])
    return flat.index_add(0, rows, change.to(flat.dtype)).view_as(x)


class WeightCache(Generic[T]):
    """Cache of values that are computed from weights, such as stacked or multiplied matrices.

    A value is recomputed when one of its weights changes, and never cached while gradients are
    recorded. Writing into the `data` of a weight goes undetected.
    """

    def __init__(self, capacity: int) -> None:
        """Create an empty cache.

        Args:
            capacity: Number of values; when one more is added, all are dropped.

        """
        self._capacity = capacity
        self._entries: dict[Hashable, tuple[tuple[object, ...], list[Tensor], T]] = {}

    def get(self, key: Hashable, weights: Sequence[Tensor], compute: Callable[[], T]) -> T:
        """Return the value of a key, computing it if needed.

        Args:
            key: Everything that the value depends on besides the weights.
            weights: Weights that it is computed from.
            compute: Function that computes it.

        """
        if torch.is_grad_enabled() or any(weight.is_inference() for weight in weights):
            return compute()
        state = tuple((w.data_ptr(), w._version, w.dtype, w.device) for w in weights)  # noqa: SLF001
        entry = self._entries.get(key)
        if entry is None or entry[0] != state:
            if len(self._entries) >= self._capacity:
                self._entries.clear()
            # The entry holds the weights' memory, so that no others can get the same address.
            entry = (state, [weight.detach() for weight in weights], compute())
            self._entries[key] = entry
        return entry[2]


class LoRALayer(nn.Module):
    """Pair of matrices that adds scaling * B A x to a linear layer (Hu et al. 2022, "LoRA").

    A is drawn uniformly (He et al. 2015), B starts at zero, so the sum starts as the layer.

    Attributes:
        a: Matrix A, (rank, inputs).
        b: Matrix B, (outputs, rank).
        scaling: Factor on the product; it is not divided by the rank.

    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        rank: int,
        scaling: float,
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.scaling, self.dropout = scaling, dropout
        self.a = nn.Parameter(torch.empty(rank, inputs))
        self.b = nn.Parameter(torch.zeros(outputs, rank))
        nn.init.kaiming_uniform_(self.a, a=KAIMING_SLOPE, generator=generator)

    def forward(self, x: Tensor, outputs: int | None = None) -> Tensor:
        """Return scaling * B A x.

        Args:
            x: (..., inputs); with fewer channels, the missing last ones count as zero.
            outputs: Number of leading output channels; all if not given.

        """
        x = functional.dropout(x, self.dropout, self.training)
        hidden = functional.linear(x, self.a[:, : x.shape[-1]])  # ..., rank
        return functional.linear(hidden, self.scaling * self.b[:outputs])

    def product(self) -> Tensor:
        """Return scaling * B A, (outputs, inputs), in double precision."""
        return self.scaling * (self.b.double() @ self.a.double())


class LoRALinear(nn.Linear):
    """Linear layer with an optional low-rank pair, which can be merged into its weight.

    Its own parameters have the names of a plain layer's. The state dict holds the base weight,
    whether merged or not; loading a state dict unmerges.

    Attributes:
        shared: The low-rank pair; None if there is none.
        base: Base weight while the pair is merged, else None.

    """

    base: Tensor | None

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, bias)
        self.shared: LoRALayer | None = None
        self.register_buffer('base', None, persistent=False)

    @property
    def merged(self) -> bool:
        """Whether the pair is part of the weight."""
        return self.base is not None

    def forward(self, x: Tensor, outputs: int | None = None) -> Tensor:
        """Apply to the last axis.

        Args:
            x: (..., inputs); with fewer channels, the missing last ones count as zero.
            outputs: Number of leading output channels; all if not given.

        """
        return self.forward_with_base(x, outputs)[0]

    def forward_with_base(self, x: Tensor, outputs: int | None = None) -> tuple[Tensor, Tensor]:
        """Return the output, and the output without the pair.

        Both are the same tensor if there is no pair or if it is merged.
        """
        inputs = x.shape[-1]
        weight: Tensor = self.weight
        bias: Tensor | None = self.bias
        if outputs is not None or inputs < self.in_features:
            weight = weight[:outputs, :inputs]
            bias = None if bias is None else bias[:outputs]
        base_out = functional.linear(x, weight, bias)
        if self.shared is None or self.merged:
            return base_out, base_out
        return base_out + self.shared(x, outputs), base_out

    def effective_weight(self) -> Tensor:
        """Return the weight with the pair, (outputs, inputs), with gradients."""
        if self.shared is None or self.merged:
            return self.weight
        return self.weight + self.shared.scaling * self.shared.b @ self.shared.a

    def merge(self) -> None:
        """Merge the pair into the weight; without a pair, do nothing.

        The memory of the base weight is left alone, so that networks may share it.
        """
        if self.shared is None or self.merged:
            return
        with torch.inference_mode(self.weight.is_inference()), torch.no_grad():
            self.base = self.weight.detach()
            self.weight.data = (self.base.double() + self.shared.product()).to(self.base.dtype)

    def unmerge(self) -> None:
        """Restore the base weight, bit for bit."""
        if self.base is not None:
            with torch.inference_mode(self.weight.is_inference()), torch.no_grad():
                self.weight.data = self.base
            self.base = None

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if self.base is not None:
            destination[f'{prefix}weight'] = self.base

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, *others: Any
    ) -> None:
        self.unmerge()
        super()._load_from_state_dict(state_dict, prefix, *others)
