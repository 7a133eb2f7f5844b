# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The verb `adamtl play`: any picture, video, bag or webcam as a ROS camera."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from adamtl_ros.commands.options import add_source_options, source_from

if TYPE_CHECKING:
    import argparse


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    add_source_options(parser)
    add = parser.add_argument
    add(
        '--image', default='image', help='topic of the images; camera_info stands beside it (image)'
    )
    add('--frame-id', default='camera_optical_frame', help='frame of images that have none')
    add('--loop', action='store_true', help='begin again at the end; a picture always does')
    add(
        '--now', action='store_true', help='stamp messages of a bag with the time of now, as --loop'
    )
    add('--log', type=Path, help='CSV file to write: stamp and time of sending of each image')
    add('--wait', type=float, default=30.0, help='longest wait for a subscriber [s] (30)')


def run(options: argparse.Namespace) -> None:
    """Publish the images.

    Raises:
        ValueError: An input or a calibration that cannot be used.
        RuntimeError: Nobody subscribed in time.

    """
    from adamtl_ros.ros.player import play_camera

    source = source_from(options)
    with contextlib.suppress(KeyboardInterrupt):
        play_camera(
            source,
            image=options.image,
            frame_id=options.frame_id,
            loop=options.loop or source.count == 1,
            now=options.now,
            log=options.log,
            wait_s=options.wait,
        )
