# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Exact multiply-accumulates (MACs) of the network, in closed form.

Counted are matrix products, convolutions and attention products, as executed: padding
included, biases, normalisation, activations, resampling and gathers not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from adamtl_ros.nn.windows import ceil_to, window_grid

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from adamtl_ros.nn.architecture import Architecture
    from adamtl_ros.nn.gating import Plan
    from adamtl_ros.tasks import Task


@dataclass(frozen=True)
class Complexity:
    """MACs of one image of one size, by part.

    Attributes:
        blocks: For each stage, of any one of its blocks.
        windows: For each stage, attention windows of any one of its blocks.
        fixed: What always runs in the encoder: patch embedding and merging.
        decoders: By task name.

    """

    blocks: tuple[int, ...]
    windows: tuple[int, ...]
    fixed: int
    decoders: Mapping[str, int]

    def floor(self, tasks: Iterable[str]) -> int:
        """Return the MACs that remain with every block off."""
        return self.fixed + sum(self.decoders[task] for task in tasks)

    def total(self, plan: Plan, tasks: Iterable[str]) -> int:
        """Return the MACs of a plan for these tasks."""
        run = sum(cost * sum(chosen) for cost, chosen in zip(self.blocks, plan.blocks, strict=True))
        return self.floor(tasks) + run

    def windows_run(self, plan: Plan) -> int:
        """Return the attention windows that a plan executes, summed over the blocks."""
        return sum(n * sum(chosen) for n, chosen in zip(self.windows, plan.blocks, strict=True))


@lru_cache(maxsize=256)
def complexity(arch: Architecture, size: tuple[int, int], tasks: tuple[Task, ...]) -> Complexity:
    """Count the MACs of an architecture at an input size (height, width)."""
    grids = _stage_grids(arch, size)
    embed = grids[0][0] * grids[0][1] * arch.embed_dim * 3 * arch.patch**2
    merging = sum(h * w * 8 * dim**2 for (h, w), dim in zip(grids[1:], arch.dims, strict=False))
    windows = tuple(window_grid(h, w, arch.window, False).count for h, w in grids)
    return Complexity(
        blocks=tuple(
            _block(arch, dim, count) for dim, count in zip(arch.dims, windows, strict=True)
        ),
        windows=windows,
        fixed=embed + merging,
        decoders={task.name: _decoder(arch, grids, task.channels) for task in tasks},
    )


def _stage_grids(arch: Architecture, size: tuple[int, int]) -> list[tuple[int, int]]:
    """Token grid of each stage; sides are rounded up on the way down."""
    height, width = (ceil_to(side, arch.patch) // arch.patch for side in size)
    grids = []
    for _ in arch.depths:
        grids.append((height, width))
        height, width = (height + 1) // 2, (width + 1) // 2
    return grids


def _block(arch: Architecture, dim: int, windows: int) -> int:
    slots = arch.window**2
    linear = (4 + 2 * arch.mlp_ratio) * dim**2
    return windows * slots * (linear + 2 * slots * dim)


def _decoder(arch: Architecture, grids: list[tuple[int, int]], channels: int) -> int:
    dim = arch.decoder_dim
    laterals = sum(h * w * width * dim for (h, w), width in zip(grids, arch.dims, strict=True))
    height, width = grids[0]
    return laterals + height * width * dim * (9 + dim + channels)
