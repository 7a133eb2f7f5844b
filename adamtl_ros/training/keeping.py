# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Holding tasks without labels to what they answered before.

The shared pairs change the features of every task, so those that nobody labelled would drift.
What the base says of the same image serves them as a label (Li and Hoiem 2016, "Learning without
Forgetting").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from adamtl_ros.nn.execution import PlannedExecution
from adamtl_ros.nn.plan import uniform_plan
from adamtl_ros.tasks import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from adamtl_ros.nn.network import AdaptiveNetwork
    from adamtl_ros.tasks import Task


@torch.no_grad()
def answers(network: AdaptiveNetwork, images: Tensor, tasks: Iterable[str]) -> dict[str, Tensor]:
    """Return the raw maps of tasks with everything on, without gradients."""
    execution = PlannedExecution([uniform_plan(network.arch.depths)] * len(images))
    return network.decode(network.encoder.patch_embed(images), execution, tasks)


def drift(task: Task, raw: Tensor, before: Tensor) -> Tensor:
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
