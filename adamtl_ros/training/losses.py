# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Holding tasks without labels to what they answered before.

The shared pairs change the features of every task, so those that nobody labelled would drift.
What the base says of the same image serves them as a label (Li and Hoiem 2016, "Learning without
Forgetting").
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from adamtl_ros.nn.gating.execution import PlannedExecution
from adamtl_ros.nn.gating.plan import uniform_plan
from adamtl_ros.tasks import UNLABELLED, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import Tensor

    from adamtl_ros.nn.network import AdaptiveNetwork
    from adamtl_ros.tasks import Task


def downsample_labels(task: Task, label: Tensor, stride: int) -> Tensor:
    """Return a label at a coarser resolution.

    Edges are one pixel wide, so a square that holds one is an edge; of everything else the
    middle of the square counts, so that nothing is mixed.

    Args:
        task: The task.
        label: (B, H, W), or (B, 3, H, W) for normals.
        stride: Side of the squares [px]; it must divide height and width.

    """
    if stride == 1:
        return label
    if task.name == 'edges':
        unknown = label == 255
        marked = functional.max_pool2d((label == 1).float()[:, None], stride)[:, 0]
        blind = functional.max_pool2d(unknown.float()[:, None], stride)[:, 0]
        return marked.masked_fill((marked == 0) & (blind > 0), 255).to(label.dtype)
    return label[..., stride // 2 :: stride, stride // 2 :: stride]


EDGE_WEIGHT = 0.95
"""Weight of edge pixels, as published; others get the rest to 1."""
TINY = 1e-8


def cross_entropy(raw: Tensor, label: Tensor) -> Tensor:
    """Return the mean cross entropy of the classes.

    Args:
        raw: (B, C, h, w) logits.
        label: (B, h, w) class ids below C, 255 = unlabelled.

    Raises:
        ValueError: Shapes that do not fit.

    """
    _check(raw, label)
    total = functional.cross_entropy(
        _precise(raw), label.long(), ignore_index=UNLABELLED, reduction='sum'
    )
    return total / _count(label != UNLABELLED)


def balanced_bce(raw: Tensor, label: Tensor, positive_weight: float | None = None) -> Tensor:
    """Return the mean binary cross entropy with weight w for positives and 1 - w for negatives.

    Args:
        raw: (B, 1, h, w) logits.
        label: (B, h, w), 0 or 1, 255 = unknown.
        positive_weight: w in 0..1. By default the share of negatives in the known pixels of the
            batch, so that both kinds weigh the same together. Nothing is learned then, as
            published, from a batch that holds one kind only.

    Raises:
        ValueError: Shapes that do not fit.

    """
    _check(raw, label, 1)
    logits = _precise(raw[:, 0])
    known = label != UNLABELLED
    positive = known & (label != 0)
    target = positive.to(logits.dtype)
    share = 1 - positive.sum() / _count(known) if positive_weight is None else positive_weight
    weight = (target * share + (1 - target) * (1 - share)) * known
    total = functional.binary_cross_entropy_with_logits(logits, target, weight, reduction='sum')
    return total / _count(known)


def l1_normals(raw: Tensor, label: Tensor) -> Tensor:
    """Return the mean absolute difference of the components of unit vectors.

    Args:
        raw: (B, 3, h, w) vectors of any length.
        label: (B, 3, h, w) unit vectors, NaN = unknown.

    Raises:
        ValueError: Shapes that do not fit.

    """
    _check(raw, label, 3)
    known = label.isfinite().all(1, keepdim=True)
    # A NaN has to go before the arithmetic: a gradient of 0 times NaN is NaN.
    truth = torch.where(known, label, 0)
    # The bound on the length bounds the gradient of vectors near zero.
    units = functional.normalize(_precise(raw), dim=1, eps=1e-4)
    return ((units - truth).abs() * known).sum() / (3 * _count(known))


def scale_aware_log(raw: Tensor, label: Tensor, lam: float = 0.5) -> Tensor:
    """Return the root of Eigen's scale-invariant error of log depth, averaged over images.

    With d = raw - log(label) over the known pixels of an image, the error is
    mean(d^2) - lam * mean(d)^2 (Eigen, Puhrsch and Fergus, 2014, equation 4): lam = 0 is the
    squared error, lam = 1 does not mind a wrong scale of the whole image. Its root (as in Lee et
    al., "From big to small", 2019, there times 10 with lam 0.85) keeps the pull of an image the
    same whether its error is large or small, and the value in the range of the L1 loss that
    AdaMTL's weight of 1 is made for.

    Args:
        raw: (B, 1, h, w) natural logarithm of metres.
        label: (B, h, w) metres; what is not finite and positive is unknown.
        lam: 0..1.

    Raises:
        ValueError: Shapes that do not fit.

    """
    _check(raw, label, 1)
    known = label.isfinite() & (label > 0)
    truth = torch.where(known, label, 1).log()
    error = ((_precise(raw[:, 0]) - truth) * known).flatten(1)
    known = known.flatten(1)
    count = known.sum(1).clamp(min=1)
    mean = error.sum(1) / count
    # The same as in the equation, but rounding cannot make it negative.
    variance = ((error - mean[:, None]) * known).square().sum(1) / count
    squared = variance + (1 - lam) * mean.square()
    # The slope of the bare root is infinite at 0. The root of TINY is torch's own: not every CPU's
    # kernel rounds as Python does, and an image without error must not leave a rest.
    rest = torch.full_like(squared, TINY).sqrt()
    return ((squared + TINY).sqrt() - rest).sum() / _count(known.any(1))


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    'cross_entropy': cross_entropy,
    'l1': l1_normals,
    'balanced_bce': balanced_bce,
    'edge_bce': partial(balanced_bce, positive_weight=EDGE_WEIGHT),
    'scale_aware_log': scale_aware_log,
}
"""Losses by the name in the task table."""


def task_loss(task: Task, raw: Tensor, label: Tensor) -> Tensor:
    """Return the loss of a task, without its weight.

    Args:
        task: The task; `task.loss` names the loss.
        raw: (B, task.channels, h, w) raw map.
        label: (B, h, w), or (B, 3, h, w) for normals; 255 or NaN where unknown.

    Raises:
        ValueError: A loss that is not there, or shapes that do not fit.

    """
    if task.loss not in LOSSES:
        allowed = ', '.join(LOSSES)
        raise ValueError(f"task '{task.name}' asks for loss '{task.loss}', choose from: {allowed}")
    return LOSSES[task.loss](raw, label)


def _precise(raw: Tensor) -> Tensor:
    return raw.to(torch.promote_types(raw.dtype, torch.float32))


def _count(known: Tensor) -> Tensor:
    return known.sum().clamp(min=1)


def _check(raw: Tensor, label: Tensor, channels: int | None = None) -> None:
    batch, have, *size = raw.shape
    expected = (batch, 3, *size) if channels == 3 else (batch, *size)
    if channels not in (None, have) or tuple(label.shape) != expected:
        raise ValueError(
            f'raw map {tuple(raw.shape)} and label {tuple(label.shape)} do not fit, expected '
            f'{channels or "any number of"} channels and label {expected}; resize one of them'
        )


@torch.no_grad()
def teacher_outputs(
    network: AdaptiveNetwork, images: Tensor, tasks: Iterable[str]
) -> dict[str, Tensor]:
    """Return the raw maps of tasks with everything on, without gradients."""
    execution = PlannedExecution([uniform_plan(network.arch.depths)] * len(images))
    return network.forward_tokens(network.encoder.patch_embed(images), execution, tasks)


def distillation_loss(task: Task, raw: Tensor, before: Tensor) -> Tensor:
    """Return how far raw maps are from others, 0 where they are the same.

    The divergence of the probabilities (Kullback and Leibler 1951) for classes and masks, the
    mean absolute difference for normals [1] and depth [log m].

    Args:
        task: The task.
        raw: (B, task.channels, h, w).
        before: The same of the base, without gradient.

    """
    raw, before = raw.float(), before.float()
    if task.kind is Kind.LABELS:
        now, then = (functional.log_softmax(x, 1) for x in (raw, before))
        return (then.exp() * (then - now)).sum(1).mean()
    if task.kind is Kind.PROBABILITY:
        target = before.sigmoid()
        cross = functional.binary_cross_entropy_with_logits
        return cross(raw, target) - cross(before, target)
    if task.kind is Kind.NORMALS:
        raw, before = (functional.normalize(x, dim=1, eps=1e-4) for x in (raw, before))
    return functional.l1_loss(raw, before)
