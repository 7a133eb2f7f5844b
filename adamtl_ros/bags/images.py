# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Image messages of a bag to arrays, without ROS."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from rosbags.image import image_to_cvimage
from rosbags.image.image import to_cvtype

from adamtl_ros.bags.reader import header_stamp, open_bag
from adamtl_ros.labels import binary_mask, class_ids, unit_vectors, valid_depth
from adamtl_ros.sample import DataError
from adamtl_ros.tasks import UNLABELLED, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from adamtl_ros.bags.reader import CameraTopics
    from adamtl_ros.tasks import Task

ALLOWED = {
    Kind.LABELS: ('mono8', '8UC1'),
    Kind.PROBABILITY: ('mono8', '8UC1'),
    Kind.NORMALS: ('32FC3',),
    Kind.DEPTH: ('32FC1', '16UC1', 'mono16'),
}
"""Encodings of ground truth by kind of task; 16 bits of depth are millimetres."""
Message = Any
"""What rosbags makes of an `Image` or `CompressedImage`: a class of its own for each bag."""


def read_images(path: Path, camera: CameraTopics) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield the header stamp [ns] and the pixels (RGB) of each image of a camera in a bag."""
    with open_bag(path) as reader:
        wanted = [c for c in reader.connections if c.topic == camera.image]
        for connection, _, raw in reader.messages(wanted):
            yield header_stamp(raw), to_rgb(reader.deserialize(raw, connection.msgtype))


def to_rgb(message: Message) -> NDArray[np.uint8]:
    """Return the pixels of a camera image, raw or compressed, (H, W, 3) RGB.

    Raises:
        DataError: Bytes that are no image.
        ImageError: An encoding that rosbags-image cannot turn into RGB.

    """
    if hasattr(message, 'format'):
        _check_jpeg(message.data)
        image = cv2.imdecode(message.data, cv2.IMREAD_COLOR) if message.data.size else None
        if image is None:
            raise DataError(f"{message.data.size} bytes of '{message.format}' are not an image")
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    pixels = _pixels(message)
    size = {'height': message.height, 'width': message.width, 'encoding': message.encoding}
    plain = SimpleNamespace(**size, is_bigendian=sys.byteorder == 'big', data=pixels)
    # A copy, since the data of a message cannot be written to.
    return np.array(image_to_cvimage(plain, 'rgb8'))


def _check_jpeg(data: NDArray[np.uint8]) -> None:
    """Refuse a JPEG that was cut off; OpenCV fills what is missing with grey."""
    text = data[:2].tobytes() + data[-16:].tobytes().rstrip(b'\0')
    if text.startswith(b'\xff\xd8') and not text.endswith(b'\xff\xd9'):
        raise DataError(f'{data.size} bytes of JPEG are cut off: no end-of-image marker')


def to_label(message: Message, task: Task) -> NDArray[Any]:
    """Return a label in the form that `Sample` says, in its own size.

    Raises:
        DataError: Bytes that are no image, or an encoding that this task cannot have.

    """
    encoding, pixels = _lossless(message) if hasattr(message, 'format') else ('', None)
    encoding = encoding or message.encoding
    if encoding not in ALLOWED[task.kind]:
        allowed = ', '.join(ALLOWED[task.kind])
        raise DataError(f"{task.name} has the encoding '{encoding}', allowed are: {allowed}")
    pixels = _pixels(message) if pixels is None else pixels
    if task.kind is Kind.LABELS:
        return class_ids(pixels, len(task.classes), f'{task.name} (else name its classes)')
    if task.kind is Kind.NORMALS:
        return unit_vectors(pixels)
    if task.kind is Kind.DEPTH:
        # In single precision the quotient of whole numbers is still the nearest one.
        return valid_depth(
            pixels if pixels.dtype == np.float32 else np.divide(pixels, 1000, dtype=np.float32)
        )
    if (pixels == 1).any() and np.isin(pixels, (0, 1, UNLABELLED)).all():
        return pixels
    return binary_mask(pixels)


def _lossless(message: Message) -> tuple[str, NDArray[Any]]:
    """Return the encoding and the pixels of a compressed label."""
    data = message.data
    if data[:2].tobytes() == b'\xff\xd8':
        raise DataError(f"'{message.format}' loses what labels say; record them raw or as PNG")
    if 'compressedDepth' in message.format:
        data = data[12:]  # how image_transport quantised it, for 32FC1 only
        if '16UC1' not in message.format:
            raise DataError(f"'{message.format}' is quantised; record depth raw or as 16UC1")
    pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if pixels is None:
        raise DataError(f"{data.size} bytes of '{message.format}' are not an image")
    kinds = {('uint8', 2): 'mono8', ('uint16', 2): '16UC1', ('uint8', 3): 'bgr8'}
    return kinds.get((pixels.dtype.name, pixels.ndim), f'{pixels.dtype} {pixels.shape}'), pixels


def _pixels(message: Message) -> NDArray[Any]:
    """Return the pixels of a raw image in the byte order of this machine, without padding."""
    _, _, kind, channels = to_cvtype(message.encoding)
    dtype = np.dtype(kind).newbyteorder('>' if message.is_bigendian else '<')
    height, row = message.height, message.width * channels * dtype.itemsize
    if not height or not row or message.step < row or message.data.size < height * message.step:
        raise DataError(
            f'{message.data.size} bytes are no {message.width}x{height} pixels of '
            f"'{message.encoding}' in rows of {message.step} bytes"
        )
    rows = message.data[: height * message.step].reshape(height, message.step)[:, :row]
    pixels = np.ascontiguousarray(rows).view(dtype).astype(kind)
    return pixels if channels == 1 else pixels.reshape(height, message.width, channels)
