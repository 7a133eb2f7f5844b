# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Camera messages to RGB arrays, results to messages, and scaling of the calibration."""

from __future__ import annotations

import copy
import sys
from functools import lru_cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage, Image

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from sensor_msgs.msg import CameraInfo
    from std_msgs.msg import Header


def is_calibrated(info: CameraInfo) -> bool:
    """Return whether the intrinsic matrix is known; drivers send zeros otherwise (REP-104)."""
    return bool(info.k[0])


def scaled(info: CameraInfo, header: Header, y: float, x: float) -> CameraInfo:
    """Return the calibration of a resized image.

    As in image_proc, the size, K, P and the region of interest are scaled; D and R stay, and so
    does the binning, which relates the driver's image to the sensor.

    Args:
        info: Calibration of the input image.
        header: Header of the input image.
        y: Ratio of the heights, result over image.
        x: Ratio of the widths, result over image.

    """
    result = copy.deepcopy(info)
    result.header = header
    if (y, x) != (1, 1):
        _scale(result, y, x)
    return result


def _scale(info: CameraInfo, y: float, x: float) -> None:
    info.height, info.width = round(info.height * y), round(info.width * x)
    for matrix, columns in ((info.k, 3), (info.p, 4)):
        matrix[:columns] *= x
        matrix[columns : 2 * columns] *= y
    roi = info.roi
    roi.x_offset, roi.width = round(roi.x_offset * x), round(roi.width * x)
    roi.y_offset, roi.height = round(roi.y_offset * y), round(roi.height * y)


# Bytes of a pixel by encoding: what cameras send. Depth, float and label images are not input.
PIXEL_BYTES = {
    'rgb8': 3, 'bgr8': 3, 'rgba8': 4, 'bgra8': 4, 'mono8': 1, 'mono16': 2,
    'rgb16': 6, 'bgr16': 6, 'yuv422': 2, 'uyvy': 2, 'yuv422_yuy2': 2, 'yuyv': 2,
    'bayer_rggb8': 1, 'bayer_bggr8': 1, 'bayer_gbrg8': 1, 'bayer_grbg8': 1,
    'bayer_rggb16': 2, 'bayer_bggr16': 2, 'bayer_gbrg16': 2, 'bayer_grbg16': 2,
}  # fmt: skip


class ImageError(ValueError):
    """An image message that cannot be read."""


def to_rgb(msg: Image | CompressedImage) -> NDArray[np.uint8]:
    """Read a camera image.

    Args:
        msg: Raw image in any encoding of `PIXEL_BYTES`, with padded rows or big-endian if need
            be, or a compressed one that OpenCV can decode.

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        ImageError: Unknown encoding, no pixels, or less data than the size asks for.

    """
    if isinstance(msg, CompressedImage):
        return _decompress(msg)
    rows = _rows(msg)
    if msg.encoding == 'rgb8':
        return np.ascontiguousarray(rows).reshape(msg.height, msg.width, 3)
    return _convert(msg, rows)


def to_message(array: NDArray[np.generic], encoding: str, header: Header) -> Image:
    """Wrap a result as an image message.

    Args:
        array: Result, (H, W) or (H, W, channels), as the encoding requires.
        encoding: Encoding of the message.
        header: Header of the input image, not copied.

    """
    msg = Image()
    array = np.ascontiguousarray(array)
    msg.header = header
    msg.height, msg.width = array.shape[:2]
    msg.encoding = encoding
    msg.is_bigendian = int(sys.byteorder == 'big')
    msg.step = array.strides[0]
    # Appending bytes takes 0.4 ms for full HD; assigning the array itself takes 467 ms.
    msg.data.frombytes(array.data.cast('B'))
    return msg


def _rows(msg: Image) -> NDArray[np.uint8]:
    """Return the pixel bytes, (height, bytes of a row), without the padding of the rows."""
    if msg.encoding not in PIXEL_BYTES:
        allowed = ', '.join(PIXEL_BYTES)
        raise ImageError(f"encoding '{msg.encoding}' is not a camera image; known are: {allowed}")
    width = msg.width * PIXEL_BYTES[msg.encoding]
    if not msg.height or not msg.width:
        raise ImageError(f'image of {msg.width}x{msg.height} pixels has none')
    if msg.step < width:
        raise ImageError(f'step {msg.step} is less than the {width} bytes of a row')
    if len(msg.data) < msg.step * msg.height:
        raise ImageError(
            f'{len(msg.data)} bytes of data are less than step * height = '
            f'{msg.step} * {msg.height} = {msg.step * msg.height}'
        )
    data = np.frombuffer(msg.data, np.uint8, msg.step * msg.height)
    return data.reshape(msg.height, msg.step)[:, :width]


def _convert(msg: Image, rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Turn the rows into RGB with cv_bridge where it works, else with rosbags-image."""
    sixteen = msg.encoding.endswith('16')
    pixels = np.ascontiguousarray(rows)
    if sixteen and bool(msg.is_bigendian) != (sys.byteorder == 'big'):
        pixels = pixels.view(np.uint16).byteswap().view(np.uint8)
    plain = SimpleNamespace(
        height=msg.height,
        width=msg.width,
        encoding=msg.encoding,
        is_bigendian=int(sys.byteorder == 'big'),
        step=pixels.shape[1],
        data=pixels,
    )
    try:
        return converter()(plain)
    except (cv2.error, RuntimeError, ValueError) as error:
        raise ImageError(f"{msg.width}x{msg.height} '{msg.encoding}': {error}") from error


@lru_cache(maxsize=1)
def converter() -> Callable[[Any], NDArray[np.uint8]]:
    """Return cv_bridge's conversion to RGB if it works here, else that of rosbags-image.

    cv_bridge built for numpy 1 imports beside numpy 2 and then fails, hence the trial.

    Raises:
        ImportError: Neither can be used.

    """
    try:
        from cv_bridge import CvBridge

        bridge = CvBridge()
        bridge.imgmsg_to_cv2(Image(height=1, width=1, step=3, encoding='bgr8', data=b'abc'), 'rgb8')
    except Exception:  # noqa: BLE001  whatever breaks in it, the other one serves
        from rosbags.image import image_to_cvimage

        return lambda image: image_to_cvimage(image, 'rgb8')
    return lambda image: bridge.imgmsg_to_cv2(image, 'rgb8')


def _decompress(msg: CompressedImage) -> NDArray[np.uint8]:
    data = np.frombuffer(msg.data, np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if image is None:
        raise ImageError(f"{data.size} bytes of format '{msg.format}' are not a whole image")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
