# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Loss of a batch in each kind of stage.

    stage      gates                    loss
    static     all open, or one rung    weighted sum of the task losses
    ladder     rungs of the ladder      the same for each rung, and its difference from the full one
    backbone   random                   the same
    policy,    sampled by the policy    the same + budget loss + gate flip gradient
    joint

The budget loss is the squared difference of the mean fraction of the MACs that is spent and the
budget. It reaches the policy through relaxed gates. The task losses do too for window, token and
branch gates; for block and width gates the slope of a relaxed gate is a poor estimate, and
`gate_flip_gradient()` takes its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from adamtl_ros.nn.gating.execution import PlannedExecution
from adamtl_ros.nn.gating.gates import GATES, Gates
from adamtl_ros.nn.gating.plan import uniform_plan
from adamtl_ros.nn.network import resize_images
from adamtl_ros.training.losses import (
    distillation_loss,
    downsample_labels,
    downsample_weights,
    task_loss,
    teacher_outputs,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from adamtl_ros.nn.gating.plan import Plan
    from adamtl_ros.nn.network import AdaptiveNetwork, RelaxedPrediction
    from adamtl_ros.tasks import Task
    from adamtl_ros.training.recipe import Stage

FLIPPED_GATES = ('blocks', 'widths')
"""Granularities with one gate per block and image: few enough to be flipped one by one."""
MIN_FLIP_WEIGHT = 0.05
"""Added to the sampling weight of each gate, so that almost certain gates are flipped too."""

NO_WEIGHTS: Mapping[str, Tensor] = {}
"""Weights of a batch whose images and pixels all count alike."""


def loss_weights(
    tasks: Mapping[str, Task],
    labelled: Collection[str],
    distillation_weight: float,
    overrides: Mapping[str, float],
) -> dict[str, float]:
    """Return the weights of the tasks with a loss: with labels, or distilled.

    Args:
        tasks: Tasks of the network, by name.
        labelled: Names of the tasks with labels.
        distillation_weight: Factor of the weights of the other tasks; 0 for no loss of these.
        overrides: Weights by task that differ from the task table.

    """
    factors = {name: 1.0 if name in labelled else distillation_weight for name in tasks}
    return {
        name: factor * overrides.get(name, tasks[name].loss_weight)
        for name, factor in factors.items()
        if factor
    }


@dataclass(frozen=True)
class GateFlip:
    """Gates of a batch with one gate of each image flipped.

    Attributes:
        gates: Gates after the flip.
        direction: (B,), 1 where the flip opened a gate, -1 where it closed one.
        probability: (B,) probability that the policy opens the flipped gate, divided by the
            probability that this gate was chosen; with gradient.

    """

    gates: Gates
    direction: Tensor
    probability: Tensor


def sample_gate_flip(
    scores: Gates, gates: Gates, generator: torch.Generator | None = None
) -> GateFlip:
    """Flip one block or width gate of each image, chosen at random by its variance.

    Args:
        scores: Scores of the policy.
        gates: Gates sampled from the scores, 0 or 1.
        generator: Random generator on the scores' device.

    """
    names = [name for name in FLIPPED_GATES if name in gates.present]
    sampled = torch.cat([gates.present[name] for name in names], 1)  # (B, gates)
    probability = torch.cat([scores.present[name] for name in names], 1).sigmoid()
    weight = (probability * (1 - probability)).detach() + MIN_FLIP_WEIGHT
    weight = weight / weight.sum(1, keepdim=True)
    index = weight.multinomial(1, generator=generator)  # (B, 1)
    before = sampled.gather(1, index).detach()
    flipped = sampled.detach().scatter(1, index, 1 - before)
    parts = dict(zip(names, flipped.chunk(len(names), 1), strict=True))
    weighted = probability.gather(1, index) / weight.gather(1, index)
    return GateFlip(
        gates=Gates(**{**gates.present, **parts}),
        direction=(1 - 2 * before)[:, 0],
        probability=weighted[:, 0],
    )


def gate_flip_gradient(flip: GateFlip, before: Tensor, after: Tensor) -> Tensor:
    """Return a tensor of value 0 with the gradient of the expected loss, (B,).

    The expected loss is linear in the probability of each gate. Its slope is the loss with the
    gate open minus the loss with it closed, all other gates as sampled (local expectation
    gradient, Titsias and Lazaro-Gredilla 2015). It is unbiased, unlike a straight-through
    estimate, which takes the slope at one end of a curve for the difference of its ends.

    Args:
        flip: The flip, of `sample_gate_flip()`.
        before: (B,) losses with the gates as sampled.
        after: (B,) losses after the flip.

    """
    slope = flip.direction * (after - before).detach()
    return slope * (flip.probability - flip.probability.detach())


def _rungs_needed(stage: Stage) -> int:
    """Return the number of rungs that an architecture must have for a stage."""
    if stage.kind == 'ladder':
        return 2
    return stage.rung + 1 if stage.rung else 0


class MultiTaskLoss(nn.Module):
    """Loss of a batch in a stage; a module, for distributed data parallel (DDP) training.

    After AdaMTL (Neseem et al. 2023) with two changes: the budget is sampled in each step, so
    that one set of weights serves all budgets, and the cost is in exact MACs.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: AdaptiveNetwork,
        stage: Stage,
        normalization: tuple[tuple[float, ...], tuple[float, ...]],
        label_stride: int,
        weights: Mapping[str, float],
        teacher: AdaptiveNetwork | None = None,
        labelled: Collection[str] = (),
    ) -> None:
        """Prepare the loss of a stage.

        Args:
            network: Network to train.
            stage: Stage.
            normalization: Mean and standard deviation of RGB in 0..1.
            label_stride: Stride at which predictions and labels are compared [px].
            weights: Loss weight by task.
            teacher: Network whose outputs replace the labels of tasks without labels; none if
                all tasks have labels.
            labelled: Tasks with labels; not needed without a teacher.

        Raises:
            ValueError: A stage that needs more rungs than the network has.

        """
        super().__init__()
        needed = _rungs_needed(stage)
        if len(network.arch.ladder) < needed:
            raise ValueError(
                f"stage '{stage.kind}' needs at least {needed} rungs, '{network.arch.name}' has "
                f'{len(network.arch.ladder)}; name them with the entry ladder of the recipe'
            )
        self.network, self.stage, self.teacher = network, stage, teacher
        self.distilled = [name for name in weights if name not in labelled] if teacher else []
        self.label_stride = label_stride
        self.weights = dict(weights)
        for name, values in zip(('mean', 'std'), normalization, strict=True):
            tensor = 255 * torch.tensor(values).view(3, 1, 1)
            self.register_buffer(name, tensor, persistent=False)

    def forward(
        self,
        images: Tensor,
        labels: Mapping[str, Tensor],
        temperature: float,
        seed: int,
        weights: Mapping[str, Tensor] = NO_WEIGHTS,
    ) -> dict[str, Tensor]:
        """Return the losses by name; 'loss' is their weighted sum, with gradient.

        Args:
            images: (B, 3, H, W) uint8 RGB.
            labels: Labels by task, (B, H, W), or (B, 3, H, W) for normals.
            temperature: Temperature of the gates.
            seed: Seed of budget and gates: a number of the step times 4096, plus the process.
            weights: Weights of images or pixels by task, see `Batch`; 1 where a task is missing.

        """
        images = (images.float() - self.mean) / self.std
        # Depthwise convolutions train five times slower on a CPU with channels last.
        images = images.contiguous()
        if self.teacher is not None:
            labels = {**labels, **teacher_outputs(self.teacher, images, self.distilled)}
        generator = torch.Generator(images.device).manual_seed(seed)
        if self.stage.adaptive:
            budgets = self._sample_budgets(len(images), seed).to(images.device)
            return self._adaptive_losses(images, labels, weights, budgets, temperature, generator)
        if self.stage.kind == 'ladder':
            return self._ladder_losses(images, labels, weights, generator)
        if self.stage.kind == 'static':
            maps = self._plan_maps(images, self._static_plan())
        else:
            maps = self._random_maps(images, generator)
        losses = self._task_losses(maps, labels, weights)
        return _with_total(self._weighted_sum(losses), losses)

    def _ladder_losses(
        self,
        images: Tensor,
        labels: Mapping[str, Tensor],
        weights: Mapping[str, Tensor],
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Return the losses of the first rung, and in 'rungs' the sum of those of the others.

        The total has the gradient of all rungs of the step (Yu and Huang 2019, "Universally
        Slimmable Networks", sections 3.1 and 3.3). Distilled is the first one, which is the full
        network under the sandwich rule.
        """
        first, *others = self._sample_rungs(generator)
        maps = self._plan_maps(images, first)
        losses = self._task_losses(maps, labels, weights)
        targets = {name: raw.detach() for name, raw in maps.items()}
        total, rungs = self._weighted_sum(losses), images.new_zeros(())
        for plan in others:
            maps = self._plan_maps(images, plan)
            own = self._weighted_sum(self._task_losses(maps, labels, weights))
            distilled = self._weighted_sum(self._distillation_losses(maps, targets))
            rungs = rungs + torch.lerp(own, distilled.to(own), self.stage.distillation)
        return _with_total(total + self.stage.rung_weight * rungs, {**losses, 'rungs': rungs})

    def _sample_rungs(self, generator: torch.Generator) -> list[Plan]:
        """Return the rungs of a step, the largest first."""
        arch, count = self.network.arch, self.stage.rungs
        plans = [rung.plan(arch.depths) for rung in arch.ladder]
        if not self.stage.sandwich:
            return self._sample_plans(plans, count, generator)
        full, *between, smallest = plans
        chosen = self._sample_plans(between, max(0, count - 2), generator)
        return [full, *chosen, smallest][:count]

    @staticmethod
    def _sample_plans(plans: Sequence[Plan], count: int, generator: torch.Generator) -> list[Plan]:
        """Return some of the plans, in their order."""
        order = torch.randperm(len(plans), generator=generator, device=generator.device)
        return [plans[number] for number in sorted(order[:count].tolist())]

    def _static_plan(self) -> Plan:
        """Return the plan of a static stage."""
        arch = self.network.arch
        if self.stage.rung:
            return arch.ladder[self.stage.rung].plan(arch.depths)
        return uniform_plan(arch.depths)

    def _plan_maps(self, images: Tensor, plan: Plan) -> dict[str, Tensor]:
        tokens = self.network.encoder.stem(resize_images(images, plan.scale))
        execution = PlannedExecution([plan] * len(images))
        return self.network.forward_tokens(tokens, execution, self.weights)

    def _distillation_losses(
        self, maps: Mapping[str, Tensor], targets: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return the difference of maps from those of the full network, resized to these."""
        return {
            name: distillation_loss(
                self.network.tasks[name],
                functional.interpolate(raw.float(), targets[name].shape[-2:], mode='bilinear'),
                targets[name],
            )
            for name, raw in maps.items()
        }

    def _adaptive_losses(
        self,
        images: Tensor,
        labels: Mapping[str, Tensor],
        weights: Mapping[str, Tensor],
        budgets: Tensor,
        temperature: float,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Return the losses under gates of the policy."""
        flipped = FLIPPED_GATES if self.stage.flips else ()
        differentiated = [name for name in GATES if name not in flipped]
        relaxed = self.network.forward_train(
            images, budgets, self.weights, temperature, generator, differentiated
        )
        losses = self._task_losses(relaxed.maps, labels, weights)
        total, budget_losses = self._weighted_sum(losses), _budget_loss(relaxed.fractions, budgets)
        if budget_losses:
            total = total + self.stage.spending_weight * budget_losses['spending']
            if any(name in relaxed.gates.present for name in flipped):
                total = total + self._gate_flip_loss(
                    relaxed, labels, weights, budgets < 1, generator
                )
        return _with_total(total, {**losses, **budget_losses})

    def _gate_flip_loss(
        self,
        relaxed: RelaxedPrediction,
        labels: Mapping[str, Tensor],
        weights: Mapping[str, Tensor],
        limited: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        """Return a scalar of value 0 with the gradient of flipped gates, of limited images."""
        gates, scores = (
            x.map(lambda value: value[limited]) for x in (relaxed.gates, relaxed.scores)
        )
        flip = sample_gate_flip(scores, gates, generator)
        labels = {name: label[limited] for name, label in labels.items()}
        weights = {name: weight[limited] for name, weight in weights.items()}
        with torch.no_grad():
            maps = self.network.forward_gated(relaxed.tokens[limited], flip.gates, self.weights)
            after = self._weighted_sum(self._losses_per_image(maps, labels, weights))
            sampled = {name: raw[limited] for name, raw in relaxed.maps.items()}
            before = self._weighted_sum(self._losses_per_image(sampled, labels, weights))
        return (self._image_weights(before) * gate_flip_gradient(flip, before, after)).mean()

    def _weighted_sum(self, losses: Mapping[str, Tensor]) -> Tensor:
        return torch.stack([self.weights[name] * loss for name, loss in losses.items()]).sum(0)

    def _random_maps(self, images: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Return the raw maps under random gates."""
        tokens = self.network.encoder.stem(images)
        gates = random_gates(self.network, tokens, self.stage.full, generator)
        return self.network.forward_gated(tokens, gates, self.weights)

    def _sample_budgets(self, images: int, seed: int) -> Tensor:
        """Sample the budget of a step; a fraction `full` of the images has budget 1, (B,).

        All other images have the same budget, since only their mean cost is compared with it.
        The processes of a training have the same one too.
        """
        generator = torch.Generator().manual_seed(seed // 4096)
        low, high = self.stage.budgets
        budget = low + (high - low) * torch.rand(1, generator=generator).item()
        budgets = torch.full((images,), min(budget, 0.99))
        budgets[: round(self.stage.full * images)] = 1
        return budgets

    def _task_losses(
        self,
        maps: Mapping[str, Tensor],
        labels: Mapping[str, Tensor],
        weights: Mapping[str, Tensor] = NO_WEIGHTS,
    ) -> dict[str, Tensor]:
        """Return the loss of each task: a mean over pixels, or with `focus` over images."""
        if not self.stage.focus:
            return {
                name: self._task_loss(name, raw, labels[name], weights.get(name))
                for name, raw in maps.items()
            }
        per_image = self._losses_per_image(maps, labels, weights)
        weight = self._image_weights(self._weighted_sum(per_image).detach())
        return {name: (weight * loss).mean() for name, loss in per_image.items()}

    def _image_weights(self, loss: Tensor) -> Tensor:
        """Return weights of images with mean 1, proportional to loss ** focus, (B,)."""
        weight = loss.clamp_min(1e-6) ** self.stage.focus
        return weight / weight.mean()

    def _losses_per_image(
        self,
        maps: Mapping[str, Tensor],
        labels: Mapping[str, Tensor],
        weights: Mapping[str, Tensor] = NO_WEIGHTS,
    ) -> dict[str, Tensor]:
        """Return the loss of each task on each image, times the image's mean weight, (B,)."""
        found = {}
        for name, raw in maps.items():
            weight = weights.get(name, raw.new_ones(len(raw), 1, 1))
            images = zip(raw.split(1), labels[name].split(1), weight.split(1), strict=True)
            losses = torch.stack([self._task_loss(name, *image) for image in images])
            found[name] = losses * weight.mean((1, 2))
        return found

    def _task_loss(
        self, name: str, raw: Tensor, label: Tensor, weight: Tensor | None = None
    ) -> Tensor:
        task = self.network.tasks[name]
        if name in self.distilled:
            return distillation_loss(task, raw, label)
        label = downsample_labels(task, label, self.label_stride)
        if raw.shape[-2:] != label.shape[-2:]:
            size = (label.shape[-2], label.shape[-1])
            raw = functional.interpolate(raw.float(), size, mode='bilinear')
        if weight is not None:
            weight = downsample_weights(weight, self.label_stride)
        return task_loss(task, raw, label, weight)


def random_gates(
    network: AdaptiveNetwork, tokens: Tensor, full: float, generator: torch.Generator
) -> Gates:
    """Sample gates at random; a fraction `full` of the images has all of them open.

    In each other image a random fraction of the gates is open, more often a large one, so that
    the encoder works without any single part. Branches of tasks go with their blocks.

    Args:
        network: Network whose gates are sampled.
        tokens: Output of the encoder's stem.
        full: Fraction of the images with everything on, 0..1.
        generator: Random generator on the tokens' device.

    """
    images, device = len(tokens), tokens.device
    fraction = torch.rand(images, generator=generator, device=device).sqrt()  # (B,)
    fraction[: round(full * images)] = 1
    with torch.no_grad():
        budgets = torch.ones(images, device=device)
        scores = network.policy(network.encoder.embedding(tokens), budgets, network.tasks)
    # The root, since a window runs only if its block does too.
    probability = fraction.sqrt() if len(scores.present) > 1 else fraction

    def sample(score: Tensor) -> Tensor:
        threshold = probability.view(-1, *[1] * (score.dim() - 1))
        return (torch.rand(score.shape, generator=generator, device=device) < threshold).float()

    return scores.map(sample)


def _with_total(total: Tensor, parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {'loss': total, **{name: part.detach() for name, part in parts.items()}}


def _budget_loss(shares: Tensor, budgets: Tensor) -> dict[str, Tensor]:
    """Return the squared difference of mean cost and budget ('spending'), and the two.

    Over the images with a budget below 1; empty if there is none.

    Args:
        shares: (B,) fraction of the full MACs that each image costs.
        budgets: (B,) budgets.

    """
    limited = budgets < 1
    if not limited.any():
        return {}
    share, budget = shares.float()[limited].mean(), budgets[limited].mean()
    return {'spending': (share - budget).square(), 'share': share, 'budget': budget}
