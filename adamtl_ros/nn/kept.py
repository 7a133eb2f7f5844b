# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What is made of weights alone, and need not be made again for each frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from torch import Tensor

T = TypeVar('T')


class Kept(Generic[T]):
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
