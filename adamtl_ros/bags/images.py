# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Image messages to arrays, for the node as for bags; needs no ROS.

A message is any object with the fields of `sensor_msgs/Image` or `sensor_msgs/CompressedImage`:
those of rclpy and of rosbags alike.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from rosbags.image import ImageError as RosbagsImageError
from rosbags.image.image import convert_color, to_cvtype

from adamtl_ros.labels import (
    binary_mask,
    class_ids,
    depth_from_millimeters,
    unit_vectors,
    valid_depth,
)
from adamtl_ros.sample import DataError
from adamtl_ros.tasks import UNLABELLED, Kind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from adamtl_ros.tasks import Task

try:
    import simplejpeg
except ImportError:  # as in a ROS installation, where no rosdep key gives it
    simplejpeg = None

CAMERA_ENCODINGS = (
    *('rgb8', 'bgr8', 'rgba8', 'bgra8', 'mono8', 'mono16', 'rgb16', 'bgr16', 'rgba16', 'bgra16'),
    *('yuv422', 'uyvy', 'yuv422_yuy2', 'yuyv'),
    *('bayer_rggb8', 'bayer_bggr8', 'bayer_gbrg8', 'bayer_grbg8'),
    *('bayer_rggb16', 'bayer_bggr16', 'bayer_gbrg16', 'bayer_grbg16'),
)
"""Encodings that `decode_image` reads; depth, float and label images are not camera images."""
LABEL_ENCODINGS = {
    Kind.LABELS: ('mono8', '8UC1'),
    Kind.PROBABILITY: ('mono8', '8UC1'),
    Kind.NORMALS: ('32FC3',),
    Kind.DEPTH: ('32FC1', '16UC1', 'mono16'),
}
"""Encodings of ground truth by kind of task; 16 bits of depth are millimeters, 65535 unknown."""
JPEG_START, JPEG_END = b'\xff\xd8', b'\xff\xd9'
EXIF, EXIF_END = b'Exif\0\0', 4096
"""Begin of Exif data, which comes before the picture, and number of bytes that are searched."""


class ImageError(ValueError):
    """Image message that cannot be decoded."""


def decode_image(message: Any) -> NDArray[np.uint8]:
    """Decode a camera image.

    Args:
        message: Raw image in one of `CAMERA_ENCODINGS`, rows padded or not, of either byte
            order; or a compressed image in a format that OpenCV reads.

    Returns:
        (H, W, 3) uint8, RGB, writable. For `rgb8` it may share the memory of the message.

    Raises:
        ImageError: Unknown encoding, no pixels, less data than the size requires, or a JPEG
            that is cut off.

    """
    if hasattr(message, 'format'):
        return _decompress_rgb(message)
    if message.encoding not in CAMERA_ENCODINGS:
        known = ', '.join(CAMERA_ENCODINGS)
        raise ImageError(f"encoding '{message.encoding}' is not a camera image; known are: {known}")
    pixels = _raw_pixels(message)
    try:
        image = convert_color(pixels, message.encoding, 'rgb8')
    except (cv2.error, RosbagsImageError) as error:
        size = f'{message.width}x{message.height}'
        raise ImageError(f"{size} '{message.encoding}': {error}") from error
    # The data of a message from a bag cannot be written to.
    return image if image.flags.writeable else image.copy()


def decode_label(message: Any, task: Task) -> NDArray[Any]:
    """Decode ground truth.

    Args:
        message: Raw image in one of `LABEL_ENCODINGS`, or a lossless compressed image.
        task: Task with the class names that the ids refer to.

    Returns:
        Label in the form that `Sample` describes, in the size of the message.

    Raises:
        ImageError: Less data than the size requires, or bytes that are no image.
        DataError: An encoding or values that this task cannot have.

    """
    pixels = read_label(message, task)
    if task.kind is Kind.LABELS:
        return class_ids(pixels, len(task.classes), f'{task.name} (else name its classes)')
    if task.kind is Kind.NORMALS:
        return unit_vectors(pixels)
    if task.kind is Kind.DEPTH:
        return decode_depth(pixels)
    if (pixels == 1).any() and np.isin(pixels, (0, 1, UNLABELLED)).all():
        return pixels.copy()
    return binary_mask(pixels)


def read_label(message: Any, task: Task) -> NDArray[Any]:
    """Return the pixels of ground truth as they are stored; see `decode_label()`."""
    encoding, pixels = _lossless(message) if hasattr(message, 'format') else ('', None)
    encoding = encoding or message.encoding
    if encoding not in LABEL_ENCODINGS[task.kind]:
        allowed = ', '.join(LABEL_ENCODINGS[task.kind])
        raise DataError(f"{task.name} has the encoding '{encoding}', allowed are: {allowed}")
    return _raw_pixels(message) if pixels is None else pixels


def decode_depth(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Return a depth image in meters, NaN = unknown, from float32 meters or uint16 millimeters."""
    return valid_depth(pixels) if pixels.dtype == np.float32 else depth_from_millimeters(pixels)


def _raw_pixels(message: Any) -> NDArray[Any]:
    """Return the pixels of a raw image, (H, W) or (H, W, C), native byte order, no padding."""
    _, _, kind, channels = to_cvtype(message.encoding)
    dtype = np.dtype(kind).newbyteorder('>' if message.is_bigendian else '<')
    rows = _rows(message, message.width * channels * dtype.itemsize)
    pixels = np.ascontiguousarray(rows).view(dtype).astype(kind, copy=False)
    return pixels if channels == 1 else pixels.reshape(message.height, message.width, channels)


def _rows(message: Any, width: int) -> NDArray[np.uint8]:
    """Return the rows of a raw image without padding, (height, width) bytes."""
    if not message.height or not message.width:
        raise ImageError(f'image of {message.width}x{message.height} pixels has none')
    if message.step < width:
        raise ImageError(f'step {message.step} is less than the {width} bytes of a row')
    needed = message.step * message.height
    if len(message.data) < needed:
        raise ImageError(
            f'{len(message.data)} bytes of data are less than step * height = '
            f'{message.step} * {message.height} = {needed}'
        )
    data = np.frombuffer(message.data, np.uint8, needed)
    return data.reshape(message.height, message.step)[:, :width]


def _decompress_rgb(message: Any) -> NDArray[np.uint8]:
    """Return a compressed camera image as RGB.

    simplejpeg takes less than half of OpenCV's time for a JPEG. It knows nothing of Exif, which
    may say that the picture is to be turned, and leaves some color spaces and damages to OpenCV.
    """
    data = bytes(message.data)
    if simplejpeg and data.startswith(JPEG_START) and EXIF not in data[:EXIF_END]:
        _check_jpeg(np.frombuffer(data, np.uint8))
        with contextlib.suppress(ValueError):
            image: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, 'RGB')
            return image
    return cv2.cvtColor(_decompress(message, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def _decompress(message: Any, flags: int, offset: int = 0) -> NDArray[Any]:
    """Return what OpenCV reads from a compressed image, from a byte on."""
    data = np.frombuffer(message.data, np.uint8)[offset:]
    _check_jpeg(data)
    image = cv2.imdecode(data, flags) if data.size else None
    if image is None:
        raise ImageError(f"{data.size} bytes of format '{message.format}' are not a whole image")
    return image


def _check_jpeg(data: NDArray[np.uint8]) -> None:
    """Refuse a JPEG that was cut off; OpenCV fills what is missing with gray.

    Cameras that write into buffers of a fixed size pad with zeros.
    """
    if data[:2].tobytes() != JPEG_START:
        return
    if not data.tobytes().rstrip(b'\0').endswith(JPEG_END):
        raise ImageError(f'{data.size} bytes of JPEG are cut off: no end-of-image marker')


def _lossless(message: Any) -> tuple[str, NDArray[Any]]:
    """Return the encoding and the pixels of a compressed label."""
    if bytes(message.data[:2]) == JPEG_START:
        raise DataError(f"'{message.format}' loses what labels say; record them raw or as PNG")
    offset = 0
    if 'compressedDepth' in message.format:
        if '16UC1' not in message.format:
            raise DataError(f"'{message.format}' is quantized; record depth raw or as 16UC1")
        offset = 12  # quantization parameters of image_transport, for 32FC1 only
    pixels = _decompress(message, cv2.IMREAD_UNCHANGED, offset)
    names = {('uint8', 2): 'mono8', ('uint16', 2): '16UC1', ('uint8', 3): 'bgr8'}
    return names.get((pixels.dtype.name, pixels.ndim), f'{pixels.dtype} {pixels.shape}'), pixels
