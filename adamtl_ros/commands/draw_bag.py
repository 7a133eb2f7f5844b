# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The verb `adamtl draw-bag`: a synthetic room as a bag with ground truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


CAMERAS = ('turning', 'walking', 'still')
MAX_RATE_HZ = 1000.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    add = parser.add_argument
    add('bag', type=Path, help='folder of the new bag')
    add('--frames', type=int, default=150, help='number of frames (150)')
    add('--rate', type=float, default=15.0, help='frame rate, Hz (15)')
    add('--seed', type=int, help='seed of a random room; the room of the demo if not given')
    add(
        '--camera',
        choices=CAMERAS,
        default=CAMERAS[0],
        help='turning, walking: carried around, or still: people move only (turning)',
    )
    add('--domain', default='room', help='room, or cellar: other textures, light, camera (room)')


def run(options: argparse.Namespace) -> None:
    """Write the bag.

    Raises:
        ValueError: A folder that exists, no frames, no frame rate, or an unknown domain.

    """
    from adamtl_ros.data.synthetic import write_synthetic_bag
    from adamtl_ros.scenes.compose import demo_scene, random_scene
    from adamtl_ros.scenes.domains import apply_domain

    if options.bag.exists():
        raise ValueError(f'{options.bag} exists already; choose another folder or remove it')
    if options.frames < 1:
        raise ValueError(f'--frames takes 1 or more, got {options.frames}')
    if not 0 < options.rate <= MAX_RATE_HZ:
        raise ValueError(f'--rate must lie in (0, {MAX_RATE_HZ:g}] Hz, got {options.rate:g}')
    seconds = options.frames / options.rate
    room = demo_scene(seconds) if options.seed is None else random_scene(options.seed)
    scene = apply_domain(room, options.domain)
    views = {
        'turning': scene.view,
        'walking': scene.view.walking(),
        'still': scene.view.still(seconds),
    }
    scene = replace(scene, view=views[options.camera])
    write_synthetic_bag(options.bag, scene, frames=options.frames, truth=True, rate=options.rate)
    print(f'in {options.bag}: {options.frames} images, and ground truth of all tasks')
