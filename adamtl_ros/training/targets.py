# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Labels at the resolution at which predictions are compared with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

    from adamtl_ros.tasks import Task


def reduced(task: Task, label: Tensor, stride: int) -> Tensor:
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
