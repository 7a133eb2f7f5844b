# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The verb `adamtl import-mtlora`: convert a released MTLoRA checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    add = parser.add_argument
    add('file', type=Path, help='.pth file of MTLoRA or MTLoRA+')
    add('--out', type=Path, required=True, help='model file to write')
    add(
        '--input-size',
        type=int,
        nargs=2,
        default=(448, 448),
        metavar=('HEIGHT', 'WIDTH'),
        help='image size of the training (448 448)',
    )
    add('--scale', type=float, default=4.0, help='scale of the shared adapters (4)')
    add('--task-scale', type=float, default=4.0, help='scale of the task-specific adapters (4)')


def run(options: argparse.Namespace) -> None:
    """Convert, and print a summary."""
    size = (options.input_size[0], options.input_size[1])
    print(run_import(options.file, options.out, size, options.scale, options.task_scale))


def run_import(
    file: Path, out: Path, input_size: tuple[int, int], scale: float, task_scale: float
) -> str:
    """Convert a released checkpoint to a model file.

    Args:
        file: `.pth` file of MTLoRA or MTLoRA+.
        out: Model file to write.
        input_size: Height and width of the training images.
        scale: Scale of the adapters that all tasks share.
        task_scale: Scale of the task-specific adapters.

    Returns:
        A human-readable sentence.

    """
    from adamtl_ros.files import check_writable
    from adamtl_ros.nn.io.checkpoint import save_model
    from adamtl_ros.nn.io.convert import import_mtlora

    check_writable(out)
    model = import_mtlora(file, input_size, scale, task_scale)
    save_model(model, out)
    tasks, height, width = ', '.join(model.network.tasks), *input_size
    return f'{out}: {tasks} at {height}x{width}; its policy is {model.notes["policy"]}'
