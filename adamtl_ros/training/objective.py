# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What each stage of a training minimises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from adamtl_ros.nn.gating.execution import PlannedExecution, RelaxedExecution
from adamtl_ros.nn.gating.gates import GATES, Gates
from adamtl_ros.nn.gating.plan import uniform_plan
from adamtl_ros.training.losses import (
    distillation_loss,
    downsample_labels,
    task_loss,
    teacher_outputs,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from torch import Tensor

    from adamtl_ros.nn.network import AdaptiveNetwork
    from adamtl_ros.nn.prediction import RelaxedPrediction
    from adamtl_ros.training.recipe import Stage

FRAME_GATES = ('blocks', 'widths')
"""Granularities with one gate for a block and frame: few enough to be tried one by one."""
EVEN = 0.05
"""Added to each gate's chance to be tried, so that those that seem settled are too."""


@dataclass(frozen=True)
class GateFlip:
    """One gate of each image, turned over.

    Attributes:
        gates: The gates with one of each image turned over.
        opened: (B,), 1 where the gate was shut and is open now, -1 where it is the other way.
        chance: (B,) probability that the policy opens the gate, divided by that of trying it;
            gradients reach the policy.

    """

    gates: Gates
    opened: Tensor
    chance: Tensor

    def surrogate(self, before: Tensor, after: Tensor) -> Tensor:
        """Return what has the gradient of the expected loss, and the value 0, (B,).

        The expected loss is linear in the probability of each gate, and its slope is the loss
        with the gate open less the loss with it shut, all others being as drawn (the local
        expectation gradient, Titsias and Lazaro-Gredilla 2015). Unlike a straight-through
        estimate it does not take the slope at the end of a curve for the way along it.

        Args:
            before: (B,) losses with the gates as drawn.
            after: (B,) losses with one turned over.

        """
        worth = self.opened * (after - before).detach()
        return worth * (self.chance - self.chance.detach())


def flip_one(scores: Gates, gates: Gates, generator: torch.Generator | None = None) -> GateFlip:
    """Turn over one block or width gate of each image, more often an undecided one.

    Args:
        scores: The policy's.
        gates: As drawn from them, 0 or 1.
        generator: For the choice, on the scores' device.

    """
    names = [name for name in FRAME_GATES if name in gates.present]
    open_ = torch.cat([gates.present[name] for name in names], 1)
    probability = torch.cat([scores.present[name] for name in names], 1).sigmoid()
    tried = (probability * (1 - probability)).detach() + EVEN
    tried = tried / tried.sum(1, keepdim=True)
    which = tried.multinomial(1, generator=generator)
    was = open_.gather(1, which)
    flipped = open_.detach().scatter(1, which, 1 - was)
    parts = dict(zip(names, flipped.chunk(len(names), 1), strict=True))
    chance = probability.gather(1, which) / tried.gather(1, which)
    return GateFlip(Gates(**{**gates.present, **parts}), (1 - 2 * was.detach())[:, 0], chance[:, 0])


class MultiTaskLoss(nn.Module):
    """Loss of a batch in a stage; a module, so that several processes can share it (DDP).

    After AdaMTL (Neseem et al. 2023), with two changes: the budget is drawn anew for each step,
    so that one set of weights learns every one, and what counts is exact MACs.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: AdaptiveNetwork,
        stage: Stage,
        normalisation: tuple[tuple[float, ...], tuple[float, ...]],
        label_stride: int,
        weights: Mapping[str, float],
        before: AdaptiveNetwork | None = None,
        labelled: Collection[str] = (),
    ) -> None:
        """Prepare.

        Args:
            network: What is trained.
            stage: How.
            normalisation: Mean and standard deviation of RGB in 0..1.
            label_stride: Predictions and labels meet at one pixel in so many.
            weights: Weight of each task's loss.
            before: The network that tasks without labels are held to; none if all have some.
            labelled: Tasks with labels, if not all have.

        """
        super().__init__()
        self.network, self.stage, self.before = network, stage, before
        self.kept = [name for name in weights if name not in labelled] if before else []
        self.label_stride = label_stride
        self.weights = dict(weights)
        for name, values in zip(('mean', 'std'), normalisation, strict=True):
            tensor = 255 * torch.tensor(values).view(3, 1, 1)
            self.register_buffer(name, tensor, persistent=False)

    def forward(
        self, images: Tensor, labels: Mapping[str, Tensor], temperature: float, seed: int
    ) -> dict[str, Tensor]:
        """Return the losses by name; 'loss' is the sum that is minimised, with gradient.

        Args:
            images: As `Batch` has them.
            labels: As `Batch` has them.
            temperature: Of the gates.
            seed: Of the budget and the gates that are drawn.

        """
        images = (images.float() - self.mean) / self.std
        if self.before is not None:
            labels = {**labels, **teacher_outputs(self.before, images, self.kept)}
        generator = torch.Generator(images.device).manual_seed(seed)
        if self.stage.kind in ('policy', 'joint'):
            budgets = self._budgets(len(images), seed).to(images.device)
            return self._adaptive(images, labels, budgets, temperature, generator)
        tokens = self.network.encoder.patch_embed(images)
        maps = self.network.forward_tokens(tokens, self._execution(tokens, generator), self.weights)
        losses = self._task_losses(maps, labels)
        return _named(self._total(losses), losses)

    def _adaptive(
        self,
        images: Tensor,
        labels: Mapping[str, Tensor],
        budgets: Tensor,
        temperature: float,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Return the losses of a stage in which the policy decides."""
        tried = FRAME_GATES if self.stage.flips else ()
        sloped = [name for name in GATES if name not in tried]
        relaxed = self.network.forward_train(
            images, budgets, self.weights, temperature, generator, sloped
        )
        losses = self._task_losses(relaxed.maps, labels)
        total, parts = self._total(losses), _spending(relaxed.fractions.float(), budgets)
        if parts:
            total = total + self.stage.spending_weight * parts['spending']
            if any(name in relaxed.gates.present for name in tried):
                total = total + self._worth(relaxed, labels, budgets < 1, generator)
        return _named(total, {**losses, **parts})

    def _worth(
        self,
        relaxed: RelaxedPrediction,
        labels: Mapping[str, Tensor],
        bound: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        """Return what teaches the policy the worth of its blocks, with the value 0."""
        gates, scores = (x.map(lambda value: value[bound]) for x in (relaxed.gates, relaxed.scores))
        flip = flip_one(scores, gates, generator)
        labels = {name: label[bound] for name, label in labels.items()}
        with torch.no_grad():
            maps = self.network.forward_gated(relaxed.tokens[bound], flip.gates, self.weights)
            after = self._total(self._by_image(maps, labels))
            drawn = {name: raw[bound] for name, raw in relaxed.maps.items()}
            before = self._total(self._by_image(drawn, labels))
        return (self._focused(before) * flip.surrogate(before, after)).mean()

    def _total(self, losses: Mapping[str, Tensor]) -> Tensor:
        return torch.stack([self.weights[name] * loss for name, loss in losses.items()]).sum(0)

    def _execution(
        self, tokens: Tensor, generator: torch.Generator
    ) -> PlannedExecution | RelaxedExecution:
        """Run everything, or what gates drawn at random leave open."""
        arch, policy = self.network.arch, self.network.policy.config
        images = len(tokens)
        if self.stage.kind == 'static':
            return PlannedExecution([uniform_plan(arch.depths)] * images)
        gates = random_gates(self.network, tokens, self.stage.full, generator)
        return RelaxedExecution(gates, arch.depths, policy.narrow)

    def _budgets(self, images: int, seed: int) -> Tensor:
        """Draw the budget of a step; some of the images have all.

        One budget for the others, since only the mean of what they spend is held to it. The
        processes of a training share it.
        """
        drawn = torch.rand(1, generator=torch.Generator().manual_seed(seed // 4096)).item()
        low, high = self.stage.budgets
        budget = low + (high - low) * drawn
        budgets = torch.full((images,), min(budget, 0.99))
        budgets[: round(self.stage.full * images)] = 1
        return budgets

    def _task_losses(
        self, maps: Mapping[str, Tensor], labels: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return the loss of each task, a mean over pixels, or with `focus` over images."""
        if not self.stage.focus:
            return {name: self._loss(name, raw, labels[name]) for name, raw in maps.items()}
        by_image = self._by_image(maps, labels)
        weight = self._focused(self._total(by_image).detach())
        return {name: (weight * loss).mean() for name, loss in by_image.items()}

    def _focused(self, loss: Tensor) -> Tensor:
        """Return the weights of images by their losses, with a mean of 1."""
        weight = loss.clamp_min(1e-6) ** self.stage.focus
        return weight / weight.mean()

    def _by_image(
        self, maps: Mapping[str, Tensor], labels: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return the loss of each task on each image."""
        return {
            name: torch.stack(
                [
                    self._loss(name, one[None], label[None])
                    for one, label in zip(raw, labels[name], strict=True)
                ]
            )
            for name, raw in maps.items()
        }

    def _loss(self, name: str, raw: Tensor, label: Tensor) -> Tensor:
        task = self.network.tasks[name]
        if name in self.kept:
            return distillation_loss(task, raw, label)
        label = downsample_labels(task, label, self.label_stride)
        if raw.shape[-2:] != label.shape[-2:]:
            size = (label.shape[-2], label.shape[-1])
            raw = functional.interpolate(raw.float(), size, mode='bilinear')
        return task_loss(task, raw, label)


def random_gates(
    network: AdaptiveNetwork, tokens: Tensor, full: float, generator: torch.Generator
) -> Gates:
    """Open gates at random, all of them for some of the images.

    The others keep a share of their gates that is drawn for each, more often a large one, so
    that the encoder learns to do without any part. Branches of tasks go with their blocks.

    Args:
        network: Whose gates.
        tokens: (B, H/4, W/4, C), the patch embedding.
        full: Share of the images with everything on.
        generator: For the draw.

    """
    images, device = len(tokens), tokens.device
    share = torch.rand(images, generator=generator, device=device).sqrt()
    share[: round(full * images)] = 1
    with torch.no_grad():
        budgets = torch.ones(images, device=device)
        scores = network.policy(tokens, budgets, network.tasks)

    def draw(score: Tensor) -> Tensor:
        # The root, since a window runs only where its block does too.
        chance = share.sqrt() if len(scores.present) > 1 else share
        chance = chance.view(-1, *[1] * (score.dim() - 1))
        return (
            torch.rand(score.shape, generator=generator, device=device) < chance
        ).float()  # fmt: skip

    return scores.map(draw)


def _named(total: Tensor, parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {'loss': total, **{name: part.detach() for name, part in parts.items()}}


def _spending(shares: Tensor, budgets: Tensor) -> dict[str, Tensor]:
    """Distance of the mean spent share from the budget, squared, where it is below 1."""
    bound = budgets < 1
    if not bound.any():
        return {}
    mean, budget = shares[bound].mean(), budgets[bound].mean()
    return {'spending': (mean - budget).square(), 'share': mean, 'budget': budget}
