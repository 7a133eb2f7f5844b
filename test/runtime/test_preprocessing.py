# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Camera image to network input."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from adamtl_ros.nn.io.checkpoint import load_model
from adamtl_ros.runtime.pre_post_processing import Preprocessor, network_size

MODEL = load_model('nano')


def test_values_by_hand():
    """A uniform color is normalized by channel, in RGB order."""
    image = np.full((480, 640, 3), (255, 0, 51), np.uint8)
    batch = Preprocessor(MODEL, torch.device('cpu'))(image)
    assert batch.shape == (1, 3, 192, 256)
    assert batch.dtype == torch.float32
    expected = [(1 - 0.485) / 0.229, -0.456 / 0.224, (0.2 - 0.406) / 0.225]
    for channel, value in enumerate(expected):
        torch.testing.assert_close(batch[0, channel], torch.full((192, 256), value))


def test_rows_and_columns_stay():
    image = np.zeros((96, 128, 3), np.uint8)
    image[:24, 64:] = 255
    batch = Preprocessor(MODEL, torch.device('cpu'))(image)[0, 0]
    assert batch[10, 200] > 0 > batch[10, 20]
    assert batch[100, 200] < 0


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
