# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Camera messages of rclpy and of rosbags to RGB."""

import cv2
import numpy as np
import pytest
from helpers.ros_images import compressed, image, picture
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image

from adamtl_ros.bags.images import CAMERA_ENCODINGS, ImageError, decode_image
from adamtl_ros.bags.reader import COMPRESSED, RAW, typestore

RGB = picture()
PAIRED = RGB[:, ::2].repeat(2, axis=1)  # two neighbours share their chroma in YUV 4:2:2
GREY = RGB[..., 1]
ALPHA = np.dstack([RGB, np.full(RGB.shape[:2], 9, np.uint8)])


def mosaic(pattern):
    """Return what a sensor with that pattern of color filters sees."""
    channel = {'r': 0, 'g': 1, 'b': 2}
    raw = np.empty(RGB.shape[:2], np.uint8)
    for index, color in enumerate(pattern):
        row, column = divmod(index, 2)
        raw[row::2, column::2] = RGB[row::2, column::2, channel[color]]
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
    'rgba16': (wide(ALPHA), RGB, 1),
    'bgra16': (wide(ALPHA[..., [2, 1, 0, 3]]), RGB, 1),
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
    assert set(CASES) == set(CAMERA_ENCODINGS)


@pytest.fixture(params=['rclpy', 'rosbags'])
def convert(request):
    """Return a function from a message of rclpy to one of the library."""
    if request.param == 'rclpy':
        return lambda message: message
    store = typestore()

    def from_bag(message):
        kind = RAW if isinstance(message, Image) else COMPRESSED
        return store.deserialize_cdr(serialize_message(message), kind)

    return from_bag


@pytest.mark.parametrize('padding', [0, 6])
@pytest.mark.parametrize('encoding', CASES)
def test_encodings(encoding, padding, convert):
    array, expected, tolerance = CASES[encoding]
    got = decode_image(convert(image(array, encoding, padding=padding)))
    assert got.flags.writeable
    assert got.shape == (48, 64, 3)
    assert got.dtype == np.uint8
    inner = (slice(2, -2), slice(2, -2))  # color mosaics have no surroundings at the border
    difference = np.abs(got[inner].astype(int) - expected[inner].astype(int))
    assert difference.max() <= tolerance
    assert difference.mean() <= tolerance / 4


@pytest.mark.parametrize('encoding', ['mono16', 'rgb16', 'bayer_rggb16', 'rgb8'])
def test_big_endian(encoding, convert):
    array, _, _ = CASES[encoding]
    little = decode_image(image(array, encoding))
    swapped = image(array.byteswap() if array.itemsize == 2 else array, encoding)
    swapped.is_bigendian = 1
    np.testing.assert_array_equal(decode_image(convert(swapped)), little)


@pytest.mark.parametrize('extension', ['.jpg', '.png', '.webp'])
def test_compressed(extension, convert):
    got = decode_image(convert(compressed(extension=extension)))
    difference = np.abs(got.astype(int) - RGB)
    assert difference.mean() < (1 if extension == '.png' else 8)


def test_compressed_grey_and_deep():
    for array in (GREY, wide(GREY)):
        message = CompressedImage(format='png')
        message.data.frombytes(cv2.imencode('.png', array)[1].tobytes())
        assert np.abs(decode_image(message)[..., 0].astype(int) - GREY).max() <= 1


WHOLE = bytes(compressed().data)


def broken(kind=image, **changes):
    message = kind()
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
        (
            broken(kind=compressed, data=WHOLE[:-100]),
            r'\d+ bytes of JPEG are cut off: no end',
        ),
        (broken(kind=compressed, data=WHOLE[:2]), '2 bytes of JPEG are cut off'),
        (image(np.zeros((3, 3, 2), np.uint8), 'yuv422'), "3x3 'yuv422'"),
    ],
)
def test_images_that_cannot_be_read(message, text, convert):
    with pytest.raises(ImageError, match=text):
        decode_image(convert(message))


def test_both_jpeg_decoders_agree(convert, monkeypatch):
    fast = decode_image(convert(compressed()))
    assert fast.flags.writeable
    monkeypatch.setattr('adamtl_ros.bags.images.simplejpeg', None)
    slow = decode_image(convert(compressed()))
    # The inverse transforms of two versions of libjpeg-turbo round differently.
    assert np.abs(fast.astype(int) - slow).max() <= 3


def test_a_grey_jpeg(convert):
    message = CompressedImage(format='jpeg')
    message.data.frombytes(cv2.imencode('.jpg', GREY)[1].tobytes())
    got = decode_image(convert(message))
    assert np.abs(got - np.dstack([GREY] * 3).astype(int)).mean() < 3
    assert (got[..., 0] == got[..., 2]).all()


def test_exif_may_turn_the_picture(convert):
    # A segment APP1 with one entry: tag 0x112, orientation 6: turn by 90 degrees clockwise.
    entry = b'\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00'
    exif = b'Exif\0\0MM\x00*\x00\x00\x00\x08\x00\x01' + entry + bytes(4)
    segment = b'\xff\xe1' + (len(exif) + 2).to_bytes(2, 'big') + exif
    turned = broken(kind=compressed, data=WHOLE[:2] + segment + WHOLE[2:])
    got = decode_image(convert(turned)).astype(int)
    assert np.abs(got - np.rot90(decode_image(compressed()), -1)).max() <= 3


@pytest.mark.parametrize('padding', [b'', bytes(8), bytes(5000)])
def test_a_jpeg_may_be_padded(padding, convert):
    message = broken(kind=compressed, data=WHOLE + padding)
    np.testing.assert_array_equal(decode_image(convert(message)), decode_image(compressed()))
