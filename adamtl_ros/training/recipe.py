# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Recipes: everything that a training depends on, in one YAML file."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from adamtl_ros.config import ConfigError, from_dict, replace_entry
from adamtl_ros.data.transforms import Augmentation
from adamtl_ros.nn.adapters.inject import PARTS
from adamtl_ros.nn.adapters.lora import LoraConfig
from adamtl_ros.nn.gating.policy import PolicyConfig
from adamtl_ros.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


KINDS = ('static', 'backbone', 'policy', 'joint')


class RecipeError(ConfigError):
    """A recipe that cannot be followed; says which entry, and what it may be."""


@dataclass(frozen=True)
class DataConfig:
    """A data set.

    Attributes:
        kind: 'scenes', 'pascal_context', 'nyud' or 'bags'.
        root: Folder of the data; of drawn scenes: where they are kept, none to draw each time.
        split: Of a published data set; of bags with a 'holdout': 'train' or 'val'.
        options: What else the data set takes; see `open_source()`.

    """

    kind: str
    root: str = ''
    split: str = ''
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """A part of a training.

    Attributes:
        kind: 'static' (everything on), 'backbone' (under random gates), 'policy' (the policy
            alone) or 'joint' (together).
        steps: Number of steps.
        batch: Images of a step.
        size: Height and width of a training image.
        lr: Learning rate of encoder and decoders.
        policy_lr: Learning rate of the policy.
        warmup: Share of the steps in which the rates rise.
        full: Share of a batch with everything on.
        budgets: Least and greatest budget that is drawn; one for each step.
        spending_weight: Weight of the distance of the spent share from the budget.
        temperature: Of the gates, at the begin and the end.
        focus: Images weigh as the power of their loss with this exponent, so that compute goes
            where most is still wrong; 0: all weigh the same.
        flips: Learn the worth of blocks and widths by turning them over, with a second forward
            pass; else by the slopes of softened gates, as AdaMTL does.

    """

    kind: str
    steps: int
    batch: int = 16
    size: tuple[int, int] = (192, 256)
    lr: float = 1e-3
    policy_lr: float = 4e-3
    warmup: float = 0.05
    full: float = 0.25
    budgets: tuple[float, float] = (0.25, 1.0)
    spending_weight: float = 20.0
    temperature: tuple[float, float] = (2.0, 0.3)
    focus: float = 0.0
    flips: bool = True

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            RecipeError: An unknown kind or an impossible number.

        """
        if self.kind not in KINDS:
            raise RecipeError(f"unknown stage '{self.kind}', choose from: {', '.join(KINDS)}")
        if min(self.steps, self.batch, *self.size) < 1:
            raise RecipeError(f'steps, batch and size of a stage must be positive: {self}')
        low, high = self.budgets
        if not (0 <= self.full <= 1 and 0 < low <= high <= 1 and min(self.temperature) > 0):
            raise RecipeError(f'full in 0..1, budgets in (0, 1], temperatures positive: {self}')


@dataclass(frozen=True)
class Recipe:
    """A training.

    Attributes:
        name: For people.
        data: What to train on.
        validation: What to evaluate on.
        stages: One after the other.
        architecture: Name of the network.
        tasks: Which ones; one alone makes a single-task network.
        policy: What the policy decides.
        augmentation: How images vary.
        seed: Of weights, order, augmentation and gates.
        start: Weights to start from, a file; random ones if empty.
        pretrained: Official ImageNet file of a Swin for the encoder, if not empty.
        adapters: Low-rank adapters that learn in the place of the encoder; none if not given.
            With 'static', 'policy' and 'joint' stages the policy learns too, after them and then
            together with them. A start then gives the whole network, with tasks that are not
            trained, and its policy.
        label_stride: Predictions and labels meet at one pixel in so many.
        weights: Weights of the tasks' losses that differ from the table's.
        weight_decay: Of AdamW, for matrices.
        clip: Greatest norm of the gradient.
        ema: Decay of the running mean of the weights, which is what is kept.
        precision: 'bf16-mixed' or '32-true'.
        calibration_images: Number of training images that the budgets are fitted to.
        combinations: Fit them for every combination of tasks, else for all tasks together only;
            token gates are so many that it takes minutes.
        checkpoint_steps: Steps between two checkpoints.
        workers: Processes that prepare batches.

    """

    name: str
    data: DataConfig
    validation: DataConfig
    stages: tuple[Stage, ...]
    architecture: str = 'nano'
    tasks: tuple[str, ...] = tuple(TASKS)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    augmentation: Augmentation = field(default_factory=Augmentation)
    seed: int = 0
    start: str = ''
    pretrained: str = ''
    adapters: AdapterConfig | None = None
    label_stride: int = 4
    weights: dict[str, float] = field(default_factory=dict)
    weight_decay: float = 0.02
    clip: float = 5.0
    ema: float = 0.998
    precision: str = 'bf16-mixed'
    calibration_images: int = 256
    combinations: bool = True
    checkpoint_steps: int = 200
    workers: int = 0

    def __post_init__(self) -> None:
        """Check what goes across entries.

        Raises:
            RecipeError: Unknown tasks, no stage, or an impossible number.

        """
        unknown = [name for name in (*self.tasks, *self.weights) if name not in TASKS]
        if unknown or not self.tasks:
            raise RecipeError(f'tasks {unknown} are unknown, choose from: {", ".join(TASKS)}')
        if not self.stages:
            raise RecipeError('a recipe needs at least one stage')
        if self.adapters and not (self.start or self.pretrained):
            raise RecipeError(
                'adapters need weights to adapt: name them with start, or with pretrained'
            )
        if min(self.label_stride, self.checkpoint_steps, self.calibration_images - 1) < 1:
            raise RecipeError(
                'label_stride and checkpoint_steps must be positive, calibration_images at least 2'
            )

    @property
    def adaptive(self) -> bool:
        """Whether its network learns to choose what runs."""
        return any(stage.kind in ('policy', 'joint') for stage in self.stages)

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary that JSON can hold."""
        return dataclasses.asdict(self)


def read_recipe(path: Path, changes: dict[str, Any] | None = None) -> Recipe:
    """Read a recipe.

    Args:
        path: YAML file.
        changes: Entries to replace, by name; those of parts with dots: 'policy.task_aware',
            'stages.0.steps'.

    Raises:
        RecipeError: Not YAML, or an entry that a recipe does not have or cannot be so.

    """
    try:
        values = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise RecipeError(f'{path} is not YAML: {error}') from error
    if not isinstance(values, dict):
        raise RecipeError(f'{path} must hold the entries of a recipe, got {values!r}')
    try:
        for name, value in (changes or {}).items():
            replace_entry(values, name, value)
        recipe = from_dict(Recipe, values, '')
    except ConfigError as error:
        raise RecipeError(f'{path}: {error}') from error
    assert isinstance(recipe, Recipe)
    return recipe


@dataclass(frozen=True)
class AdapterConfig:
    """Adapters that a training attaches to the network that it starts with.

    Attributes:
        rank: Of the pairs that all tasks share.
        task_rank: Of those of each task that is trained; 0 for none.
        task_layers: Layers with pairs of tasks; without 'fc1' they cost little time.
        merging: Shared pairs for the patch merging (MTLoRA+), whose reduction then stays.
        parts: What learns, of `PARTS`.
        dropout: On the input of the pairs; published is 0.05, whose noise took 29 % of a step on a
            CPU, for the same scores.
        keep: Weight with which tasks without labels are held to what the base answers.

    """

    rank: int = 8
    task_rank: int = 4
    task_layers: tuple[str, ...] = ('proj', 'fc2')
    merging: bool = True
    parts: tuple[str, ...] = PARTS
    dropout: float = 0.0
    keep: float = 1.0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: Unknown parts or an impossible number.

        """
        unknown = [name for name in self.parts if name not in PARTS]
        if unknown or not self.parts:
            raise ValueError(f'parts {unknown} are unknown, choose from: {", ".join(PARTS)}')
        if self.keep < 0:
            raise ValueError(f'keep must be 0 or more, got {self.keep}')
        self.config(1, ())

    def config(self, stages: int, tasks: Iterable[str]) -> LoraConfig:
        """Return what is attached to a network with so many stages, for the trained tasks."""
        return LoraConfig.uniform(
            stages, tasks if self.task_rank else (), self.rank, self.task_rank,
            merging=self.merging, task_layers=self.task_layers, dropout=self.dropout,
        )  # fmt: skip
