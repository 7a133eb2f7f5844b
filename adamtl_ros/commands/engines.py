# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The verb `adamtl engines`: time the engines of this machine on a model, and check them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    from adamtl_ros.nn.io.checkpoint import DEFAULT_WEIGHTS

    add = parser.add_argument
    help_ = f'file or name of a model ({DEFAULT_WEIGHTS})'
    add('model', nargs='?', default=DEFAULT_WEIGHTS, metavar='MODEL', help=help_)
    add('--adapter', type=Path, help='adapter file that `adamtl adapt` made for the model')
    add('--device', default='auto', help='torch device (auto: the GPU if there is one)')
    add('--threads', type=int, default=0, help='CPU threads (0: all cores but one)')


def run(options: argparse.Namespace) -> None:
    """Print the table by which a node with these options chooses, measured now.

    The choice is kept, so that the next node with this model and number of threads takes it.
    """
    print(engine_table(options.model, options.adapter, options.device, options.threads))


def engine_table(
    model: str, adapter: Path | None = None, device: str = 'auto', threads: int = 0
) -> str:
    """Return the table of the engines of this machine, measured now.

    Args:
        model: File or name of the model.
        adapter: Adapter file for the model; none if not given.
        device: Torch device, or 'auto'.
        threads: Number of CPU threads; 0 for all cores but one.

    """
    from adamtl_ros.nn.io.checkpoint import load_model
    from adamtl_ros.runtime.engine import Engine

    made = Engine(
        load_model(model, adapter),
        device,
        engine='auto',
        precision='auto',
        threads=threads,
        again=True,
    )
    assert made.selection is not None
    return made.selection.table()
