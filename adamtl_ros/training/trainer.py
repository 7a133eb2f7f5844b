# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Training loop over the stages of a recipe, with checkpoints that resume exactly."""

from __future__ import annotations

import copy
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from adamtl_ros.data.batches import ResumableBatchSampler, batches
from adamtl_ros.data.mixture import parts_of
from adamtl_ros.nn.io.checkpoint import IMAGENET_MEAN, IMAGENET_STD
from adamtl_ros.training.logger import CSVLogger
from adamtl_ros.training.objective import MultiTaskLoss, loss_weights
from adamtl_ros.training.optim import (
    cosine_schedule,
    ema_with_warmup,
    parameter_groups,
    trainable_names,
)
from adamtl_ros.training.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lightning_fabric import Fabric
    from torch import Tensor, nn
    from torch.optim.lr_scheduler import SequentialLR

    from adamtl_ros.data.batches import Batch
    from adamtl_ros.nn.network import AdaptiveNetwork
    from adamtl_ros.sample import Dataset

CHECKPOINT, LOG = 'checkpoint.pt', 'journal.csv'
LOG_EVERY = 10
"""Steps between two rows of the log."""


@dataclass
class Progress:
    """Progress of a training.

    Attributes:
        stage: Index of the current stage.
        step: Number of steps done in it.
        seconds: Training time so far, over all runs [s].

    """

    stage: int = 0
    step: int = 0
    seconds: float = 0.0


class Trainer:
    """Training loop of a recipe; resumes from the checkpoint in its folder if there is one.

    A training that was interrupted and resumed gives the same weights, bit by bit, as one that
    was not. The checkpoint is a `torch.save()` file with a dictionary: 'recipe', 'progress',
    'network', 'mean' (averaged weights), 'optimiser' and 'schedule'; the last two are None
    between two stages.
    """

    def __init__(
        self,
        recipe: Recipe,
        network: AdaptiveNetwork,
        dataset: Dataset,
        folder: Path,
        fabric: Fabric,
    ) -> None:
        """Prepare a training.

        Args:
            recipe: Recipe.
            network: Network to train, in place.
            dataset: Training data.
            folder: Folder of checkpoint and log.
            fabric: Device, precision and processes.

        """
        # Before there are optimizers, so that their state is loaded to the device too.
        fabric.to_device(network)
        self.recipe, self.network, self.dataset = recipe, network, dataset
        self.folder, self.fabric = folder, fabric
        self.progress = Progress()
        self.weights = loss_weights(
            network.tasks, recipe.tasks, recipe.distillation_weight, recipe.weights
        )
        self.teacher = None
        if len(self.weights) > len(recipe.tasks):
            self.teacher = copy.deepcopy(network).eval().requires_grad_(False)
        self.average = AveragedModel(network, multi_avg_fn=ema_with_warmup(recipe.ema))
        self._checkpoint: dict[str, Any] | None = None
        self._steps_left: int | None = None

    def run(self, steps: int | None = None) -> bool:
        """Train.

        Args:
            steps: Maximum number of steps of this run; unlimited if not given.

        Returns:
            Whether the training is finished; `network` then holds the averaged weights.

        Raises:
            ValueError: A checkpoint of another recipe.

        """
        self._load_checkpoint()
        logger = self._open_log()
        self._steps_left = steps
        for number in range(self.progress.stage, len(self.recipe.stages)):
            if not self._train_stage(number, logger):
                return False
        self.network.load_state_dict(self.average.module.state_dict())
        return True

    def _train_stage(self, number: int, logger: CSVLogger | None) -> bool:
        """Train a stage; return whether it is finished."""
        stage = self.recipe.stages[number]
        optimizer, schedule = self._make_optimizer(number)
        objective = MultiTaskLoss(
            self.network,
            stage,
            (IMAGENET_MEAN, IMAGENET_STD),
            self.recipe.label_stride,
            self.weights,
            self.teacher,
            self.recipe.tasks,
        )
        wrapped_loss, wrapped_optimizer = self.fabric.setup(objective, optimizer)
        begin = time.monotonic() - self.progress.seconds
        for step, losses in self._steps(number, wrapped_loss, wrapped_optimizer):
            schedule.step()
            self.average.update_parameters(self.network)
            self.progress = Progress(number, step + 1, time.monotonic() - begin)
            if logger and step % LOG_EVERY == 0:
                logger.log_metrics(self._metrics(number, step, schedule, losses))
            if (step + 1) % self.recipe.checkpoint_steps == 0:
                self._save_checkpoint(optimizer, schedule)
        if self.progress.step < stage.steps:
            self._save_checkpoint(optimizer, schedule)
            return False
        self.progress = Progress(number + 1, 0, self.progress.seconds)
        self._save_checkpoint(None, None)
        return True

    def _make_optimizer(self, number: int) -> tuple[torch.optim.Optimizer, SequentialLR]:
        """Return optimizer and schedule of a stage, in the state of the checkpoint if any."""
        recipe, stage = self.recipe, self.recipe.stages[number]
        names = trainable_names(self.network, recipe.tasks, recipe.trained_parts)
        groups = parameter_groups(self.network, stage, recipe.weight_decay, names)
        optimizer = torch.optim.AdamW(groups)
        schedule = cosine_schedule(optimizer, stage.steps, stage.warmup)
        if self._checkpoint and self._checkpoint['optimiser']:
            optimizer.load_state_dict(self._checkpoint['optimiser'])
            schedule.load_state_dict(self._checkpoint['schedule'])
        self._checkpoint = None
        return optimizer, schedule

    def _steps(
        self, number: int, objective: nn.Module, optimizer: torch.optim.Optimizer
    ) -> Iterator[tuple[int, dict[str, Tensor]]]:
        """Do the remaining steps of a stage; yield the index of each and its losses."""
        stage = self.recipe.stages[number]
        for step, batch in self._batches(number):
            if self._steps_left == 0:
                return
            if self._steps_left is not None:
                self._steps_left -= 1
            first, last = stage.temperature
            temperature = first * (last / first) ** (step / stage.steps)
            # The rank in the low digits: the processes share the budget, not the noise.
            seed = (self.recipe.seed * 10 + number) * 10**6 + step
            seed = seed * 4096 + self.fabric.global_rank
            with seeded_rng(seed, self.fabric.device):
                losses = objective(batch.images, batch.labels, temperature, seed, batch.weights)
            optimizer.zero_grad()
            self.fabric.backward(losses['loss'])
            norm = self.fabric.clip_gradients(objective, optimizer, max_norm=self.recipe.clip)
            optimizer.step()
            yield step, losses if norm is None else {**losses, 'gradient': norm}

    def _batches(self, number: int) -> Iterator[tuple[int, Batch]]:
        """Yield the remaining batches of a stage, on the device, with a progress bar."""
        recipe, stage, first = self.recipe, self.recipe.stages[number], self.progress.step
        order = ResumableBatchSampler(
            len(self.dataset),
            stage.batch,
            stage.steps,
            recipe.seed * 10 + number,
            first,
            self.fabric.global_rank,
            self.fabric.world_size,
            parts_of(self.dataset),
        )
        loader = batches(
            self.dataset, recipe.augmentation, stage.size, order, recipe.tasks, recipe.workers
        )
        bar = tqdm(
            loader,
            f'{recipe.name}: {stage.kind}',
            stage.steps,
            initial=first,
            unit='step',
            disable=not self.fabric.is_global_zero,
        )
        for step, batch in enumerate(bar, first):
            yield step, batch.to(self.fabric.device)

    def _metrics(
        self, number: int, step: int, schedule: SequentialLR, losses: dict[str, Tensor]
    ) -> dict[str, Any]:
        values = {name: float(value.detach()) for name, value in losses.items()}
        return {
            'stage': self.recipe.stages[number].kind,
            'step': self._steps_before(number) + step,
            'seconds': self.progress.seconds,
            'lr': schedule.get_last_lr()[0],
            **values,
        }

    def _steps_before(self, number: int) -> int:
        """Return the number of steps of the stages before a stage."""
        return sum(stage.steps for stage in self.recipe.stages[:number])

    def _open_log(self) -> CSVLogger | None:
        """Open the log; only the first process writes one."""
        if not self.fabric.is_global_zero:
            return None
        columns = ('gradient', *self.weights, 'share', 'budget', 'spending')
        next_step = self._steps_before(self.progress.stage) + self.progress.step
        return CSVLogger(self.folder / LOG, columns, next_step)

    def _save_checkpoint(
        self, optimizer: torch.optim.Optimizer | None, schedule: SequentialLR | None
    ) -> None:
        """Replace the checkpoint atomically."""
        if not self.fabric.is_global_zero:
            return
        state = {
            'recipe': self.recipe.to_dict(),
            'progress': vars(self.progress),
            'network': self.network.state_dict(),
            'mean': self.average.state_dict(),
            'optimiser': optimizer.state_dict() if optimizer else None,
            'schedule': schedule.state_dict() if schedule else None,
        }
        unfinished = self.folder / f'{CHECKPOINT}.new'
        torch.save(state, unfinished)
        unfinished.replace(self.folder / CHECKPOINT)

    def _load_checkpoint(self) -> None:
        """Resume from the checkpoint, if there is one.

        Raises:
            ValueError: A checkpoint of another recipe.

        """
        path = self.folder / CHECKPOINT
        if not path.is_file():
            return
        state = torch.load(path, map_location=self.fabric.device, weights_only=True)
        saved = Recipe.from_dict(state['recipe']).to_dict()
        changed = [name for name, value in self.recipe.to_dict().items() if saved[name] != value]
        if changed:
            raise ValueError(
                f"{path} belongs to a recipe that differs in '{changed[0]}' "
                f'({saved[changed[0]]!r}); choose another folder with --out'
            )
        self.network.load_state_dict(state['network'])
        self.average.load_state_dict(state['mean'])
        self.progress = Progress(**state['progress'])
        self._checkpoint = state


@contextmanager
def seeded_rng(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global random generators in a context, and restore them afterwards.

    Dropout uses them, and a resumed training must draw the same numbers.

    Args:
        seed: Seed.
        device: Device whose generator is seeded beside that of the CPU.

    """
    with torch.random.fork_rng([device] if device.type == 'cuda' else []):
        torch.manual_seed(seed)
        yield
