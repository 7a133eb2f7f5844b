# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Losses of single tasks: supervised by labels, and distilled from another network.

`task_loss()` is the supervised loss of a task, by its name in the task table.
`distillation_loss()` keeps the outputs of tasks without labels near those of the network that a
training starts from, since shared adapters change the features of every task (Li and Hoiem 2016,
"Learning without Forgetting").
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

EDGE_WEIGHT = 0.95
"""Published weight of edge pixels in the loss; the weight of other pixels is 1 - 0.95."""
EPS = 1e-8


# Supervised losses


def cross_entropy(raw: Tensor, label: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the mean cross entropy over labelled pixels.

    Args:
        raw: (B, C, h, w) logits.
        label: (B, h, w) class ids below C, 255 = unlabelled.
        weight: Weights of the pixels in the mean, (B, h, w) or (B, 1, 1); 1 if not given.

    Raises:
        ValueError: Shapes that do not match.

    """
    _check_shapes(raw, label)
    loss = functional.cross_entropy(
        _promote(raw), label.long(), ignore_index=UNLABELLED, reduction='none'
    )
    return _mean(loss, _pixel_weights(label != UNLABELLED, loss, weight))


def balanced_bce(
    raw: Tensor,
    label: Tensor,
    weight: Tensor | None = None,
    positive_weight: float | None = None,
) -> Tensor:
    """Return the mean binary cross entropy with weight w of positives and 1 - w of negatives.

    A soft label t counts as t of a positive and 1 - t of a negative in the weight, and the loss of
    a pixel is least where its probability is t.

    Args:
        raw: (B, 1, h, w) logits.
        label: (B, h, w), integers 0 or 1 and 255 = unlabelled, or floats 0..1 and NaN.
        weight: Weights of the pixels in the mean, (B, h, w) or (B, 1, 1); 1 if not given.
        positive_weight: w in 0..1. By default the fraction of negatives among the labelled pixels
            of the batch, which balances the two. As published, the loss of a batch with one of
            the two only is then 0.

    Raises:
        ValueError: Shapes that do not match.

    """
    _check_shapes(raw, label, 1)
    logits = _promote(raw[:, 0])  # (B, h, w)
    valid = _known(label)
    target = torch.where(valid, label, 0).to(logits.dtype)
    weights = _pixel_weights(valid, logits, weight)
    w = 1 - _mean(target, weights) if positive_weight is None else positive_weight
    balance = target * w + (1 - target) * (1 - w)
    loss = functional.binary_cross_entropy_with_logits(logits, target, balance, reduction='none')
    return _mean(loss, weights)


def l1_normals(raw: Tensor, label: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the mean absolute difference of the components of unit vectors.

    Args:
        raw: (B, 3, h, w) vectors of any length.
        label: (B, 3, h, w) unit vectors, NaN = unknown.
        weight: Weights of the pixels in the mean, (B, h, w) or (B, 1, 1); 1 if not given.

    Raises:
        ValueError: Shapes that do not match.

    """
    _check_shapes(raw, label, 3)
    valid = label.isfinite().all(1, keepdim=True)  # (B, 1, h, w)
    # NaN is replaced before the arithmetic: a gradient of 0 times NaN is NaN.
    target = torch.where(valid, label, 0)
    # The lower bound of the length bounds the gradient of vectors near zero.
    unit = functional.normalize(_promote(raw), dim=1, eps=1e-4)
    loss = (unit - target).abs().mean(1)  # (B, h, w)
    return _mean(loss, _pixel_weights(valid[:, 0], loss, weight))


def scale_aware_log(
    raw: Tensor, label: Tensor, weight: Tensor | None = None, lam: float = 0.5
) -> Tensor:
    """Return the root of Eigen's scale-invariant error of log depth, averaged over images.

    With d = raw - log(label) over the valid pixels of an image, the error is
    mean(d^2) - lam * mean(d)^2 (Eigen, Puhrsch and Fergus, 2014, equation 4): lam = 0 is the
    squared error, lam = 1 ignores a wrong scale of the whole image. Its root (as in Lee et al.,
    "From big to small", 2019, there times 10 with lam 0.85) keeps the gradient of an image the
    same whether its error is large or small, and the value in the range of the L1 loss that
    AdaMTL's weight of 1 is made for.

    Args:
        raw: (B, 1, h, w) natural logarithm of meters.
        label: (B, h, w) meters; values that are not finite and positive are unknown.
        weight: Weights of the pixels in the means of an image, (B, h, w) or (B, 1, 1); 1 if not
            given. An image counts by the mean weight of its valid pixels.
        lam: Weight of the squared mean, 0..1.

    Raises:
        ValueError: Shapes that do not match.

    """
    _check_shapes(raw, label, 1)
    valid = label.isfinite() & (label > 0)
    target = torch.where(valid, label, 1).log()
    error = ((_promote(raw[:, 0]) - target) * valid).flatten(1)  # (B, h * w)
    weights = _pixel_weights(valid, raw, weight).flatten(1)
    total = _nonzero(weights.sum(1))  # (B,)
    mean = (weights * error).sum(1) / total
    # The same as in the equation, but rounding cannot make it negative.
    variance = (weights * (error - mean[:, None]).square()).sum(1) / total
    squared = variance + (1 - lam) * mean.square()  # (B,)
    # The slope of the bare root is infinite at 0. An image without error must give exactly 0, so
    # torch computes the root of EPS, too: not every CPU's kernel rounds as Python does.
    root = torch.full_like(squared, EPS).sqrt()
    images = weights.sum(1) / valid.flatten(1).sum(1).clamp(min=1)  # (B,)
    return _mean((squared + EPS).sqrt() - root, images)


LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor | None], Tensor]] = {
    'cross_entropy': cross_entropy,
    'l1': l1_normals,
    'balanced_bce': balanced_bce,
    'edge_bce': partial(balanced_bce, positive_weight=EDGE_WEIGHT),
    'scale_aware_log': scale_aware_log,
}
"""Losses by their names in the task table."""


def task_loss(task: Task, raw: Tensor, label: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the supervised loss of a task, without its weight.

    Args:
        task: Task; `task.loss` names the loss.
        raw: (B, task.channels, h, w) raw map of the network.
        label: (B, h, w), or (B, 3, h, w) for normals; 255 or NaN where unknown.
        weight: Weights of the pixels in the mean, (B, h, w) or (B, 1, 1); 1 if not given. Where
            all are 0, the loss is 0.

    Raises:
        ValueError: An unknown loss, or shapes that do not match.

    """
    if task.loss not in LOSSES:
        allowed = ', '.join(LOSSES)
        raise ValueError(f"task '{task.name}' asks for loss '{task.loss}', choose from: {allowed}")
    return LOSSES[task.loss](raw, label, weight)


def downsample_labels(task: Task, label: Tensor, stride: int) -> Tensor:
    """Return labels at a coarser resolution.

    Edges are one pixel wide, so a cell gets the maximum of its pixels; it is unknown if a pixel is
    and the maximum of the others is below 0.5. For other tasks the value in the middle of the cell
    is taken, so that nothing is interpolated.

    Args:
        task: Task.
        label: (B, H, W), or (B, 3, H, W) for normals.
        stride: Side of a cell [px]; must divide height and width.

    Returns:
        (B, H / stride, W / stride), or (B, 3, H / stride, W / stride) for normals.

    """
    if stride == 1:
        return label
    if task.name == 'edges':
        valid = _known(label)  # (B, H, W)
        edge = functional.max_pool2d(torch.where(valid, label, 0).float(), stride)
        unknown = functional.max_pool2d((~valid).float(), stride) > 0
        value = torch.nan if label.is_floating_point() else UNLABELLED
        return edge.masked_fill((edge < 0.5) & unknown, value).to(label.dtype)
    return label[..., stride // 2 :: stride, stride // 2 :: stride]


def downsample_weights(weight: Tensor, stride: int) -> Tensor:
    """Return weights of pixels at a coarser resolution: those in the middle of the cells.

    Args:
        weight: (B, H, W), or (B, 1, 1), which stays as it is.
        stride: Side of a cell [px].

    """
    if weight.shape[1:] == (1, 1):
        return weight
    return weight[:, stride // 2 :: stride, stride // 2 :: stride]


def _promote(raw: Tensor) -> Tensor:
    """Convert to float32 unless the precision is higher."""
    return raw.to(torch.promote_types(raw.dtype, torch.float32))


def _known(label: Tensor) -> Tensor:
    """Return where a label of saliency or edges is known."""
    return label.isfinite() if label.is_floating_point() else label != UNLABELLED


def _pixel_weights(valid: Tensor, like: Tensor, weight: Tensor | None) -> Tensor:
    """Return the weights of pixels in a mean, 0 where the label is unknown, (B, h, w)."""
    known = valid.to(torch.promote_types(like.dtype, torch.float32))
    return known if weight is None else known * weight


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean; 0, with a gradient of 0, where all weights are 0."""
    return (values * weights).sum() / _nonzero(weights.sum())


def _nonzero(total: Tensor) -> Tensor:
    return torch.where(total > 0, total, 1)


def _check_shapes(raw: Tensor, label: Tensor, channels: int | None = None) -> None:
    batch, have, *size = raw.shape
    expected = (batch, 3, *size) if channels == 3 else (batch, *size)
    if channels not in (None, have) or tuple(label.shape) != expected:
        raise ValueError(
            f'raw map {tuple(raw.shape)} and label {tuple(label.shape)} do not fit, expected '
            f'{channels or "any number of"} channels and label {expected}; resize one of them'
        )


# Distillation


@torch.no_grad()
def teacher_outputs(
    teacher: AdaptiveNetwork, images: Tensor, tasks: Iterable[str]
) -> dict[str, Tensor]:
    """Return the raw maps of a network with everything on, without gradient.

    Args:
        teacher: Network.
        images: (B, 3, H, W), normalized.
        tasks: Names of the tasks.

    """
    execution = PlannedExecution([uniform_plan(teacher.arch.depths)] * len(images))
    return teacher.forward_tokens(teacher.encoder.patch_embed(images), execution, tasks)


def distillation_loss(task: Task, raw: Tensor, teacher: Tensor) -> Tensor:
    """Return the difference of raw maps from those of a teacher, 0 where they are equal.

    Kullback-Leibler divergence of the probabilities for classes and masks, mean absolute
    difference for normals [1] and depth [log m].

    Args:
        task: Task.
        raw: (B, task.channels, h, w).
        teacher: Raw map of the teacher, of the same shape, without gradient.

    """
    raw, teacher = raw.float(), teacher.float()
    if task.kind is Kind.LABELS:
        log_p, log_q = (functional.log_softmax(x, 1) for x in (raw, teacher))
        return (log_q.exp() * (log_q - log_p)).sum(1).mean()
    if task.kind is Kind.PROBABILITY:
        target = teacher.sigmoid()
        bce = functional.binary_cross_entropy_with_logits
        return bce(raw, target) - bce(teacher, target)
    if task.kind is Kind.NORMALS:
        raw, teacher = (functional.normalize(x, dim=1, eps=1e-4) for x in (raw, teacher))
    return functional.l1_loss(raw, teacher)
