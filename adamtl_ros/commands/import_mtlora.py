# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What `adamtl import-mtlora` does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adamtl_ros.nn.io.checkpoint import save_model
from adamtl_ros.nn.io.convert import import_mtlora

if TYPE_CHECKING:
    from pathlib import Path


def run_import(
    file: Path, out: Path, input_size: tuple[int, int], scale: float, task_scale: float
) -> str:
    """Make a model of ours of a released checkpoint.

    Args:
        file: `.pth` file of MTLoRA or MTLoRA+.
        out: Model file to write.
        input_size: Height and width that the network was trained for.
        scale: Of the adapters that all tasks share.
        task_scale: Of those of each task.

    Returns:
        A sentence for people.

    """
    model = import_mtlora(file, input_size, scale, task_scale)
    save_model(model, out)
    tasks, height, width = ', '.join(model.network.tasks), *input_size
    return f'{out}: {tasks} at {height}x{width}; its policy is {model.notes["policy"]}'
