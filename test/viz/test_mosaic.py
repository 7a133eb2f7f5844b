# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Pictures side by side."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamtl_ros.viz.mosaic import BACKGROUND, COLUMNS, LABEL_HEIGHT, TILE_WIDTH, grid, strip, tile

TASKS = ('semseg', 'depth', 'edges')


def plain(value, height=48, width=64):
    return np.full((height, width, 3), value, np.uint8)


@pytest.mark.parametrize(
    ('size', 'height'), [((48, 64), 240), ((480, 640), 240), ((64, 48), 426), ((2, 2000), 2)]
)
def test_a_tile_has_one_width_and_keeps_the_shape(size, height):
    made = tile(plain(200, *size), 'human_parts')
    assert made.shape == (LABEL_HEIGHT + height, TILE_WIDTH, 3)
    assert (made[LABEL_HEIGHT:] == 200).all()
    assert (made[:LABEL_HEIGHT] != BACKGROUND).any()
    assert made[:LABEL_HEIGHT].max() > 200


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 900), st.integers(2, 900))
def test_sides_are_even_for_the_video(height, width):
    made = tile(plain(1, height, width), 'x')
    assert made.shape[0] % 2 == made.shape[1] % 2 == 0
    assert abs((made.shape[0] - LABEL_HEIGHT) - height * TILE_WIDTH / width) <= 2


def test_shrinking_averages():
    stripes = plain(0, 480, 640)
    stripes[:, ::2] = 100
    assert (tile(stripes, '')[LABEL_HEIGHT:] == 50).all()


@pytest.mark.parametrize('count', [1, 2, 3, 6])
def test_a_page_holds_the_camera_the_tasks_and_the_lines(count):
    camera = tile(plain(10), '')
    tasks = [f'task {number}' for number in range(count)]
    tiles = {name: tile(plain(50 + 20 * index), '') for index, name in enumerate(tasks)}
    height, width = camera.shape[:2]
    made = grid(camera, tiles, tasks, ['something'])
    rows = -(-(count + 2) // COLUMNS)
    assert made.shape == (rows * height, COLUMNS * width, 3)
    cells = [made[r * height : (r + 1) * height, c * width : (c + 1) * width]
             for r in range(rows) for c in range(COLUMNS)]  # fmt: skip
    np.testing.assert_array_equal(cells[0], camera)
    for cell, name in zip(cells[1:], tasks, strict=False):
        np.testing.assert_array_equal(cell, tiles[name])
    lines, *rest = cells[count + 1 :]
    assert (lines != BACKGROUND).any()
    assert all((cell == BACKGROUND).all() for cell in rest)


def test_a_task_without_a_result_is_left_empty():
    camera = tile(plain(10), '')
    made = grid(camera, {'depth': camera}, TASKS, [])
    width = TILE_WIDTH
    assert (made[: len(camera), width : 2 * width] == BACKGROUND).all()
    np.testing.assert_array_equal(made[: len(camera), 2 * width : 3 * width], camera)


@pytest.mark.parametrize('text', ['', 'hard'])
def test_a_row_is_smaller(text):
    camera = tile(plain(10), 'camera')
    before = camera.copy()
    made = strip(camera, {'depth': tile(plain(200), '')}, TASKS, text)
    height, width = (round(0.6 * side) for side in (camera.shape[0], 4 * TILE_WIDTH))
    assert made.shape == (height, width, 3)
    below = made[round(0.6 * LABEL_HEIGHT) + 2 :]
    values = [int(np.median(below[:, round(0.6 * TILE_WIDTH * (n + 0.5))])) for n in range(4)]
    assert values == [10, BACKGROUND, 200, BACKGROUND]
    np.testing.assert_array_equal(camera, before)


def test_a_text_takes_the_place_of_the_label():
    camera = tile(plain(10), 'camera')
    label, other = (strip(camera, {}, TASKS, text) for text in ('', 'hard'))
    assert (label != other).any()
    np.testing.assert_array_equal(label[20:], other[20:])
