# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Where a network has low-rank adapters, and of what rank.

Agiza, Neseem and Reda 2024, "MTLoRA", section 3: a task-agnostic (TA) pair on the layers of all
blocks, and a task-specific (TS) pair for each task in the last block of each stage.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from adamtl_ros.nn.swin.architecture import Architecture

SHARED_LAYERS = ('qkv', 'proj', 'fc1', 'fc2')
"""Layers of a block that may carry a TA pair."""
TASK_LAYERS = ('proj', 'fc1', 'fc2')
"""Layers of a block that may carry TS pairs."""
FORMS = ('matrix', 'foldable')
"""What a task's branch adds to: the frozen layer alone, as published, or with its TA pair."""
PUBLISHED_SCALE = 4.0
PUBLISHED_DROPOUT = 0.05


@dataclass(frozen=True)
class Ranks:
    """Ranks and scales of the pairs of one kind.

    Attributes:
        ranks: For each stage; 0 for none there.
        scales: For each stage, multiplies the low-rank product directly.

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
        if not all(scale > 0 for scale in self.scales):
            raise ValueError(f'scales must be positive, got {self.scales}')

    @classmethod
    def even(cls, rank: int, stages: int, scale: float = PUBLISHED_SCALE) -> Ranks:
        """Return the same rank and scale for all stages."""
        return cls((rank,) * stages, (scale,) * stages)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Ranks:
        """Build from a dictionary that JSON held."""
        return cls(tuple(values['ranks']), tuple(map(float, values['scales'])))


@dataclass(frozen=True)
class LoraConfig:
    """Which layers of an encoder carry low-rank pairs.

    Attributes:
        shared: TA pairs.
        tasks: Task names, each with its TS pairs.
        shared_layers: Layers with TA pairs, of `SHARED_LAYERS`.
        task_layers: Layers with TS pairs, of `TASK_LAYERS`; fewer cost less time.
        merging: TA pairs of the patch merging after each stage but the last (MTLoRA+).
        form: Of `FORMS`. In the form 'foldable' every TA pair folds into its layer.
        dropout: On the input of the pairs, in training.

    """

    shared: Ranks
    tasks: tuple[tuple[str, Ranks], ...] = ()
    shared_layers: tuple[str, ...] = SHARED_LAYERS
    task_layers: tuple[str, ...] = TASK_LAYERS
    merging: Ranks | None = None
    form: str = 'foldable'
    dropout: float = PUBLISHED_DROPOUT

    def __post_init__(self) -> None:
        """Check that the values go together.

        Raises:
            ValueError: They do not.

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
    def even(
        cls,
        stages: int,
        tasks: Iterable[str],
        rank: int,
        task_rank: int,
        *,
        merging: bool = False,
        **others: Any,  # noqa: ANN401
    ) -> LoraConfig:
        """Return one rank for all TA pairs and one for all TS pairs, with the published scale."""
        return cls(
            Ranks.even(rank, stages),
            tuple((name, Ranks.even(task_rank, stages)) for name in tasks),
            merging=Ranks.even(rank, stages - 1) if merging else None,
            **others,
        )

    def check(self, arch: Architecture, tasks: Iterable[str]) -> None:
        """Check that this fits a network.

        Raises:
            ValueError: Another number of stages, or a task that the network does not have.

        """
        stages, known = len(arch.depths), list(tasks)
        for name, ranks in (('shared', self.shared), *self.tasks):
            if len(ranks.ranks) != stages:
                raise ValueError(f'{name}: {len(ranks.ranks)} ranks for {stages} stages')
        if self.merging is not None and len(self.merging.ranks) != stages - 1:
            raise ValueError(f'merging: {len(self.merging.ranks)} ranks for {stages - 1} mergings')
        for name, _ in self.tasks:
            if name not in known:
                raise ValueError(f"adapters for unknown task '{name}', known: {', '.join(known)}")

    def branching(self, stage: int) -> dict[str, tuple[int, float]]:
        """Return rank and scale of each task that has TS pairs in a stage."""
        pairs = {name: (x.ranks[stage], x.scales[stage]) for name, x in self.tasks}
        return {name: pair for name, pair in pairs.items() if pair[0] and self.task_layers}

    def folds(self, layer: str, stage: int, *, last: bool) -> bool:
        """Whether the TA pair of a layer folds: not where a task's branch leaves it out.

        Args:
            layer: Of `SHARED_LAYERS`.
            stage: Its stage.
            last: Whether it is in the last block of the stage.

        """
        branches = last and layer in self.task_layers and bool(self.branching(stage))
        return not (branches and self.form == 'matrix')

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary that JSON can hold."""
        tasks = {name: asdict(ranks) for name, ranks in self.tasks}
        return {**asdict(self), 'tasks': tasks}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LoraConfig:
        """Build from `to_dict()`'s dictionary.

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
