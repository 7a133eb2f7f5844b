# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Camera of a bag as a source."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING

from adamtl_ros.bags.images import ImageError, decode_image
from adamtl_ros.bags.reader import find_camera, first_calibration, header_stamp, open_bag
from adamtl_ros.sources.calibration import from_info
from adamtl_ros.sources.frame import Frame, Source, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Recording(Source):
    """Camera of a ROS 2 bag, with its calibration; stamps are those of the headers."""

    def __init__(self, path: Path, topic: str = '') -> None:
        """Find the camera.

        Args:
            path: Folder of the bag, or a file of it.
            topic: Image topic; found by type if empty.

        Raises:
            BagError: The bag cannot be read, or has no camera.

        """
        self.path, self.camera = path, find_camera(path, topic)
        super().__init__(f'{path} {self.camera.image}')
        self.count = self.camera.frames
        seconds = self.camera.duration_s
        self.rate_hz = (self.count - 1) / seconds if self.count > 1 and seconds > 0 else math.nan
        with open_bag(path) as reader:
            info = first_calibration(reader, self.camera.info)
        self.calibration = from_info(info) if info is not None else None

    def frames(self) -> Iterator[Frame]:
        """Yield the images; one that cannot be decoded is left out.

        Raises:
            SourceError: None can be decoded.

        """
        self.skipped, given = [], False
        with open_bag(self.path) as reader:
            connections = [c for c in reader.connections if c.topic == self.camera.image]
            for connection, time_ns, raw in reader.messages(connections):
                try:
                    image = decode_image(reader.deserialize(raw, connection.msgtype))
                    frame = Frame(image, header_stamp(raw))
                except (ImageError, struct.error, IndexError) as error:  # noqa: PERF203
                    self.skipped.append(f'image at {time_ns} ns: {error}')
                else:
                    given = True
                    yield frame
        if not given:
            raise SourceError(f'{self.name}: no image can be decoded; {self.skipped[:1]}')
