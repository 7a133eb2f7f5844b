# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The verb `adamtl demo`: a bag through the node, recorded and drawn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from adamtl_ros.commands.options import assignment

if TYPE_CHECKING:
    import argparse


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    add = parser.add_argument
    add('--bag', type=Path, help='MCAP or SQLite3 bag; a synthetic room if not given')
    add('--topic', default='', help='image topic of the bag; found if not given')
    add('--out', type=Path, default=Path('demo_out'), help='folder for the results (demo_out)')
    add('--color', action='store_true', help='record the color topics too')
    add(
        '--scenario',
        default='',
        help='battery and heat of a simulated device: a file, or a name such as glasses_in_summer',
    )
    add(
        '-p',
        dest='parameters',
        action='append',
        default=[],
        metavar='NAME:=VALUE',
        help='parameter of the node, such as budget:=0.5; may be repeated',
    )


def run(options: argparse.Namespace) -> None:
    """Run the demo."""
    from adamtl_ros.demo.main import run_demo

    run_demo(
        options.bag,
        options.out,
        topic=options.topic,
        color=options.color,
        overrides=dict(assignment(text, ':=', '-p') for text in options.parameters),
        scenario=options.scenario,
    )
