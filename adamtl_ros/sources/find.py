# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Choice of the source for what a person names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from adamtl_ros.sources.frame import SourceError
from adamtl_ros.sources.pictures import PICTURES_HZ, Pictures, folder_pictures, is_picture
from adamtl_ros.sources.recording import Recording
from adamtl_ros.sources.video import Camera, Video

if TYPE_CHECKING:
    from adamtl_ros.sources.frame import Source

KINDS = 'a picture, a folder, a video, a bag, the number of a webcam, or an address such as rtsp://'
BAG_FILES = ('.mcap', '.db3')


def open_source(text: str, topic: str = '', rate_hz: float = 0.0) -> Source:
    """Find out what an input is and open it.

    Args:
        text: Picture, folder of pictures, video file, bag, number or device of a webcam, or the
            address of a stream.
        topic: Image topic of a bag; found by type if empty.
        rate_hz: Pictures per second of a folder; 0: `PICTURES_HZ`.

    Raises:
        SourceError: None of them.
        BagError: A bag that cannot be read.

    """
    if text.isdecimal() or text.startswith('/dev/video') or _is_address(text):
        return Camera(text)
    path = Path(text.removeprefix('file://')).expanduser()
    if not path.exists():
        raise SourceError(f"'{text}': no such file or folder; give {KINDS}")
    if is_bag(path):
        return Recording(path, topic)
    rate_hz = rate_hz or PICTURES_HZ
    if path.is_dir():
        return folder_pictures(path, rate_hz)
    if is_picture(path):
        return Pictures([path], path.name, rate_hz)
    return Video(str(path))


def is_bag(path: Path) -> bool:
    """Return whether a path is a ROS 2 bag: a file of one, or a folder with such files."""
    if path.is_dir():
        return any(next(path.glob(f'*{suffix}'), None) for suffix in BAG_FILES)
    return path.suffix in BAG_FILES


def _is_address(text: str) -> bool:
    return '://' in text and not text.startswith('file://')
