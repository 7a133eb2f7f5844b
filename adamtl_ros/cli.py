# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The command `adamtl`: one verb for each thing that people do."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(args: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        args: Arguments; those of the process if not given.

    Returns:
        Exit status: 0, or 1 with a sentence on the standard error stream.

    """
    options = _parser().parse_args(args)
    try:
        options.run(options)
    except (ValueError, OSError, RuntimeError) as error:
        print(f'adamtl {options.verb}: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f'adamtl {options.verb}: stopped', file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog='adamtl', description=__doc__)
    verbs = parser.add_subparsers(dest='verb', metavar='verb', required=True)
    demo = verbs.add_parser('demo', help='play a camera bag through the node and draw the results')
    demo.set_defaults(run=_demo)
    demo.add_argument('--bag', type=Path, help='MCAP or SQLite3 bag; moving shapes if not given')
    demo.add_argument('--topic', default='', help='image topic of the bag; found if not given')
    demo.add_argument(
        '--out', type=Path, default=Path('demo_out'), help='folder for the results (demo_out)'
    )
    demo.add_argument('--color', action='store_true', help='record the color topics too')
    demo.add_argument(
        '-p',
        dest='parameters',
        action='append',
        default=[],
        metavar='NAME:=VALUE',
        help='parameter of the node, such as budget:=0.5; may be repeated',
    )
    return parser


def _demo(options: argparse.Namespace) -> None:
    try:
        from adamtl_ros.demo.main import run_demo
    except ModuleNotFoundError as error:
        raise RuntimeError(
            f"'{error.name}' is missing: the demo needs ROS 2, this package built in a workspace, "
            "av, matplotlib and tqdm; 'make demo' in a checkout sets all of it up"
        ) from error
    run_demo(
        options.bag,
        options.out,
        topic=options.topic,
        color=options.color,
        overrides=dict(_parameter(text) for text in options.parameters),
    )


def _parameter(text: str) -> tuple[str, str]:
    name, assigned, value = text.partition(':=')
    if not (name and assigned and value):
        raise ValueError(f"-p takes NAME:=VALUE, got '{text}'")
    return name, value
