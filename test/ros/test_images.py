# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Camera messages to RGB and results to messages."""

import sys
import types

import cv2
import numpy as np
import pytest
from helpers.ros_images import compressed, image, picture
from sensor_msgs.msg import CompressedImage, Image

from adamtl_ros.ros import images
from adamtl_ros.ros.images import PIXEL_BYTES, ImageError, to_message, to_rgb

RGB = picture()
PAIRED = RGB[:, ::2].repeat(2, axis=1)  # two neighbours share their chroma in YUV 4:2:2
GREY = RGB[..., 1]
ALPHA = np.dstack([RGB, np.full(RGB.shape[:2], 9, np.uint8)])


def mosaic(pattern):
    """Return what a sensor with that pattern of colour filters sees."""
    channel = {'r': 0, 'g': 1, 'b': 2}
    raw = np.empty(RGB.shape[:2], np.uint8)
    for index, colour in enumerate(pattern):
        row, column = divmod(index, 2)
        raw[row::2, column::2] = RGB[row::2, column::2, channel[colour]]
    return raw


def yuv(first_luma):
    """Two bytes a pixel; luma first (yuyv) or chroma first (uyvy)."""
    # ITU-R BT.601, 8 bit: luma 16..235, chroma 16..240.
    weights = np.array(
        [[65.481, 128.553, 24.966], [-37.797, -74.203, 112], [112, -93.786, -18.214]]
    )
    ycc = np.rint((16, 128, 128) + PAIRED / 255 @ weights.T).astype(np.uint8)
    chroma = np.empty_like(ycc[..., 0])
    chroma[:, 0::2], chroma[:, 1::2] = ycc[:, 0::2, 1], ycc[:, 1::2, 2]
    pair = (ycc[..., 0], chroma) if first_luma else (chroma, ycc[..., 0])
    return np.dstack(pair)


def wide(array):
    return array.astype(np.uint16) * 257


CASES = {
    'rgb8': (RGB, RGB, 0),
    'bgr8': (RGB[..., ::-1], RGB, 0),
    'rgba8': (ALPHA, RGB, 0),
    'bgra8': (ALPHA[..., [2, 1, 0, 3]], RGB, 0),
    'mono8': (GREY, np.dstack([GREY] * 3), 0),
    'mono16': (wide(GREY), np.dstack([GREY] * 3), 1),
    'rgb16': (wide(RGB), RGB, 1),
    'bgr16': (wide(RGB[..., ::-1]), RGB, 1),
    'yuv422': (yuv(first_luma=False), PAIRED, 4),
    'uyvy': (yuv(first_luma=False), PAIRED, 4),
    'yuv422_yuy2': (yuv(first_luma=True), PAIRED, 4),
    'yuyv': (yuv(first_luma=True), PAIRED, 4),
    'bayer_rggb8': (mosaic('rggb'), RGB, 30),
    'bayer_bggr8': (mosaic('bggr'), RGB, 30),
    'bayer_gbrg8': (mosaic('gbrg'), RGB, 30),
    'bayer_grbg8': (mosaic('grbg'), RGB, 30),
    'bayer_rggb16': (wide(mosaic('rggb')), RGB, 30),
    'bayer_bggr16': (wide(mosaic('bggr')), RGB, 30),
    'bayer_gbrg16': (wide(mosaic('gbrg')), RGB, 30),
    'bayer_grbg16': (wide(mosaic('grbg')), RGB, 30),
}


def test_every_encoding_has_a_case():
    assert set(CASES) == set(PIXEL_BYTES)


@pytest.mark.parametrize('padding', [0, 6])
@pytest.mark.parametrize('encoding', CASES)
def test_encodings(encoding, padding):
    array, expected, tolerance = CASES[encoding]
    got = to_rgb(image(array, encoding, padding=padding))
    assert got.shape == (48, 64, 3)
    assert got.dtype == np.uint8
    inner = (slice(2, -2), slice(2, -2))  # colour mosaics have no neighbours at the border
    difference = np.abs(got[inner].astype(int) - expected[inner].astype(int))
    assert difference.max() <= tolerance
    assert difference.mean() <= tolerance / 4


@pytest.mark.parametrize('encoding', ['mono16', 'rgb16', 'bayer_rggb16', 'rgb8'])
def test_big_endian(encoding):
    array, _, _ = CASES[encoding]
    little = to_rgb(image(array, encoding))
    swapped = image(array.byteswap() if array.itemsize == 2 else array, encoding)
    swapped.is_bigendian = 1
    np.testing.assert_array_equal(to_rgb(swapped), little)


@pytest.mark.parametrize('extension', ['.jpg', '.png', '.webp'])
def test_compressed(extension):
    got = to_rgb(compressed(extension=extension))
    difference = np.abs(got.astype(int) - RGB)
    assert difference.mean() < (1 if extension == '.png' else 8)


def test_compressed_grey_and_deep():
    for array in (GREY, wide(GREY)):
        message = CompressedImage(format='png')
        message.data.frombytes(cv2.imencode('.png', array)[1].tobytes())
        assert np.abs(to_rgb(message)[..., 0].astype(int) - GREY).max() <= 1


def broken(**changes):
    message = image()
    for name, value in changes.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    ('message', 'text'),
    [
        (broken(encoding='32FC1'), "encoding '32FC1' is not a camera image; known are: rgb8"),
        (broken(encoding=''), "encoding '' is not a camera image"),
        (broken(height=0), 'image of 64x0 pixels has none'),
        (broken(width=0), 'image of 0x48 pixels has none'),
        (broken(step=191), 'step 191 is less than the 192 bytes of a row'),
        (broken(height=49), '9216 bytes of data are less than step . height = 192 . 49 = 9408'),
        (broken(height=2**32 - 1, step=2**32 - 1), 'bytes of data are less'),
        (Image(), 'encoding'),
        (CompressedImage(format='jpeg'), "0 bytes of format 'jpeg' are not a whole image"),
        (CompressedImage(format='jpeg', data=b'rubbish'), "7 bytes of format 'jpeg'"),
        (image(np.zeros((3, 3, 2), np.uint8), 'yuv422'), "3x3 'yuv422'"),
    ],
)
def test_images_that_cannot_be_read(message, text):
    with pytest.raises(ImageError, match=text):
        to_rgb(message)


def test_result_is_read_back_bit_for_bit():
    header = image(stamp=7, frame_id='left').header
    for array, encoding in (
        (np.arange(12, dtype=np.uint8).reshape(3, 4), 'mono8'),
        (np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32), '32FC1'),
        (np.random.default_rng(0).normal(size=(3, 4, 3)).astype(np.float32)[:, ::-1], '32FC3'),
    ):
        message = to_message(array, encoding, header)
        assert (message.height, message.width, message.encoding) == (3, 4, encoding)
        assert message.step == 4 * array.itemsize * (array.size // 12)
        assert message.is_bigendian == (sys.byteorder == 'big')
        assert message.header == header
        back = np.frombuffer(message.data, array.dtype).reshape(array.shape)
        np.testing.assert_array_equal(back, array)


class FakeBridge:
    """cv_bridge as the node uses it; `broken` as when built for another numpy."""

    broken = False

    def imgmsg_to_cv2(self, message, encoding):
        """Convert, if not broken."""
        if self.broken:
            raise AttributeError('_ARRAY_API not found')
        assert encoding == 'rgb8'
        return np.full((message.height, message.width, 3), 42, np.uint8)


@pytest.mark.parametrize('is_broken', [False, True])
def test_cv_bridge_is_used_where_it_works(monkeypatch, is_broken):
    module = types.ModuleType('cv_bridge')
    module.CvBridge = type('CvBridge', (FakeBridge,), {'broken': is_broken})
    monkeypatch.setitem(sys.modules, 'cv_bridge', module)
    images.converter.cache_clear()
    try:
        got = to_rgb(image(RGB[..., ::-1], 'bgr8'))
    finally:
        images.converter.cache_clear()
    assert (got == (RGB if is_broken else 42)).all()
