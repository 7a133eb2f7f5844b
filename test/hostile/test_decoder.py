# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The decoder of images: any message is an image within the limit, or an `ImageError`."""

from functools import cache
from types import SimpleNamespace

import cv2
import numpy as np
from helpers.hostile import many
from hypothesis import assume, example, given
from hypothesis import strategies as st

from adamtl_ros.bags.images import CAMERA_ENCODINGS, ImageError, decode_image, decode_label
from adamtl_ros.sample import DataError
from adamtl_ros.tasks import TASKS

LIMIT = 0.5
SIDES = st.integers(0, 40) | st.integers(0, 2**32 - 1)
TEXTS = st.sampled_from(['', 'jpeg', 'png', '16UC1; compressedDepth png']) | st.text()
FORMATS = {
    '.jpg': (),
    'progressive.jpg': (cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    '.png': (),
    '.tiff': (),
    '.webp': (),
    '.bmp': (),
}


@cache
def encoded(name, channels, deep):
    """Return a small image as bytes; JPEG and WebP have no deep ones."""
    kind = np.uint16 if deep and name in ('.png', '.tiff') else np.uint8
    array = np.random.default_rng(1).integers(0, 256, (24, 32, channels), kind)
    return cv2.imencode(name[-4:] if name[0] != '.' else name, array, list(FORMATS[name]))[1]


@st.composite
def damaged(draw):
    """Draw an image in one of the formats, with some bytes changed, inserted or removed."""
    parts = (
        draw(st.sampled_from(sorted(FORMATS))),
        draw(st.sampled_from([1, 3])),
        draw(st.booleans()),
    )
    data = bytearray(encoded(*parts).tobytes())
    for _ in range(draw(st.integers(0, 6))):
        place = draw(st.integers(0, min(len(data), 120)) | st.integers(0, len(data)))
        some = draw(st.binary(max_size=4))
        data[place : place + draw(st.integers(0, 4))] = some
    return bytes(data)


def check(message, decode):
    """Decode and return the result; None for an error that says what is wrong on one line."""
    try:
        return decode(message)
    except (ImageError, DataError) as error:
        said = str(error)
    assert said.isprintable()
    assert len(said) < 1000
    return None


@many
@given(st.sampled_from(CAMERA_ENCODINGS) | st.text(), SIDES, SIDES, SIDES, st.binary(max_size=4000))
@example('rgb8', 2**32 - 1, 2**32 - 1, 2**32 - 1, b'')
@example('bayer_rggb16', 1, 1, 2, bytes(2))
@example('yuv422', 2, 1, 4, bytes(8))
def test_raw_images(encoding, height, width, step, data):
    message = SimpleNamespace(
        encoding=encoding, height=height, width=width, step=step, is_bigendian=len(data) % 2,
        data=data,
    )  # fmt: skip
    image = check(message, lambda one: decode_image(one, LIMIT))
    if image is not None:
        assert image.shape == (height, width, 3)
        assert image.dtype == np.uint8
        assert image.flags.writeable


@many
@given(st.sampled_from(CAMERA_ENCODINGS), st.integers(1, 12), st.integers(1, 12), st.booleans())
def test_raw_images_with_enough_data(encoding, height, width, big):
    step = width * 8
    message = SimpleNamespace(
        encoding=encoding, height=height, width=width, step=step, is_bigendian=int(big),
        data=np.random.default_rng(0).bytes(step * height),
    )  # fmt: skip
    image = check(message, decode_image)
    assume(image is not None)
    assert image.shape == (height, width, 3)


@many
@given(damaged() | st.binary(max_size=400), TEXTS)
def test_compressed_images(data, format_):
    message = SimpleNamespace(format=format_, data=np.frombuffer(data, np.uint8))
    image = check(message, lambda one: decode_image(one, LIMIT))
    if image is not None:
        assert image.shape[2:] == (3,)
        assert 0 < image.shape[0] * image.shape[1] <= LIMIT * 1e6


@many
@given(damaged(), TEXTS, st.sampled_from(sorted(TASKS)))
def test_compressed_labels(data, format_, task):
    message = SimpleNamespace(format=format_, data=np.frombuffer(data, np.uint8))
    check(message, lambda one: decode_label(one, TASKS[task]))
