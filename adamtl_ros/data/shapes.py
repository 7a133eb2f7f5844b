# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A short bag of moving shapes, for a machine that has no recording at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer

from adamtl_ros.data.bags import CAMERA_INFO, COMPRESSED, typestore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from rosbags.typesys.store import Typestore

HEIGHT, WIDTH, RATE_HZ = 480, 640, 15
FOCAL_PX = 525.0


def write_shapes_bag(path: Path, frames: int = 150, seed: int = 0) -> None:
    """Write an MCAP bag with JPEG images of drifting shapes and their calibration.

    Args:
        path: Folder to make; must not exist.
        frames: Number of images, at 15 Hz.
        seed: The same seed gives the same images.

    """
    store = typestore()
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        image = writer.add_connection('/camera/image_raw/compressed', COMPRESSED, typestore=store)
        info = writer.add_connection('/camera/camera_info', CAMERA_INFO, typestore=store)
        for index, picture in enumerate(draw_shapes(frames, seed)):
            stamp = 1_700_000_000_000_000_000 + index * 1_000_000_000 // RATE_HZ
            header = store.types['std_msgs/msg/Header'](
                store.types['builtin_interfaces/msg/Time'](*divmod(stamp, 1_000_000_000)),
                'camera_optical_frame',
            )
            jpeg = cv2.imencode('.jpg', cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1]
            message = store.types[COMPRESSED](header, 'rgb8; jpeg compressed bgr8', jpeg.ravel())
            writer.write(image, stamp, store.serialize_cdr(message, COMPRESSED))
            calibration = _calibration(store, header)
            writer.write(info, stamp, store.serialize_cdr(calibration, CAMERA_INFO))


def draw_shapes(frames: int, seed: int = 0) -> Iterator[NDArray[np.uint8]]:
    """Draw RGB images of discs and boxes that drift and turn over a shaded background."""
    random = np.random.default_rng(seed)
    count = 12
    centre = random.uniform((0, 0), (WIDTH, HEIGHT), (count, 2))
    speed = random.uniform(-6, 6, (count, 2))
    size = random.uniform(20, 90, count)
    colour = random.integers(40, 256, (count, 3))
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    shade = (60 + 80 * rows / HEIGHT + 20 * np.sin(columns / 40)).astype(np.uint8)
    for frame in range(frames):
        image = np.dstack([shade, np.roll(shade, 2 * frame, 1), 255 - shade])
        for index in range(count):
            x, y = (centre[index] + speed[index] * frame) % (WIDTH, HEIGHT)
            _draw(image, index % 2 == 0, (x, y), size[index], 3 * frame + 40 * index, colour[index])
        yield image


def _draw(
    image: NDArray[np.uint8],
    disc: bool,
    centre: tuple[float, float],
    size: float,
    angle: float,
    colour: NDArray[np.int64],
) -> None:
    shade = tuple(int(value) for value in colour)
    if disc:
        cv2.circle(image, (int(centre[0]), int(centre[1])), int(size), shade, -1, cv2.LINE_AA)
    else:
        corners = cv2.boxPoints((centre, (2 * size, size), angle)).astype(np.int32)
        cv2.fillConvexPoly(image, corners, shade, cv2.LINE_AA)


def _calibration(store: Typestore, header: object) -> object:
    fx, cx, cy = FOCAL_PX, WIDTH / 2, HEIGHT / 2
    roi = store.types['sensor_msgs/msg/RegionOfInterest'](0, 0, 0, 0, False)
    return store.types[CAMERA_INFO](
        header=header,
        height=HEIGHT,
        width=WIDTH,
        distortion_model='plumb_bob',
        d=np.zeros(5),
        k=np.array([fx, 0, cx, 0, fx, cy, 0, 0, 1]),
        r=np.eye(3).ravel(),
        p=np.array([fx, 0, cx, 0, 0, fx, cy, 0, 0, 0, 1, 0]),
        binning_x=0,
        binning_y=0,
        roi=roi,
    )
