# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Exact multiply-accumulates (MACs) of an architecture, in closed form.

Matrix products, convolutions and attention products count, as executed, with padding. Biases,
normalization, activations, resampling and gathers do not count; nor do products of weights with
weights, which are cached between frames.

A Swin block costs `attention` MACs for each window that runs, and `mlp(width)` MACs for each token
that passes its MLP. `PART_GATES` says which gates decide about these. A residual block of a
convolutional encoder is a single window without an MLP.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import torch

from adamtl_ros.nn.architecture import EfficientNetArchitecture, SwinArchitecture
from adamtl_ros.nn.decoders import DECODERS
from adamtl_ros.nn.decoders.fpn import FeaturePyramid
from adamtl_ros.nn.efficientnet.encoder import STEM_CHANNELS, block_configs
from adamtl_ros.nn.gating.plan import uniform_plan
from adamtl_ros.nn.gating.policy import cell_grid
from adamtl_ros.nn.swin.encoder import hidden_channels
from adamtl_ros.nn.swin.windows import ceil_to, window_grid

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor

    from adamtl_ros.nn.adapters.lora import LoraConfig
    from adamtl_ros.nn.architecture import Architecture
    from adamtl_ros.nn.gating.plan import BlockPlan, Plan
    from adamtl_ros.nn.gating.policy import PolicyConfig
    from adamtl_ros.tasks import Task

PART_GATES = {
    'attention': ('blocks', 'windows'),
    'narrow': ('blocks', 'windows', 'tokens'),
    'wide': ('blocks', 'windows', 'tokens', 'widths'),
}
"""Parts of a block, and the gates that must all be open for a part to run: the attention of a
window, and for a token the hidden channels of the narrow MLP and the other ones."""


@dataclass(frozen=True)
class BranchCost:
    """MACs that the branch of one task adds to a block.

    Attributes:
        tasks: Tasks that have branches.
        slot: MACs for each token of a window that runs.
        token: MACs for each token that passes the MLP.
        channel: MACs for each hidden channel that runs, for each such token.

    """

    tasks: tuple[str, ...]
    slot: int
    token: int
    channel: int


@dataclass(frozen=True)
class BlockCost:
    """Sizes and MACs of one block.

    Attributes:
        windows: Number of attention windows; 1 in a convolutional block.
        slots: Number of tokens in a window.
        attention: MACs of the attention of one window, projections included.
        channel: MACs of one hidden channel of the MLP for one token.
        hidden: Number of hidden channels of the MLP.
        token: MACs of the MLP for one token, apart from its hidden channels.
        branch: MACs that each task with a low-rank branch here adds; None for no branches.

    """

    windows: int
    slots: int
    attention: int
    channel: int
    hidden: int
    token: int = 0
    branch: BranchCost | None = None

    def with_branches(self, tasks: Iterable[str]) -> BlockCost:
        """Return the cost that includes the branches of some tasks."""
        if self.branch is None:
            return self
        count = sum(task in self.branch.tasks for task in tasks)
        return replace(
            self,
            attention=self.attention + count * self.slots * self.branch.slot,
            channel=self.channel + count * self.branch.channel,
            token=self.token + count * self.branch.token,
            branch=None,
        )

    def windows_run(self, plan: BlockPlan) -> int:
        """Return the number of windows that a plan runs."""
        if not plan.run:
            return 0
        return self.windows if plan.windows is None else len(plan.windows)

    def macs(self, plan: BlockPlan) -> int:
        """Return the MACs of a plan."""
        windows = self.windows_run(plan)
        tokens = windows * self.slots
        if plan.tokens is not None and plan.run:
            chosen = None if plan.windows is None else set(plan.windows)
            tokens = sum(chosen is None or t // self.slots in chosen for t in plan.tokens)
        return windows * self.attention + tokens * self.mlp(plan.width)

    def mlp(self, width: float) -> int:
        """Return the MACs of the MLP for one token at a width."""
        return self.token + self.channel * hidden_channels(self.hidden, width)

    def parts(self, narrow: float) -> dict[str, int]:
        """Return the MACs of the parts of `PART_GATES`, for one window or one token.

        Args:
            narrow: Width of the narrow MLP.

        """
        narrow_mlp = self.mlp(narrow)
        wide = self.mlp(1.0) - narrow_mlp
        return {'attention': self.attention, 'narrow': narrow_mlp, 'wide': wide}


@dataclass(frozen=True)
class Complexity:
    """MACs of one image of one size, by part.

    Attributes:
        blocks: Sizes and MACs of each block of all stages, branches of tasks apart.
        size: Height and width of the image, in pixels.
        depths: Number of blocks of each stage.
        grid: Height and width of the first stage's tokens.
        fixed: MACs of the encoder outside of its blocks: patch embedding and merging.
        decoders: MACs of each decoder, by task name.
        policy: MACs of the policy's features and of what its heads share.
        heads: MACs of each head of the policy, by task name, or 'shared' for a common one.
        narrow: Fraction of the hidden channels of a block whose width gate is shut.
        windowed: Whether the blocks have attention windows.

    """

    blocks: tuple[BlockCost, ...]
    size: tuple[int, int]
    depths: tuple[int, ...]
    grid: tuple[int, int]
    fixed: int
    decoders: Mapping[str, int]
    policy: int
    heads: Mapping[str, int]
    narrow: float
    windowed: bool = True

    def fixed_macs(self, tasks: Iterable[str]) -> int:
        """Return the MACs of everything but the blocks and the policy."""
        return self.fixed + sum(self.decoders[task] for task in tasks)

    def full(self, tasks: Iterable[str]) -> int:
        """Return the MACs of the full network, without the policy."""
        return self.total(uniform_plan(self.depths), tasks)

    def total(self, plan: Plan, tasks: Iterable[str]) -> int:
        """Return the MACs of a plan for these tasks, without the policy."""
        names = tuple(tasks)
        costs = zip(self.blocks, plan.blocks, strict=True)
        return self.fixed_macs(names) + sum(
            cost.with_branches(block.allowed_branches(names)).macs(block) for cost, block in costs
        )

    def policy_macs(self, heads: Iterable[str]) -> int:
        """Return the MACs of the policy with some of its heads."""
        return self.policy + sum(self.heads[head] for head in heads)

    def check(self, plan: Plan) -> None:
        """Check that a plan fits.

        Raises:
            ValueError: Another number of blocks; windows or tokens that do not exist, repeat or
                do not ascend; a block that runs on no window; or an unknown task.

        """
        depths = tuple(map(len, plan.stages))
        if depths != self.depths:
            raise ValueError(f'plan for stages of {depths} blocks, the network has {self.depths}')
        for number, (cost, block) in enumerate(zip(self.blocks, plan.blocks, strict=True)):
            where = f'block {number} of the plan'
            _check_numbers(f'{where}, windows', block.windows, cost.windows)
            _check_numbers(f'{where}, tokens', block.tokens, cost.windows * cost.slots)
            if block.run and block.windows == ():
                raise ValueError(f'{where} runs on no window; use run=False')
            for task in block.tasks or ():
                if task not in self.decoders:
                    known = ', '.join(self.decoders)
                    raise ValueError(f"{where}: unknown task '{task}', choose from: {known}")

    def windows_run(self, plan: Plan) -> int:
        """Return the number of windows that a plan runs, summed over the blocks."""
        if not self.windowed:
            return 0
        costs = zip(self.blocks, plan.blocks, strict=True)
        return sum(cost.windows_run(block) for cost, block in costs)

    def table(self, tasks: Iterable[str]) -> Tensor:
        """Return the sizes of all blocks with the branches of some tasks, cached.

        Returns:
            Number of windows, slots of a window, and the MACs of the parts of `PART_GATES`, as
            rows, (5, blocks) double.

        """
        names = tuple(tasks)
        if names not in self._tables:
            self._tables[names] = self._table(names)
        return self._tables[names]

    @cached_property
    def _tables(self) -> dict[tuple[str, ...], Tensor]:
        return {}

    @torch.inference_mode(mode=False)
    def _table(self, tasks: tuple[str, ...]) -> Tensor:
        costs = [cost.with_branches(tasks) for cost in self.blocks]
        rows = [
            (cost.windows, cost.slots, *(cost.parts(self.narrow)[part] for part in PART_GATES))
            for cost in costs
        ]
        return torch.tensor(rows, dtype=torch.double).T.contiguous()


def _check_numbers(what: str, numbers: tuple[int, ...] | None, count: int) -> None:
    """Check that numbers ascend and lie in 0..count - 1."""
    if not numbers:
        return
    ascend = all(a < b for a, b in itertools.pairwise(numbers))
    if numbers[0] < 0 or numbers[-1] >= count or not ascend:
        raise ValueError(f'{what} must ascend within 0..{count - 1}, got {numbers}')


@lru_cache(maxsize=256)
def complexity(
    arch: Architecture,
    size: tuple[int, int],
    tasks: tuple[Task, ...],
    policy: PolicyConfig,
    adapters: LoraConfig | None = None,
    *,
    merged: bool = True,
) -> Complexity:
    """Count the MACs of an architecture.

    Args:
        arch: Sizes of the network.
        size: Height and width of the image, in pixels.
        tasks: All tasks of the network.
        policy: Configuration of the policy.
        adapters: Low-rank adapters; None for none.
        merged: Whether these are merged where they can be.

    """
    grids = stage_grids(arch, size)
    if isinstance(arch, EfficientNetArchitecture):
        blocks, fixed = _efficientnet(arch, size)
        fixed += FeaturePyramid.macs(arch, grids)
    else:
        assert isinstance(arch, SwinArchitecture)
        blocks, fixed = _swin(arch, grids, adapters, merged=merged)
    head, decoder = _policy_head(arch, grids[0], policy), DECODERS[arch.decoder]
    return Complexity(
        blocks=tuple(blocks),
        size=size,
        depths=arch.depths,
        grid=grids[0],
        fixed=fixed,
        decoders={task.name: decoder.macs(arch, grids, task.channels) for task in tasks},
        policy=_policy_trunk(arch, grids[0], policy),
        heads=dict.fromkeys(policy.heads(task.name for task in tasks), head),
        narrow=policy.narrow,
        windowed=isinstance(arch, SwinArchitecture),
    )


def _swin(
    arch: SwinArchitecture,
    grids: list[tuple[int, int]],
    adapters: LoraConfig | None,
    *,
    merged: bool,
) -> tuple[list[BlockCost], int]:
    """Return the costs of the blocks, and the MACs of the rest of the encoder."""
    blocks = [
        _adapted(_block(arch, grids[stage], dim), dim, adapters, stage, index + 1 == depth, merged)
        for stage, (dim, depth) in enumerate(zip(arch.dims, arch.depths, strict=True))
        for index in range(depth)
    ]
    embed = grids[0][0] * grids[0][1] * arch.embed_dim * 3 * arch.patch**2
    return blocks, embed + _merging(arch, grids, None if merged else adapters)


def _efficientnet(
    arch: EfficientNetArchitecture, size: tuple[int, int]
) -> tuple[list[BlockCost], int]:
    """Return the costs of the residual blocks, and the MACs of the rest of the encoder."""
    height, width = ((side + 1) // 2 for side in size)
    fixed, blocks = height * width * STEM_CHANNELS * 3 * 3**2, []
    for config in block_configs(arch.variant):
        expand = height * width * config.in_channels * config.hidden * (config.expansion != 1)
        height, width = (-(-side // config.stride) for side in (height, width))
        depthwise = height * width * config.hidden * config.kernel**2
        macs = expand + depthwise + height * width * config.hidden * config.out_channels
        if config.residual:
            blocks.append(BlockCost(windows=1, slots=1, attention=macs, channel=0, hidden=1))
        else:
            fixed += macs
    return blocks, fixed


def stage_grids(arch: Architecture, size: tuple[int, int]) -> list[tuple[int, int]]:
    """Return height and width of the tokens of each stage; each halving rounds up."""
    height, width = (ceil_to(side, arch.patch) // arch.patch for side in size)
    grids = []
    for _ in arch.depths:
        grids.append((height, width))
        height, width = (height + 1) // 2, (width + 1) // 2
    return grids


def _block(arch: SwinArchitecture, grid: tuple[int, int], dim: int) -> BlockCost:
    """Count the MACs of a block without adapters."""
    windows = window_grid(*grid, arch.window, False)
    # qkv (3 * dim^2) and proj (dim^2) for each token; its products with keys and with values.
    attention = windows.slots * (4 * dim**2 + 2 * windows.slots * dim)
    # A hidden channel: its row of fc1 and its column of fc2.
    return BlockCost(windows.count, windows.slots, attention, 2 * dim, arch.mlp_ratio * dim)


def _adapted(
    cost: BlockCost, dim: int, adapters: LoraConfig | None, stage: int, last: bool, merged: bool
) -> BlockCost:
    """Add the MACs of low-rank pairs that are not merged, and of the branches of tasks."""
    if adapters is None:
        return cost
    rank = adapters.shared.ranks[stage]
    apart = {
        layer: rank
        for layer in adapters.shared_layers
        if not (merged and adapters.can_merge(layer, stage, last=last))
    }
    slot = (4 * apart.get('qkv', 0) + 2 * apart.get('proj', 0)) * dim
    mlp = apart.get('fc1', 0) + apart.get('fc2', 0)
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
    """Count the MACs of the branch of each task; see `TaskSwinBlock`."""
    pairs, layers = adapters.task_ranks(stage), adapters.task_layers
    if not pairs:
        return None
    rank = max(rank for rank, _ in pairs.values())
    proj, fc1, fc2 = ('proj' in layers, 'fc1' in layers, 'fc2' in layers)
    return BranchCost(
        tasks=tuple(pairs),
        # Activations after attention; and all activations projected up at the end.
        slot=rank * dim * (proj + proj + fc2),
        # Features written out before the norm, and their activations.
        token=rank * dim * (proj + 1) * fc1,
        # Hidden channels of the task, and their activations.
        channel=rank * (fc1 + fc2),
    )


def _merging(
    arch: SwinArchitecture, grids: list[tuple[int, int]], adapters: LoraConfig | None
) -> int:
    """Count the MACs of the patch mergings after all stages but the last.

    Args:
        arch: Sizes of the network.
        grids: Height and width of the tokens of each stage.
        adapters: Low-rank adapters that are not merged; None for none.

    """
    ranks = adapters.merging.ranks if adapters and adapters.merging else (0,) * len(grids)
    # reduction, 4 * dim to 2 * dim (8 * dim^2), and its low-rank pair (4 * dim + 2 * dim) * rank.
    return sum(
        height * width * (8 * dim**2 + 6 * dim * rank)
        for (height, width), dim, rank in zip(grids[1:], arch.dims, ranks, strict=False)
    )


def _policy_trunk(arch: Architecture, grid: tuple[int, int], policy: PolicyConfig) -> int:
    """Count the MACs of the policy's layers that all heads share."""
    rows, columns = cell_grid(*grid)
    # In the order of `Policy`: squeeze of all tokens, mix (3 x 3) of the cells, frame; and the
    # two layers of budget.
    squeeze = grid[0] * grid[1] * arch.embed_dim * policy.channels
    mix = rows * columns * 9 * policy.channels * 2 * policy.channels
    frame = 4 * policy.channels * policy.hidden
    return squeeze + mix + frame + policy.hidden + policy.hidden * 2 * policy.hidden


def _policy_head(arch: Architecture, grid: tuple[int, int], policy: PolicyConfig) -> int:
    """Count the MACs of one head of the policy."""
    rows, columns = cell_grid(*grid)
    # Scores of the stages at each cell of the map, and of each granularity for each block.
    places = rows * columns * 2 * policy.channels * len(arch.depths)
    head = policy.hidden * arch.block_count * len(policy.gates)
    return head + places * policy.has_map
