# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The verb `adamtl train`: follow a recipe, or continue an interrupted training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from adamtl_ros.commands.options import add_recipe_options, recipe_from

if TYPE_CHECKING:
    import argparse


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    add_recipe_options(parser)
    parser.add_argument(
        '--out', type=Path, help='folder for checkpoint and model; runs/<name> if not given'
    )
    parser.add_argument(
        '--steps', type=int, help='number of steps to stop after; the next call continues'
    )


def run(options: argparse.Namespace) -> None:
    """Train, and print the folder of the model."""
    from adamtl_ros.training.run import train

    recipe = recipe_from(options)
    folder = options.out or Path('runs') / recipe.name
    model = train(recipe, folder, options.steps)
    print(f'in {folder}: {model.name if model else "a checkpoint; the same command continues"}')
