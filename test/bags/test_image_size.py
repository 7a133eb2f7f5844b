# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Sizes of compressed images by their headers, and images that would take all memory."""

import struct
import tracemalloc
import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adamtl_ros.bags.image_size import MAX_SCANS, image_size
from adamtl_ros.bags.images import ImageError, decode_image

EXTENSIONS = ['.jpg', '.png', '.tiff', '.webp', '.bmp']
PARAMETERS = {
    'progressive': ('.jpg', [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
    'restarts': ('.jpg', [cv2.IMWRITE_JPEG_RST_INTERVAL, 1]),
    'lossy webp': ('.webp', [cv2.IMWRITE_WEBP_QUALITY, 50]),
}


def encoded(extension, height, width, parameters=(), channels=3):
    array = np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)
    return cv2.imencode(extension, array, list(parameters))[1].tobytes()


def message(data):
    return SimpleNamespace(format='png', data=data)


@given(st.sampled_from(EXTENSIONS), st.integers(1, 70), st.integers(1, 70), st.sampled_from([1, 3]))
def test_the_size_is_that_of_the_decoded_image(extension, height, width, channels):
    data = encoded(extension, height, width, channels=channels)
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape[:2] == (
        height,
        width,
    )
    assert image_size(data) == (height, width)


@pytest.mark.parametrize(('extension', 'parameters'), PARAMETERS.values(), ids=PARAMETERS)
def test_other_kinds_of_a_format(extension, parameters):
    assert image_size(encoded(extension, 48, 65, parameters)) == (48, 65)


def test_a_jpeg_with_a_thumbnail_has_its_own_size():
    whole, small = encoded('.jpg', 48, 64), encoded('.jpg', 8, 8)
    segment = b'\xff\xe1' + (len(small) + 2).to_bytes(2, 'big') + small
    assert image_size(whole[:2] + segment + b'\xff\xff' + whole[2:]) == (48, 64)


@pytest.mark.parametrize('extension', EXTENSIONS)
def test_headers_that_are_cut_off(extension):
    data = encoded(extension, 40, 50)
    for length in range(len(data)):
        assert image_size(data[:length]) in (None, (40, 50), (0, 0))


@given(st.sampled_from(EXTENSIONS), st.data())
def test_a_damaged_image_is_decoded_in_the_size_of_its_header(extension, draw):
    """Whatever is changed, nothing larger than what the header promises is decoded."""
    data = bytearray(encoded(extension, 20, 30))
    for _ in range(draw.draw(st.integers(1, 4))):
        data[draw.draw(st.integers(0, min(80, len(data) - 1)))] = draw.draw(st.integers(0, 255))
    try:
        image = decode_image(message(bytes(data)), 1.0)
    except ImageError:
        return
    size = image_size(bytes(data))
    assert image.shape[0] * image.shape[1] <= size[0] * size[1] <= 1_000_000


def bomb(side):
    """Make a PNG of zeros, of a thousandth of its pixels in bytes."""

    def chunk(kind, content):
        crc = zlib.crc32(kind + content)
        return len(content).to_bytes(4, 'big') + kind + content + crc.to_bytes(4, 'big')

    header = struct.pack('>IIBBBBB', side, side, 8, 2, 0, 0, 0)
    packer, pixels = zlib.compressobj(9), b''
    for _ in range(side):
        pixels += packer.compress(bytes(1 + 3 * side))
    pixels += packer.flush()
    return (
        b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', pixels) + chunk(b'IEND', b'')
    )


def test_an_image_bomb_is_refused_before_it_is_decoded(monkeypatch):
    data = bomb(4200)
    assert len(data) < 60_000

    def decode(*_):
        raise AssertionError('decoded')

    monkeypatch.setattr(cv2, 'imdecode', decode)
    tracemalloc.start()
    with pytest.raises(ImageError, match=r'4200x4200 pixels has 17\.6 megapixels.*allows 16'):
        decode_image(message(data), 16.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_the_limit_holds_for_raw_images_too():
    raw = SimpleNamespace(
        height=100, width=200, encoding='mono8', step=200, is_bigendian=0, data=bytes(20000)
    )
    assert decode_image(raw, 0.02).shape == (100, 200, 3)
    with pytest.raises(ImageError, match='200x100 pixels has'):
        decode_image(raw, 0.0199)


def test_a_jpeg_of_many_scans_is_refused():
    """Each goes over the whole picture: megabytes of them take hours."""
    data = encoded('.jpg', 8, 8, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])
    start = data.index(b'\xff\xda')
    many = data[:start] + data[start:-2] * (MAX_SCANS + 1) + data[-2:]
    with pytest.raises(ImageError, match=r'JPEG with \d+ scans'):
        decode_image(message(many))


def test_the_text_of_a_message_is_quoted_and_cut():
    wild = 'x\n\x1b[31m[ERROR] on fire' + 'y' * 10_000
    for raw in (
        SimpleNamespace(encoding=wild, height=1, width=1, step=3, is_bigendian=0, data=bytes(3)),
        SimpleNamespace(format=wild, data=b'rubbish'),
    ):
        with pytest.raises(ImageError) as error:
            decode_image(raw)
        assert str(error.value).isprintable()
        assert len(str(error.value)) < 500
