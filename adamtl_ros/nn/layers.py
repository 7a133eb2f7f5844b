# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Layers and tensor operations that encoders share: LoRA, in-place sums, row gathering."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from torch import Tensor


def gelu(x: Tensor) -> Tensor:
    """Apply GELU; x may be overwritten."""
    return functional.gelu(x) if torch.is_grad_enabled() else torch.ops.aten.gelu_(x)


def add(x: Tensor, change: Tensor) -> Tensor:
    """Return the sum; `change` may be overwritten, x is not."""
    if torch.is_grad_enabled() or change.dtype != x.dtype:
        return x + change
    return change.add_(x)


def scaled(x: Tensor, factor: Tensor | None) -> Tensor:
    """Multiply by a factor, where there is one."""
    return x if factor is None else x * factor


def gather_rows(x: Tensor, tokens: Tensor | None) -> Tensor:
    """Return rows of (n, slots, C) as (k, C); all of it, as it is, where none are named."""
    return x if tokens is None else x.reshape(-1, x.shape[-1]).index_select(0, tokens)


def scatter_rows(x: Tensor, change: Tensor, tokens: Tensor | None) -> Tensor:
    """Add a change to the rows that `gather_rows()` gave; `change` may be overwritten."""
    if tokens is None:
        return add(x, change)
    rows = x.reshape(-1, x.shape[-1])
    return rows.index_add(0, tokens, change.to(rows.dtype)).view_as(x)


T = TypeVar('T')


class WeightCache(Generic[T]):
    """Results that are kept between calls while no gradient is asked for and no weight changes.

    Writing into the `data` of a weight goes unseen.
    """

    def __init__(self, most: int) -> None:
        """Prepare.

        Args:
            most: So many results; then all are dropped.

        """
        self._most = most
        self._found: dict[Hashable, tuple[tuple[object, ...], list[Tensor], T]] = {}

    def get(self, key: Hashable, weights: Sequence[Tensor], make: Callable[[], T]) -> T:
        """Return what is kept under a key, or make it.

        Args:
            key: What it depends on besides the weights.
            weights: What it is made of.
            make: How.

        """
        if torch.is_grad_enabled() or any(weight.is_inference() for weight in weights):
            return make()
        state = tuple((w.data_ptr(), w._version, w.dtype, w.device) for w in weights)  # noqa: SLF001
        found = self._found.get(key)
        if found is None or found[0] != state:
            if len(self._found) >= self._most:
                self._found.clear()
            # With the weights' memory, so that no others can get the same address.
            found = (state, [weight.detach() for weight in weights], make())
            self._found[key] = found
        return found[2]


KAIMING_SLOPE = math.sqrt(5)


class LoRALayer(nn.Module):
    """A pair of matrices that adds scale * B A x to a linear layer (Hu et al. 2022, "LoRA").

    A is drawn uniformly (He et al. 2015), B begins as zero, so the sum begins as the layer.

    Attributes:
        a: (rank, inputs).
        b: (outputs, rank).
        scale: Multiplies the product directly; it is not divided by the rank.

    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        rank: int,
        scale: float,
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.scale, self.dropout = scale, dropout
        self.a = nn.Parameter(torch.empty(rank, inputs))
        self.b = nn.Parameter(torch.zeros(outputs, rank))
        nn.init.kaiming_uniform_(self.a, a=KAIMING_SLOPE, generator=generator)

    def forward(self, x: Tensor, outputs: int | None = None) -> Tensor:
        """Return the first outputs for the inputs that x has, the first ones."""
        x = functional.dropout(x, self.dropout, self.training)
        return functional.linear(functional.linear(x, self.a[:, : x.shape[-1]]), self._up(outputs))

    def product(self) -> Tensor:
        """Return scale * B A, (outputs, inputs), in double precision."""
        return self.scale * (self.b.double() @ self.a.double())

    def _up(self, outputs: int | None) -> Tensor:
        return self.scale * self.b[:outputs]


class LoRALinear(nn.Linear):
    """A linear layer that may carry a low-rank pair, and fold it into its weight.

    Its own parameters have the names of a plain layer's. What is saved is the base, folded or
    not; loading weights into a folded layer unfolds it.

    Attributes:
        shared: The pair; None if there is none.

    """

    base: Tensor | None

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, bias)
        self.shared: LoRALayer | None = None
        self.register_buffer('base', None, persistent=False)

    @property
    def folded(self) -> bool:
        """Whether the pair is inside the weight."""
        return self.base is not None

    def forward(self, x: Tensor, outputs: int | None = None) -> Tensor:
        """Apply to the last axis.

        Args:
            x: (..., inputs); with fewer, the first ones, the others count as zero.
            outputs: So many of the first; all if not given.

        """
        full, _ = self.both(x, outputs)
        return full

    def both(self, x: Tensor, outputs: int | None = None) -> tuple[Tensor, Tensor]:
        """Return what `forward()` does, and the same without the pair.

        It is the same tensor twice where there is no pair, or where it is folded.
        """
        inputs = x.shape[-1]
        weight: Tensor = self.weight
        bias: Tensor | None = self.bias
        if outputs is not None or inputs < self.in_features:
            weight = weight[:outputs, :inputs]
            bias = None if bias is None else bias[:outputs]
        bare = functional.linear(x, weight, bias)
        if self.shared is None or self.folded:
            return bare, bare
        return bare + self.shared(x, outputs), bare

    def matrix(self) -> Tensor:
        """Return the weight with the pair, (outputs, inputs), with gradients."""
        if self.shared is None or self.folded:
            return self.weight
        return self.weight + self.shared.scale * self.shared.b @ self.shared.a

    def fold(self) -> None:
        """Put the pair inside the weight, and keep the base; nothing to do without a pair.

        The base itself is left alone, so that networks may share it.
        """
        if self.shared is None or self.folded:
            return
        with torch.inference_mode(self.weight.is_inference()), torch.no_grad():
            self.base = self.weight.detach()
            self.weight.data = (self.base.double() + self.shared.product()).to(self.base.dtype)

    def unfold(self) -> None:
        """Restore the base, bit for bit."""
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
        self,
        state_dict: Mapping[str, Any],
        prefix: str,
        *others: Any,  # noqa: ANN401
    ) -> None:
        self.unfold()
        super()._load_from_state_dict(state_dict, prefix, *others)
