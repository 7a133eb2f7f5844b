# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Pictures side by side."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamtl_ros.tasks import TASKS as TABLE
from adamtl_ros.viz.legend import Legend, band_height
from adamtl_ros.viz.mosaic import (
    BACKGROUND,
    COLUMNS,
    GRID_LEGEND,
    LABEL_HEIGHT,
    TILE_WIDTH,
    grid,
    grid_legend,
    parts_run,
    strip,
    strip_legend,
    tile,
)

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


def test_legends_stand_below_their_tiles():
    legend = Legend(TABLE)
    legend.add('semseg', np.full((9, 9), 3, np.uint8))
    bands = {name: grid_legend(legend, name) for name in ('semseg', 'depth')}
    camera = tile(plain(10), '')
    page = grid(camera, dict.fromkeys(TASKS, camera), TASKS, ['something'], bands)
    height = len(camera) + band_height(GRID_LEGEND)
    assert page.shape == (2 * height, COLUMNS * TILE_WIDTH, 3)
    below = np.split(page[len(camera) : height], COLUMNS, 1)
    for band, expected in zip(below, (None, bands['semseg'], bands['depth'], None), strict=True):
        np.testing.assert_array_equal(band, BACKGROUND if expected is None else expected)
    assert height % 2 == 0


def test_legends_of_a_row_are_in_its_columns():
    legend = Legend(TABLE)
    legend.add('semseg', np.arange(12, dtype=np.uint8)[None])
    row = strip(tile(plain(10), ''), {}, TASKS)
    made = strip_legend(legend, TASKS)
    assert made.shape[1] == row.shape[1]
    camera, *others = np.split(made, 4, 1)
    assert (camera == BACKGROUND).all()
    assert all((one != BACKGROUND).any() for one in others)
    # As high as the longest, no higher.
    legend = Legend(TABLE)
    assert len(strip_legend(legend, ('edges',))) < len(made) / 2


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


def test_windows_are_named_where_there_are_any():
    assert parts_run((3, 10), (12, 90)) == 'blocks 3 of 10, windows 12 of 90'
    assert parts_run((9, 9), (0, 0)) == 'blocks 9 of 9'
