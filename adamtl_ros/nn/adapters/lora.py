# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""MTLoRA: low-rank adapters that tasks share, and those of each task (Agiza et al. 2024).

One layer. A low-rank pair beside a frozen weight W; the sum is again one matrix, so a pair can
be merged, and then costs nothing:

    x --+------- W -------(+)-- y              y = (W + s B A) x
        +-- A --- B * s ---+

    A: (rank, inputs), B: (outputs, rank); see `LoRALayer` and `LoRALinear`

One network. The task-agnostic (TA) pair of a layer serves all tasks; every block can have them.
Task-specific (TS) pairs are in the last block of a stage only. They give each task features of
its own for its decoder, while the next stage goes on with the shared ones:

    stage:  SwinBlock -- SwinBlock -- TaskSwinBlock --+-- shared features --> next stage
                                                      +-- features of depth --> decoder
                                                      +-- features of edges --> decoder

One block. Written out, the features of a task differ from the shared ones in every layer. They
are kept low-rank instead: what the TS pairs of `proj` and `fc2` add is B times a few activations
per token (the output of A), and the sum over both is written out once, at the end of the block:

    features of a task = base + early @ B_proj + late @ B_fc2         `TaskFeatures`

                    early = A_proj(attention)                         (tasks, n * slots, rank)
                    late = A_fc2(GELU(fc1(norm2(base + early @ B_proj)) with the pair of fc1))

`base` is what the tasks have in common: the shared features, or in the form 'matrix', where TS
pairs bypass the TA pairs of their layers, features of their own without these. Only `fc1`, if it
has TS pairs, needs the hidden channels of each task; they are computed in chunks that stay in
the CPU cache. A is applied for all tasks in one product.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from adamtl_ros.nn.layers import LoRALayer, WeightCache, gelu, scaled
from adamtl_ros.nn.swin.encoder import EVERYTHING, SwinBlock
from adamtl_ros.nn.swin.windows import permutation

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from adamtl_ros.nn.architecture import Architecture, SwinArchitecture
    from adamtl_ros.nn.layers import LoRALinear
    from adamtl_ros.nn.swin.encoder import BlockMask
    from adamtl_ros.nn.swin.windows import WindowGrid

SHARED_LAYERS = ('qkv', 'proj', 'fc1', 'fc2')
"""Layers of a block that can have a TA pair."""
TASK_LAYERS = ('proj', 'fc1', 'fc2')
"""Layers of a block that can have TS pairs."""
FORMS = ('matrix', 'foldable')
"""Layer that the TS pairs of a task add to: the frozen one alone, as published ('matrix'), or the
one with its TA pair, which can then be merged ('foldable')."""
PUBLISHED_SCALE = 4.0
PUBLISHED_DROPOUT = 0.05
MAX_RANK = 4
"""Largest rank of a pair in each stage, for each of its channels."""
CHUNK = 1 << 17
"""Hidden values of all tasks that are computed at a time, so that they stay in the CPU cache."""
CACHED_COMBINATIONS = 64
"""Combinations of tasks whose stacked pairs are cached in each block."""


@dataclass(frozen=True)
class Ranks:
    """Ranks and scales of the pairs of one kind.

    Attributes:
        ranks: Rank in each stage; 0 for no pair there.
        scales: Factor on the low-rank product in each stage; it is not divided by the rank.

    """

    ranks: tuple[int, ...]
    scales: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ValueError: A rank below 0, a scale that is not positive, or unequal lengths.

        """
        if len(self.ranks) != len(self.scales):
            raise ValueError(f'one scale for each rank, got {self.ranks} and {self.scales}')
        if not all(isinstance(rank, int) and rank >= 0 for rank in self.ranks):
            raise ValueError(f'ranks must be whole numbers from 0 on, got {self.ranks}')
        if not all(0 < scale < math.inf for scale in self.scales):
            raise ValueError(f'scales must be positive, got {self.scales}')

    @classmethod
    def uniform(cls, rank: int, stages: int, scale: float = PUBLISHED_SCALE) -> Ranks:
        """Return the same rank and scale for all stages."""
        return cls((rank,) * stages, (scale,) * stages)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Ranks:
        """Create from a dictionary as `dataclasses.asdict()` returns it."""
        return cls(tuple(values['ranks']), tuple(map(float, values['scales'])))


@dataclass(frozen=True)
class LoraConfig:
    """Layers of an encoder that have low-rank pairs, and their ranks.

    Attributes:
        shared: Ranks of the TA pairs.
        tasks: Task names, each with the ranks of its TS pairs.
        shared_layers: Layers with TA pairs, of `SHARED_LAYERS`.
        task_layers: Layers with TS pairs, of `TASK_LAYERS`; fewer cost less time.
        merging: Ranks of the TA pairs of the patch merging after each stage but the last
            (MTLoRA+).
        form: One of `FORMS`. In the form 'foldable' every TA pair can be merged into its layer.
        dropout: Dropout probability on the input of the pairs, in training.

    """

    shared: Ranks
    tasks: tuple[tuple[str, Ranks], ...] = ()
    shared_layers: tuple[str, ...] = SHARED_LAYERS
    task_layers: tuple[str, ...] = TASK_LAYERS
    merging: Ranks | None = None
    form: str = 'foldable'
    dropout: float = PUBLISHED_DROPOUT

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: An unknown layer or form, a task given twice, or an impossible dropout.

        """
        _check_layers('shared_layers', self.shared_layers, SHARED_LAYERS)
        _check_layers('task_layers', self.task_layers, TASK_LAYERS)
        if 'fc1' in self.task_layers and 'fc2' not in self.task_layers:
            raise ValueError(
                f"task_layers {self.task_layers}: 'fc1' has an effect through 'fc2' only, add it"
            )
        if self.form not in FORMS:
            raise ValueError(f"form must be one of {', '.join(FORMS)}, got '{self.form}'")
        if not 0 <= self.dropout < 1:
            raise ValueError(f'dropout must lie in [0, 1), got {self.dropout}')
        names = [name for name, _ in self.tasks]
        if len(set(names)) < len(names):
            raise ValueError(f'ranks of a task must be given once, got {names}')

    @classmethod
    def uniform(
        cls,
        stages: int,
        tasks: Iterable[str],
        rank: int,
        task_rank: int,
        *,
        merging: bool = False,
        **others: Any,
    ) -> LoraConfig:
        """Return one rank for all TA pairs and one for all TS pairs, with the published scale."""
        return cls(
            Ranks.uniform(rank, stages),
            tuple((name, Ranks.uniform(task_rank, stages)) for name in tasks),
            merging=Ranks.uniform(rank, stages - 1) if merging else None,
            **others,
        )

    def check(self, arch: Architecture, tasks: Iterable[str]) -> None:
        """Check that the adapters fit a network.

        Args:
            arch: Sizes of the network.
            tasks: Task names of the network.

        Raises:
            ValueError: Another encoder or number of stages, or a task that the network does not
                have.

        """
        if arch.encoder != 'swin':
            raise ValueError(f'adapters fit Swin encoders only, {arch.name} is {arch.encoder}')
        stages, known = len(arch.depths), list(tasks)
        for name, ranks in (('shared', self.shared), *self.tasks):
            if len(ranks.ranks) != stages:
                raise ValueError(f'{name}: {len(ranks.ranks)} ranks for {stages} stages')
        if self.merging is not None and len(self.merging.ranks) != stages - 1:
            raise ValueError(f'merging: {len(self.merging.ranks)} ranks for {stages - 1} mergings')
        merging = [('merging', self.merging)] if self.merging else []
        for name, ranks in (('shared', self.shared), *self.tasks, *merging):
            for rank, dim in zip(ranks.ranks, arch.dims, strict=False):
                if rank > MAX_RANK * dim:
                    raise ValueError(f'{name}: rank {rank} for {dim} channels')
        for name, _ in self.tasks:
            if name not in known:
                raise ValueError(f"adapters for unknown task '{name}', known: {', '.join(known)}")

    def fewest_weights(self, arch: Architecture) -> int:
        """Return the number of weights of the TA pairs of a network that `check()` accepts."""
        hidden = 1 + cast('SwinArchitecture', arch).mlp_ratio
        widths = {'qkv': 4, 'proj': 2, 'fc1': hidden, 'fc2': hidden}
        each = sum(widths[name] for name in self.shared_layers)
        return sum(
            depth * rank * dim * each
            for depth, rank, dim in zip(arch.depths, self.shared.ranks, arch.dims, strict=True)
        )

    def task_ranks(self, stage: int) -> dict[str, tuple[int, float]]:
        """Return rank and scale of each task that has TS pairs in a stage."""
        pairs = {name: (x.ranks[stage], x.scales[stage]) for name, x in self.tasks}
        return {name: pair for name, pair in pairs.items() if pair[0] and self.task_layers}

    def can_merge(self, layer: str, stage: int, *, last: bool) -> bool:
        """Whether the TA pair of a layer can be merged: not where TS pairs bypass it.

        Args:
            layer: Name of the layer, of `SHARED_LAYERS`.
            stage: Index of its stage.
            last: Whether it is in the last block of the stage.

        """
        branches = last and layer in self.task_layers and bool(self.task_ranks(stage))
        return not (branches and self.form == 'matrix')

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serializable dictionary."""
        tasks = {name: asdict(ranks) for name, ranks in self.tasks}
        return {**asdict(self), 'tasks': tasks}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LoraConfig:
        """Create from the dictionary of `to_dict()`.

        Raises:
            ValueError: Missing or unknown keys, or impossible values.

        """
        try:
            made: dict[str, Any] = {
                k: tuple(v) if isinstance(v, list) else v for k, v in values.items()
            }
            made['shared'] = Ranks.from_dict(values['shared'])
            made['tasks'] = tuple((k, Ranks.from_dict(v)) for k, v in values['tasks'].items())
            merging = values['merging']
            made['merging'] = None if merging is None else Ranks.from_dict(merging)
            return cls(**made)
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f'not adapters of this version: {error!r}') from error


def _check_layers(name: str, layers: tuple[str, ...], allowed: tuple[str, ...]) -> None:
    if len(set(layers)) < len(layers) or not set(layers) <= set(allowed):
        raise ValueError(
            f'{name} must be some of {", ".join(allowed)}, each once, got {list(layers)}'
        )


@dataclass(frozen=True)
class TaskFeatures:
    """Features of each task after a block, in low-rank form.

    Attributes:
        base: Part that the tasks have in common, (n, slots, C).
        activations: Low-rank activations of each task, (tasks, n * slots, k).
        up: Matrices that project them up, (tasks, k, C).

    """

    base: Tensor
    activations: Tensor
    up: Tensor

    def expand(self) -> Tensor:
        """Write them out, (tasks, n, slots, C)."""
        tasks, dim = len(self.activations), self.base.shape[-1]
        rows = self.base.reshape(1, -1, dim).expand(tasks, -1, -1)
        return torch.baddbmm(rows, self.activations, self.up).view(tasks, *self.base.shape)

    def to_row_major(self, shared: Tensor, source: WindowGrid) -> tuple[Tensor, TaskFeatures]:
        """Reorder to row-major order, before the features are written out.

        Args:
            shared: Features that all tasks share, (images * windows, slots, C).
            source: Window order of these and of the tasks' features.

        Returns:
            The shared features, (images, tokens, C), and the tasks' features in the same order.

        """
        index = permutation(source, None, shared.device)
        moved = shared.view(-1, len(index), shared.shape[-1]).index_select(1, index)
        base = moved
        if self.base is not shared:
            base = self.base.view_as(moved).index_select(1, index)
        activations = self.activations.unflatten(1, moved.shape[:2]).index_select(2, index)
        return moved, TaskFeatures(base, activations.flatten(1, 2), self.up)


@dataclass(frozen=True)
class StackedLoRA:
    """Pairs of several tasks on one layer, stacked.

    Attributes:
        down: Matrices A, (tasks, rank, inputs).
        up: Matrices B, transposed and scaled, (tasks, rank, outputs).

    """

    down: Tensor
    up: Tensor

    def activations(self, x: Tensor) -> Tensor:
        """Apply every A to the same input, (..., inputs) to (tasks, rows, rank)."""
        tasks, rank = self.down.shape[:2]
        weight = self.down[..., : x.shape[-1]].reshape(tasks * rank, -1)
        return functional.linear(x, weight).view(-1, tasks, rank).transpose(0, 1)

    def own_activations(self, x: Tensor) -> Tensor:
        """Apply each A to an input of its own, (tasks, rows, inputs) to (tasks, rows, rank)."""
        return torch.bmm(x, self.down[..., : x.shape[-1]].transpose(1, 2))


@dataclass(frozen=True)
class BlockLoRA:
    """Pairs of the tasks in use on the layers of one block, stacked.

    Attributes:
        tasks: Number of tasks in use that have pairs here.
        bypass: TS pairs bypass the TA pairs of their layers (form 'matrix').
        dropout: Dropout probability on the input of the pairs; 0 at inference.
        proj: Pairs of the attention's output projection; None for none.
        fc1: Pairs of the MLP's first layer; None for none.
        fc2: Pairs of the MLP's second layer; None for none.

    """

    tasks: int
    bypass: bool
    dropout: float
    proj: StackedLoRA | None
    fc1: StackedLoRA | None
    fc2: StackedLoRA | None

    def outputs(
        self, layer: LoRALinear, pairs: StackedLoRA | None, x: Tensor, outputs: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Apply a layer, for the shared features and for the base of the tasks' features."""
        out, base_out = layer.forward_with_base(x, outputs)
        return out, base_out if self.bypass and pairs is not None else out

    def early(self, attention: Tensor, mask: BlockMask) -> Tensor | None:
        """Return the activations after attention, (tasks, n * slots, rank), if `proj` has pairs.

        Args:
            attention: Input of `proj`, (n, slots, C).
            mask: Parts of the block that run.

        """
        if self.proj is None:
            return None
        activations = self.proj.activations(self.drop(attention))
        return scaled(activations, _by_row(mask.attention, attention))

    def late(
        self, norm: nn.Module, base: Tensor, early: Tensor | None, fc1_out: Tensor, mask: BlockMask
    ) -> Tensor:
        """Return the activations after the MLP, (tasks, k, rank), where `fc1` has pairs.

        Each task has hidden channels of its own then. These are many, so they are computed in
        chunks of rows that stay in the CPU cache.

        Args:
            norm: Norm before the MLP.
            base: Base of the tasks' features on the tokens that pass the MLP, (..., C).
            early: Activations after attention on these tokens, (tasks, k, rank).
            fc1_out: Output of `fc1` that the pairs add to, (..., hidden).
            mask: Parts of the block that run.

        """
        base, fc1_out = base.reshape(-1, base.shape[-1]), fc1_out.reshape(-1, fc1_out.shape[-1])
        channels = mask.channels
        if channels is not None:
            channels = channels.expand(-1, len(fc1_out) // len(channels), -1).flatten(0, 1)
        size = max(1, CHUNK // (self.tasks * fc1_out.shape[-1]))
        size = max(1, len(base)) if torch.is_grad_enabled() else size
        chunks = []
        for first in range(0, len(base), size):
            rows = slice(first, first + size)
            before = None if early is None else early[:, rows]
            factor = None if channels is None else channels[rows]
            chunks.append(self._late_chunk(norm, base[rows], before, fc1_out[rows], factor))
        if chunks:
            return torch.cat(chunks, 1)
        assert self.fc2 is not None
        return base.new_zeros(self.tasks, 0, self.fc2.down.shape[1])

    def _late_chunk(
        self,
        norm: nn.Module,
        base: Tensor,
        early: Tensor | None,
        fc1_out: Tensor,
        channels: Tensor | None,
    ) -> Tensor:
        assert self.fc1 is not None
        assert self.fc2 is not None
        features = base.expand(self.tasks, -1, -1)  # tasks, rows, C
        if early is not None:
            assert self.proj is not None
            features = torch.baddbmm(features, early, self.proj.up)
        activations = self.fc1.own_activations(self.drop(norm(features)))  # tasks, rows, rank
        fc1_out = fc1_out.expand(self.tasks, -1, -1)
        hidden = torch.baddbmm(fc1_out, activations, self.fc1.up[..., : fc1_out.shape[-1]])
        return self.fc2.own_activations(self.drop(scaled(gelu(hidden), channels)))

    def features(self, base: Tensor, early: Tensor | None, late: Tensor | None) -> TaskFeatures:
        """Concatenate the activations of both residuals, (tasks, n * slots, rank) each."""
        terms = [
            (activations, pairs.up)
            for activations, pairs in ((early, self.proj), (late, self.fc2))
            if activations is not None and pairs is not None
        ]
        activations = torch.cat([term for term, _ in terms], -1)
        return TaskFeatures(base, activations, torch.cat([up for _, up in terms], 1))

    def drop(self, x: Tensor) -> Tensor:
        """Apply dropout, in training."""
        return functional.dropout(x, self.dropout, self.dropout > 0)


class TaskLoRA(nn.Module):
    """Low-rank pairs of tasks on layers of one block.

    They run where the block does and the task's own gate, if it has one, is open: a task that
    would not have run the block gets the shared features; see `gating.gates.combine_heads()`.

    Attributes:
        bypass: TS pairs bypass the TA pairs of their layers (form 'matrix').
        names: Tasks that have pairs.

    """

    def __init__(
        self,
        block: SwinBlock,
        layers: Sequence[str],
        ranks: Mapping[str, tuple[int, float]],
        *,
        bypass: bool,
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        """Create pairs that change nothing yet.

        Args:
            block: Block that they are for.
            layers: Layers with pairs, of `TASK_LAYERS`.
            ranks: Rank and scale of each task.
            bypass: Whether TS pairs bypass the TA pairs of their layers.
            dropout: Dropout probability on the input of the pairs, in training.
            generator: Random generator of the matrices A.

        """
        super().__init__()
        self.bypass, self.dropout = bypass, dropout
        self.rank = max(rank for rank, _ in ranks.values())
        self.names = tuple(ranks)
        self._cache: WeightCache[dict[str, StackedLoRA]] = WeightCache(CACHED_COMBINATIONS)
        for layer in layers:
            linear = layer_of(block, layer)
            sizes = linear.in_features, linear.out_features
            pairs = {
                name: LoRALayer(*sizes, rank, scale, dropout, generator)
                for name, (rank, scale) in ranks.items()
            }
            self.add_module(layer, nn.ModuleDict(pairs))

    def select(self, tasks: Sequence[str]) -> list[str]:
        """Return the tasks that have pairs here."""
        return [name for name in tasks if name in self.names]

    def stacked(self, tasks: Sequence[str]) -> BlockLoRA | None:
        """Return the pairs of the tasks in use, cached; None if none of them has any."""
        names = self.select(tasks)
        if not names:
            return None
        layers = {
            layer: [cast('LoRALayer', cast('nn.ModuleDict', pairs)[name]) for name in names]
            for layer, pairs in self.named_children()
        }
        weights = [weight for pairs in layers.values() for x in pairs for weight in (x.a, x.b)]
        stacks = self._cache.get(
            tuple(names),
            weights,
            lambda: {layer: self._stack(pairs) for layer, pairs in layers.items()},
        )
        dropout = self.dropout if self.training else 0.0
        proj, fc1, fc2 = (stacks.get(layer) for layer in TASK_LAYERS)
        return BlockLoRA(len(names), self.bypass, dropout, proj, fc1, fc2)

    def _stack(self, pairs: list[LoRALayer]) -> StackedLoRA:
        """Stack pairs; ranks below the highest are padded with zeros."""
        gaps = [self.rank - len(pair.a) for pair in pairs]
        down = [_pad_rows(pair.a, gap) for pair, gap in zip(pairs, gaps, strict=True)]
        up = [
            _pad_rows(pair.scaling * pair.b.T, gap) for pair, gap in zip(pairs, gaps, strict=True)
        ]
        return StackedLoRA(torch.stack(down), torch.stack(up))


class TaskSwinBlock(SwinBlock):
    """Swin block that also gives each task features of its own.

    `convert()` makes one of a `SwinBlock` in place, by changing the class of the instance, so
    that its weights, hooks and places in other containers stay as they are.

    Attributes:
        branches: Pairs of the tasks.

    """

    branches: TaskLoRA

    @classmethod
    def convert(cls, block: SwinBlock, branches: TaskLoRA) -> None:
        """Give a block pairs of tasks, in place."""
        block.__class__ = cls
        cast('TaskSwinBlock', block).branches = branches

    @staticmethod
    def revert(block: SwinBlock) -> None:
        """Take the pairs of tasks off a block, in place; without any, do nothing."""
        if isinstance(block, TaskSwinBlock):
            del block.branches
            block.__class__ = SwinBlock  # type: ignore[assignment]

    def forward(  # type: ignore[override]
        self, x: Tensor, grid: WindowGrid, mask: BlockMask = EVERYTHING, tasks: Sequence[str] = ()
    ) -> tuple[Tensor, TaskFeatures | None]:
        """Run on windows of tokens.

        Args:
            x: (n, slots, C).
            grid: Partition of the tokens into windows.
            mask: Parts of the block that run.
            tasks: Tasks whose branches run, if they have one.

        Returns:
            The shared features, as x; and those of each of `branches.select(tasks)`, or None if
            there are none.

        """
        lora = self.branches.stacked(tasks)
        if lora is None:
            return super().forward(x, grid, mask), None
        attention = self.attn.attend(self.norm1(x), grid, mask.windows)  # n, slots, C
        change, base_change = lora.outputs(self.attn.proj, lora.proj, attention)
        # The sums overwrite the changes, so the base comes first if it has one of its own.
        base = None if base_change is change else mask.add_attention(x, base_change)
        x = mask.add_attention(x, change)
        base = x if base is None else base
        early = lora.early(attention, mask)  # tasks, n * slots, rank
        change, base_change, late = self._mlp_with_tasks(x, base, early, mask, lora)
        if base is not x or base_change is not change:
            # Both sums may take the same change, and each overwrites it.
            base = mask.add_mlp(base, base_change + 0)
        out = mask.add_mlp(x, change)
        late = None if late is None else _scatter(late, mask, x)
        return out, lora.features(out if base is x else base, early, late)

    def _mlp_with_tasks(
        self, x: Tensor, base: Tensor, early: Tensor | None, mask: BlockMask, lora: BlockLoRA
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Run the MLP.

        Args:
            x: Shared features after attention, (n, slots, C).
            base: Base of the tasks' features after attention, likewise.
            early: Activations after attention, (tasks, n * slots, rank).
            mask: Parts of the block that run.
            lora: Pairs of the tasks in use.

        Returns:
            Output for the shared features, and for the base, (n, slots, C) or (k, C); and the
            activations after the MLP, (tasks, k, rank).

        """
        fc1, fc2, late = self.mlp.fc1, self.mlp.fc2, None
        normed = self.norm2(mask.rows(x))
        hidden, base_hidden = lora.outputs(fc1, lora.fc1, normed, self.mlp.hidden(mask.width))
        if lora.fc1 is not None:
            if early is not None and mask.tokens is not None:
                early = early.index_select(1, mask.tokens)
            late = lora.late(self.norm2, mask.rows(base), early, base_hidden, mask)
        hidden = scaled(gelu(hidden), mask.channels)
        if lora.fc2 is not None and lora.fc1 is None:
            late = lora.fc2.activations(lora.drop(hidden))
        return (*lora.outputs(fc2, lora.fc2, hidden), late)


def run_block(
    block: SwinBlock, x: Tensor, grid: WindowGrid, mask: BlockMask, tasks: Sequence[str]
) -> tuple[Tensor, TaskFeatures | None]:
    """Run any block; the result is that of `TaskSwinBlock.forward()`."""
    if isinstance(block, TaskSwinBlock):
        return cast('tuple[Tensor, TaskFeatures | None]', block(x, grid, mask, tasks))
    return block(x, grid, mask), None


def tasks_with_branches(block: SwinBlock, tasks: Sequence[str]) -> list[str]:
    """Return the tasks that have branches in a block."""
    return block.branches.select(tasks) if isinstance(block, TaskSwinBlock) else []


def per_task_features(
    tasks: Sequence[str], branches: Sequence[str], features: Tensor, shared: Tensor
) -> Tensor:
    """Return the features of every task, the shared ones where no branch ran.

    Args:
        tasks: Tasks in use.
        branches: Tasks whose branches ran, in the same order.
        features: Features of these, (branches, ...).
        shared: Shared features, (...).

    """
    if len(branches) == len(tasks):
        return features
    own = dict(zip(branches, features, strict=True))
    return torch.stack([own.get(name, shared) for name in tasks])


def layer_of(block: SwinBlock, name: str) -> LoRALinear:
    """Return the linear layer of a block by name, of `SHARED_LAYERS`."""
    return cast('LoRALinear', getattr(block.attn if name in ('qkv', 'proj') else block.mlp, name))


def _scatter(activations: Tensor, mask: BlockMask, x: Tensor) -> Tensor:
    """Bring the MLP's activations to all rows of (n, slots, C): zero where no MLP ran."""
    if mask.tokens is not None:
        rows = x.shape[0] * x.shape[1]
        full = activations.new_zeros(len(activations), rows, activations.shape[-1])
        activations = full.index_copy(1, mask.tokens, activations)
    return scaled(activations, _by_row(mask.mlp, x))


def _by_row(factor: Tensor | None, x: Tensor) -> Tensor | None:
    """Expand a factor for (n, slots, C) to its rows, (n * slots, 1)."""
    return None if factor is None else factor.expand(*x.shape[:2], 1).reshape(-1, 1)


def _pad_rows(matrix: Tensor, count: int) -> Tensor:
    """Append rows of zeros."""
    return functional.pad(matrix, (0, 0, 0, count)) if count else matrix
