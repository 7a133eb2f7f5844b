# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The training loop: stages, checkpoints, and the model that comes out."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from adamtl_ros.data.batches import ResumableBatchSampler, batches
from adamtl_ros.nn.io.checkpoint import IMAGENET_MEAN, IMAGENET_STD
from adamtl_ros.training.adapters import seeded_rng, task_weights, trainable_names
from adamtl_ros.training.logger import CSVLogger
from adamtl_ros.training.objective import MultiTaskLoss
from adamtl_ros.training.optim import cosine_schedule, ema_with_warmup, parameter_groups

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lightning_fabric import Fabric
    from torch import Tensor, nn
    from torch.optim.lr_scheduler import SequentialLR

    from adamtl_ros.nn.network import AdaptiveNetwork
    from adamtl_ros.sample import Dataset
    from adamtl_ros.training.recipe import Recipe

CHECKPOINT, JOURNAL = 'checkpoint.pt', 'journal.csv'
LOG_EVERY = 10


@dataclass
class Progress:
    """Where a training is.

    Attributes:
        stage: Number of the stage.
        step: Steps done in it.
        seconds: Time spent so far, of all runs.

    """

    stage: int = 0
    step: int = 0
    seconds: float = 0.0


class Trainer:
    """Follows a recipe, from where it was interrupted if there is a checkpoint."""

    def __init__(
        self,
        recipe: Recipe,
        network: AdaptiveNetwork,
        dataset: Dataset,
        folder: Path,
        fabric: Fabric,
    ) -> None:
        """Prepare.

        Args:
            recipe: What to do.
            network: What to train; in place.
            dataset: What to train on.
            folder: For checkpoint and journal.
            fabric: Where to run: device, precision, processes.

        """
        # Before there are optimisers, so that their state is loaded to the device too.
        fabric.to_device(network)
        self.recipe, self.network, self.dataset = recipe, network, dataset
        self.folder, self.fabric = folder, fabric
        self.progress = Progress()
        self.weights = task_weights(recipe, network)
        self.before = None
        if len(self.weights) > len(recipe.tasks):
            self.before = copy.deepcopy(network).eval().requires_grad_(False)
        self.mean = AveragedModel(
            network,
            multi_avg_fn=ema_with_warmup(recipe.ema),
        )
        self._saved: dict[str, Any] | None = None
        self._left: int | None = None

    def run(self, steps: int | None = None) -> bool:
        """Train.

        Args:
            steps: Stop after so many; to the end if not given.

        Returns:
            Whether the recipe is done; `network` then holds the mean weights.

        """
        self._load()
        journal = self._journal()
        self._left = steps
        for number in range(self.progress.stage, len(self.recipe.stages)):
            if not self._stage(number, journal):
                return False
        self.network.load_state_dict(self.mean.module.state_dict())
        return True

    def _stage(self, number: int, journal: CSVLogger | None) -> bool:
        """Run a stage; say whether it was finished."""
        stage = self.recipe.stages[number]
        objective = MultiTaskLoss(
            self.network, stage, (IMAGENET_MEAN, IMAGENET_STD), self.recipe.label_stride,
            self.weights, self.before, self.recipe.tasks,
        )  # fmt: skip
        learns = trainable_names(self.network, self.recipe)
        groups = parameter_groups(self.network, stage, self.recipe.weight_decay, learns)
        optimiser = torch.optim.AdamW(groups)
        schedule = cosine_schedule(optimiser, stage)
        if self._saved and self._saved['optimiser']:
            optimiser.load_state_dict(self._saved['optimiser'])
            schedule.load_state_dict(self._saved['schedule'])
        self._saved = None
        wrapped, engine = self.fabric.setup(objective, optimiser)
        before = time.monotonic() - self.progress.seconds
        for step, losses in self._steps(number, wrapped, engine):
            schedule.step()
            self.mean.update_parameters(self.network)
            self.progress = Progress(number, step + 1, time.monotonic() - before)
            if journal and step % LOG_EVERY == 0:
                journal.write(self._row(number, step, schedule, losses))
            if (step + 1) % self.recipe.checkpoint_steps == 0:
                self._save(optimiser, schedule)
        finished = self.progress.step == stage.steps
        if finished:
            self.progress = Progress(number + 1, 0, self.progress.seconds)
            self._save(None, None)
        else:
            self._save(optimiser, schedule)
        return finished

    def _steps(
        self,
        number: int,
        objective: nn.Module,
        optimiser: torch.optim.Optimizer,
    ) -> Iterator[tuple[int, dict[str, Tensor]]]:
        """Do the steps of a stage that are left; yield each with its losses."""
        stage = self.recipe.stages[number]
        for step, batch in self._batches(number):
            if self._left == 0:
                return
            if self._left is not None:
                self._left -= 1
            # The rank in the low digits: the processes share the budget, not the noise.
            seed = (self.recipe.seed * 10 + number) * 10**6 + step
            share = step / stage.steps
            first, last = stage.temperature
            temperature = first * (last / first) ** share
            seed = seed * 4096 + self.fabric.global_rank
            with seeded_rng(seed, self.fabric.device):
                losses = objective(batch.images, batch.labels, temperature, seed)
            optimiser.zero_grad()
            self.fabric.backward(losses['loss'])
            norm = self.fabric.clip_gradients(objective, optimiser, max_norm=self.recipe.clip)
            optimiser.step()
            yield step, losses if norm is None else {**losses, 'gradient': norm}

    def _batches(self, number: int) -> Iterator[tuple[int, Any]]:
        """Yield the batches of a stage that are left, on the device, with a progress bar."""
        stage, first = self.recipe.stages[number], self.progress.step
        order = ResumableBatchSampler(
            len(self.dataset), stage.batch, stage.steps, self.recipe.seed * 10 + number, first,
            self.fabric.global_rank, self.fabric.world_size,
        )  # fmt: skip
        found = batches(
            self.dataset, self.recipe.augmentation, stage.size, order,
            self.recipe.tasks, self.recipe.workers,
        )  # fmt: skip
        bar = tqdm(
            found, f'{self.recipe.name}: {stage.kind}', stage.steps, initial=first,
            unit='step', disable=not self.fabric.is_global_zero,
        )  # fmt: skip
        for step, batch in enumerate(bar, first):
            yield step, batch.to(self.fabric.device)

    def _row(
        self, number: int, step: int, schedule: SequentialLR, losses: dict[str, Tensor]
    ) -> dict[str, Any]:
        values = {name: float(value.detach()) for name, value in losses.items()}
        done = sum(stage.steps for stage in self.recipe.stages[:number])
        return {
            'stage': self.recipe.stages[number].kind,
            'step': done + step,
            'seconds': self.progress.seconds,
            'lr': schedule.get_last_lr()[0],
            **values,
        }

    def _journal(self) -> CSVLogger | None:
        """Open the journal; only the first process writes one."""
        if not self.fabric.is_global_zero:
            return None
        done = sum(stage.steps for stage in self.recipe.stages[: self.progress.stage])
        columns = ('gradient', *self.weights, 'share', 'budget', 'spending')
        return CSVLogger(self.folder / JOURNAL, columns, done + self.progress.step)

    def _save(self, optimiser: torch.optim.Optimizer | None, schedule: SequentialLR | None) -> None:
        """Write the checkpoint whole, or leave the old one."""
        if not self.fabric.is_global_zero:
            return
        state = {
            'recipe': self.recipe.to_dict(),
            'progress': vars(self.progress),
            'network': self.network.state_dict(),
            'mean': self.mean.state_dict(),
            'optimiser': optimiser.state_dict() if optimiser else None,
            'schedule': schedule.state_dict() if schedule else None,
        }
        unfinished = self.folder / f'{CHECKPOINT}.new'
        torch.save(state, unfinished)
        unfinished.replace(self.folder / CHECKPOINT)

    def _load(self) -> None:
        """Go on from the checkpoint, if there is one.

        Raises:
            ValueError: It belongs to another recipe.

        """
        path = self.folder / CHECKPOINT
        if not path.is_file():
            return
        state = torch.load(path, map_location=self.fabric.device, weights_only=True)
        changed = [k for k, v in self.recipe.to_dict().items() if state['recipe'].get(k) != v]
        if changed:
            raise ValueError(
                f"{path} belongs to a recipe that differs in '{changed[0]}' "
                f'({state["recipe"].get(changed[0])!r}); choose another folder with --out'
            )
        self.network.load_state_dict(state['network'])
        self.mean.load_state_dict(state['mean'])
        self.progress = Progress(**state['progress'])
        self._saved = state
