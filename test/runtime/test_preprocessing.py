# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Camera image to network input."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from adamtl_ros.nn.io.checkpoint import load_model
from adamtl_ros.nn.network import resize_images
from adamtl_ros.runtime.pre_post_processing import Preprocessor, network_size

MODEL = load_model('nano')


def test_values_by_hand():
    """A uniform color stays one, at the size of the network and of a plan."""
    image = np.full((480, 640, 3), (255, 0, 51), np.uint8)
    for scale, size in ((1.0, (192, 256)), (0.6, (116, 152))):
        pixels = Preprocessor(MODEL)(image, scale)
        assert (pixels.shape, pixels.dtype) == ((*size, 3), np.uint8)
        assert pixels.flags.c_contiguous
        np.testing.assert_array_equal(pixels, np.broadcast_to(np.uint8([255, 0, 51]), (*size, 3)))


def test_a_plan_sees_what_the_network_makes_of_the_full_input():
    image = np.random.default_rng(0).integers(0, 256, (192, 256, 3), np.uint8)
    pixels = Preprocessor(MODEL)(image, 0.5)
    batch = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    expected = resize_images(batch, 0.5)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(pixels, expected, atol=1.01)  # less than one of 255 steps


def test_rows_and_columns_stay():
    image = np.zeros((96, 128, 3), np.uint8)
    image[:24, 64:] = 255
    plane = Preprocessor(MODEL)(image)[..., 0]
    assert (plane[10, 200], plane[10, 20], plane[100, 200]) == (255, 0, 0)


@pytest.mark.parametrize(
    ('height', 'width', 'expected'),
    [
        (480, 640, (192, 256)),
        (360, 480, (192, 256)),
        (720, 1280, (160, 288)),
        (640, 480, (256, 192)),
        (1, 4000, (32, 1024)),
    ],
)
def test_network_size_by_hand(height, width, expected):
    assert network_size(height, width, (192, 256), 32) == expected


@given(st.integers(1, 4000), st.integers(1, 4000))
def test_network_size_is_whole_strides(height, width):
    rows, columns = network_size(height, width, (192, 256), 32)
    assert rows % 32 == columns % 32 == 0
    assert rows >= 32
    assert columns >= 32
    if 0.2 < height / width < 5:
        assert 0.6 < rows * columns / (192 * 256) < 1.6
