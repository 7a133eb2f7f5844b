# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Exact multiply-accumulates (MACs) of an architecture, in closed form.

Counted are matrix products, convolutions and attention products, as executed: padding
included, biases, normalisation, activations, resampling and gathers not. Nor are products of
weights with weights, which are kept between frames.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from adamtl_ros.nn.complexity import BlockCost, BranchCost, Complexity
from adamtl_ros.nn.hrnet import level_dims
from adamtl_ros.nn.places import cell_grid
from adamtl_ros.nn.windows import ceil_to, window_grid

if TYPE_CHECKING:
    from adamtl_ros.nn.architecture import Architecture
    from adamtl_ros.nn.lora import LoraConfig
    from adamtl_ros.nn.policy import PolicyConfig
    from adamtl_ros.tasks import Task


@lru_cache(maxsize=256)
def complexity(
    arch: Architecture,
    size: tuple[int, int],
    tasks: tuple[Task, ...],
    policy: PolicyConfig,
    adapters: LoraConfig | None = None,
    *,
    folded: bool = True,
) -> Complexity:
    """Count the MACs of an architecture.

    Args:
        arch: The architecture.
        size: Input height and width.
        tasks: All that there are.
        policy: What the policy decides.
        adapters: Low-rank adapters; None for none.
        folded: Whether they are folded where they can be.

    """
    grids = stage_grids(arch, size)
    embed = grids[0][0] * grids[0][1] * arch.embed_dim * 3 * arch.patch**2
    blocks = [
        _adapted(_block(arch, grids[stage], dim), adapters, stage, index + 1 == depth, folded)
        for stage, (dim, depth) in enumerate(zip(arch.dims, arch.depths, strict=True))
        for index in range(depth)
    ]
    head = _policy_head(arch, grids[0], policy)
    return Complexity(
        blocks=tuple(blocks),
        size=size,
        depths=arch.depths,
        grid=grids[0],
        fixed=embed + _merging(arch, grids, None if folded else adapters),
        decoders={task.name: _decoder(arch, grids, task.channels) for task in tasks},
        policy=_policy_trunk(arch, grids[0], policy),
        heads=dict.fromkeys(policy.heads(task.name for task in tasks), head),
        narrow=policy.narrow,
    )


def stage_grids(arch: Architecture, size: tuple[int, int]) -> list[tuple[int, int]]:
    """Token grid of each stage; sides are rounded up on the way down."""
    height, width = (ceil_to(side, arch.patch) // arch.patch for side in size)
    grids = []
    for _ in arch.depths:
        grids.append((height, width))
        height, width = (height + 1) // 2, (width + 1) // 2
    return grids


def _block(arch: Architecture, grid: tuple[int, int], dim: int) -> BlockCost:
    cut = window_grid(*grid, arch.window, False)
    attention = cut.slots * (4 * dim**2 + 2 * cut.slots * dim)
    return BlockCost(cut.count, cut.slots, attention, 2 * dim, arch.mlp_ratio * dim)


def _adapted(
    cost: BlockCost, adapters: LoraConfig | None, stage: int, last: bool, folded: bool
) -> BlockCost:
    """Add what low-rank pairs cost that are not folded, and the branches of tasks."""
    if adapters is None:
        return cost
    dim, rank = cost.channel // 2, adapters.shared.ranks[stage]
    beside = {
        layer: rank
        for layer in adapters.shared_layers
        if not (folded and adapters.folds(layer, stage, last=last))
    }
    slot = (4 * beside.get('qkv', 0) + 2 * beside.get('proj', 0)) * dim
    mlp = beside.get('fc1', 0) + beside.get('fc2', 0)
    return BlockCost(
        cost.windows,
        cost.slots,
        cost.attention + cost.slots * slot,
        cost.channel + mlp,
        cost.hidden,
        mlp * dim,
        _branch(adapters, stage, dim) if last else None,
    )


def _branch(adapters: LoraConfig, stage: int, dim: int) -> BranchCost | None:
    """Count what the branch of each task does; see `branches.Factors`."""
    pairs, layers = adapters.branching(stage), adapters.task_layers
    if not pairs:
        return None
    rank = max(rank for rank, _ in pairs.values())
    proj, fc1, fc2 = ('proj' in layers, 'fc1' in layers, 'fc2' in layers)
    return BranchCost(
        tasks=tuple(pairs),
        # Codes of the attention; and all codes times directions at the end.
        slot=rank * dim * (proj + proj + fc2),
        # The stream written out before the norm, and its codes.
        token=rank * dim * (proj + 1) * fc1,
        # Hidden channels of its own, and their codes.
        channel=rank * (fc1 + fc2),
    )


def _merging(arch: Architecture, grids: list[tuple[int, int]], adapters: LoraConfig | None) -> int:
    ranks = adapters.merging.ranks if adapters and adapters.merging else (0,) * len(grids)
    return sum(
        height * width * (8 * dim**2 + 6 * dim * rank)
        for (height, width), dim, rank in zip(grids[1:], arch.dims, ranks, strict=False)
    )


def _decoder(arch: Architecture, grids: list[tuple[int, int]], channels: int) -> int:
    if arch.decoder == 'hrnet':
        return _hrnet(arch, grids, channels)
    dim = arch.decoder_dim
    laterals = sum(h * w * width * dim for (h, w), width in zip(grids, arch.dims, strict=True))
    height, width = grids[0]
    return laterals + height * width * dim * (9 + dim + channels)


def _hrnet(arch: Architecture, grids: list[tuple[int, int]], channels: int) -> int:
    dims = level_dims(arch)
    merged = [*grids[1:], grids[-1]]
    inputs = [4 * dim for dim in arch.dims[:-1]] + [arch.dims[-1]]
    levels = sum(h * w * a * b for (h, w), a, b in zip(merged, inputs, dims, strict=True))
    height, width = merged[0]
    return levels + height * width * 4 * sum(dims) * (sum(dims) + channels)


def _policy_trunk(arch: Architecture, grid: tuple[int, int], policy: PolicyConfig) -> int:
    rows, columns = cell_grid(*grid)
    squeeze = grid[0] * grid[1] * arch.embed_dim * policy.channels
    mix = rows * columns * 9 * policy.channels * 2 * policy.channels
    frame = 4 * policy.channels * policy.hidden
    return squeeze + mix + frame + policy.hidden + policy.hidden * 2 * policy.hidden


def _policy_head(arch: Architecture, grid: tuple[int, int], policy: PolicyConfig) -> int:
    rows, columns = cell_grid(*grid)
    places = rows * columns * 2 * policy.channels * len(arch.depths)
    head = policy.hidden * arch.block_count * len(policy.gates)
    return head + places * policy.has_map
