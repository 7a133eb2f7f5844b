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

from adamtl_ros.bags.image_size import MAX_SCANS, image_size, jpeg_scans
from adamtl_ros.labels import (
    binary_mask,
    class_ids,
    depth_from_millimeters,
    unit_vectors,
    valid_depth,
)
from adamtl_ros.sample import DataError
from adamtl_ros.tasks import UNLABELLED, Kind
from adamtl_ros.text import one_line, quote

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
MAX_MEGAPIXELS = 100.0
"""Largest image that is decoded, if nothing else is said [megapixels]."""
JPEG_START, JPEG_END = b'\xff\xd8', b'\xff\xd9'
EXIF, EXIF_END = b'Exif\0\0', 4096
"""Begin of Exif data, which comes before the picture, and number of bytes that are searched."""


class ImageError(ValueError):
    """Image message that cannot be decoded."""


def decode_image(message: Any, max_megapixels: float = MAX_MEGAPIXELS) -> NDArray[np.uint8]:
    """Decode a camera image.

    Args:
        message: Raw image in one of `CAMERA_ENCODINGS`, rows padded or not, of either byte
            order; or a compressed image, in one of the formats of `image_size`.
        max_megapixels: Size above which an image is refused before it is decoded.

    Returns:
        (H, W, 3) uint8, RGB, writable. For `rgb8` it may share the memory of the message.

    Raises:
        ImageError: Unknown encoding, no pixels, too many pixels, less data than the size
            requires, or a JPEG that is cut off.

    """
    if hasattr(message, 'format'):
        return _decompress_rgb(message, max_megapixels)
    if message.encoding not in CAMERA_ENCODINGS:
        known = ', '.join(CAMERA_ENCODINGS)
        raise ImageError(
            f'encoding {quote(message.encoding)} is not a camera image; known are: {known}'
        )
    pixels = _raw_pixels(message)
    _check_size(pixels.shape[:2], max_megapixels)
    try:
        image = convert_color(pixels, message.encoding, 'rgb8')
    except (cv2.error, RosbagsImageError) as error:
        size = f'{message.width}x{message.height}'
        raise ImageError(f"{size} '{message.encoding}': {one_line(error)}") from error
    # The data of a message from a bag cannot be written to.
    return image if image.flags.writeable else image.copy()


def decode_stored(message: Any) -> NDArray[Any] | None:
    """Return a compressed image with the channels and the type that it has; None if damaged."""
    try:
        data = _checked(message, 0, MAX_MEGAPIXELS)
        return _decompress(data, message, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH)
    except ImageError:
        return None


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
        raise DataError(f'{task.name} has the encoding {quote(encoding)}, allowed are: {allowed}')
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


def _decompress_rgb(message: Any, max_megapixels: float) -> NDArray[np.uint8]:
    """Return a compressed camera image as RGB.

    simplejpeg takes less than half of OpenCV's time for a JPEG. It knows nothing of Exif, which
    may say that the picture is to be turned, and leaves some color spaces and damages to OpenCV.
    """
    data = _checked(message, 0, max_megapixels)
    if simplejpeg and data.startswith(JPEG_START) and EXIF not in data[:EXIF_END]:
        with contextlib.suppress(ValueError):
            image: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, 'RGB')
            return image
    return cv2.cvtColor(_decompress(data, message, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def _checked(message: Any, offset: int, max_megapixels: float) -> bytes:
    """Return the data of a compressed image from a byte on, if it may be decoded."""
    data = bytes(memoryview(message.data)[offset:])
    if data.startswith(JPEG_START):
        _check_jpeg(data)
    size = image_size(data)
    if size is None:
        raise _not_whole(data, message)
    _check_size(size, max_megapixels)
    return data


def _decompress(data: bytes, message: Any, flags: int) -> NDArray[Any]:
    """Return what OpenCV reads from the data of a compressed image."""
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise ImageError(f'{len(data)} bytes cannot be decoded: {one_line(error)}') from error
    if image is None:
        raise _not_whole(data, message)
    return image


def _not_whole(data: bytes, message: Any) -> ImageError:
    return ImageError(f'{len(data)} bytes of format {quote(message.format)} are not a whole image')


def _check_size(size: tuple[int, int], max_megapixels: float) -> None:
    """Refuse an image of more pixels than are allowed, before there is memory for them."""
    height, width = size
    if height * width > max_megapixels * 1e6:
        raise ImageError(
            f'image of {width}x{height} pixels has {height * width / 1e6:.1f} megapixels, '
            f'max_megapixels allows {max_megapixels:g}'
        )


def _check_jpeg(data: bytes) -> None:
    """Refuse a JPEG that was cut off, which OpenCV fills with gray, or that takes minutes.

    Cameras that write into buffers of a fixed size pad with zeros.
    """
    if not data.rstrip(b'\0').endswith(JPEG_END):
        raise ImageError(f'{len(data)} bytes of JPEG are cut off: no end-of-image marker')
    if (scans := jpeg_scans(data)) > MAX_SCANS:
        raise ImageError(f'JPEG with {scans} scans; {MAX_SCANS} are allowed')


def _lossless(message: Any) -> tuple[str, NDArray[Any]]:
    """Return the encoding and the pixels of a compressed label."""
    if bytes(message.data[:2]) == JPEG_START:
        raise DataError(f'{quote(message.format)} loses what labels say; record raw or as PNG')
    offset = 0
    if 'compressedDepth' in message.format:
        if '16UC1' not in message.format:
            raise DataError(f'{quote(message.format)} is quantized; record depth raw or as 16UC1')
        offset = 12  # quantization parameters of image_transport, for 32FC1 only
    data = _checked(message, offset, MAX_MEGAPIXELS)
    pixels = _decompress(data, message, cv2.IMREAD_UNCHANGED)
    names = {('uint8', 2): 'mono8', ('uint16', 2): '16UC1', ('uint8', 3): 'bgr8'}
    return names.get((pixels.dtype.name, pixels.ndim), f'{pixels.dtype} {pixels.shape}'), pixels
