# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The verb `adamtl draw-bag`: a synthetic room as a bag with ground truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    add = parser.add_argument
    add('bag', type=Path, help='folder of the new bag')
    add('--frames', type=int, default=150, help='number of frames at 15 Hz (150)')
    add('--seed', type=int, help='seed of a random room; the room of the demo if not given')
    add('--domain', default='room', help='room, or cellar: other textures, light, camera (room)')


def run(options: argparse.Namespace) -> None:
    """Write the bag.

    Raises:
        ValueError: A folder that exists, no frames, or an unknown domain.

    """
    from adamtl_ros.data.synthetic import RATE_HZ, write_synthetic_bag
    from adamtl_ros.scenes.compose import demo_scene, random_scene
    from adamtl_ros.scenes.domains import apply_domain

    if options.bag.exists():
        raise ValueError(f'{options.bag} exists already; choose another folder or remove it')
    if options.frames < 1:
        raise ValueError(f'--frames takes 1 or more, got {options.frames}')
    seconds = options.frames / RATE_HZ
    room = demo_scene(seconds) if options.seed is None else random_scene(options.seed)
    scene = apply_domain(room, options.domain)
    write_synthetic_bag(options.bag, scene, frames=options.frames, truth=True)
    print(f'in {options.bag}: {options.frames} images, and ground truth of all tasks')
