# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The verb `adamtl doctor`: what is wrong with machine, middleware or camera, and what to do."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from adamtl_ros.commands.options import add_model_option

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from adamtl_ros.doctor.finding import Finding


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    add_model_option(parser)
    add = parser.add_argument
    add('--device', default='auto', help="torch device, or 'auto' (auto)")
    add('--threads', type=int, default=0, help='CPU threads; 0: all cores but one (0)')
    add('--image', default='/image', help='image topic of the camera, without /compressed (/image)')
    add('--node', default='/adamtl', help='full name of the perception node (/adamtl)')
    add('--seconds', type=float, default=4.0, help='time to listen to the camera [s] (4)')
    add('--no-ros', dest='ros', action='store_false', help='check the machine only')


def run(options: argparse.Namespace) -> int:
    """Print the findings.

    Returns:
        1 if one of them is an error, else 0.

    """
    from adamtl_ros.doctor.finding import Level

    levels = []
    for finding in _findings(options):
        print(finding, flush=True)
        levels.append(finding.level)
    counts = ', '.join(f'{levels.count(level)} {level.value}' for level in Level)
    print(counts)
    return int(Level.ERROR in levels)


def _findings(options: argparse.Namespace) -> Iterator[Finding]:
    from adamtl_ros.doctor.finding import error, warn
    from adamtl_ros.doctor.machine import check_machine

    yield from check_machine(options.model, options.device, options.threads)
    if not options.ros:
        return
    if not find_spec('rclpy'):
        yield warn('ROS', 'rclpy is missing', 'source the setup file of ROS 2, or see make setup')
    elif not find_spec('adamtl_ros.msg'):
        fix = 'build the package with colcon and source install/setup.bash, or see make setup'
        yield error('ROS', 'the messages of adamtl_ros are not built', fix)
    else:
        from adamtl_ros.doctor.graph import check_camera, check_dds

        yield from check_dds()
        yield from check_camera(options.image, options.node, options.seconds)
