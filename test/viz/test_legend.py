# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Legends below pictures."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamtl_ros.data.nyud import NYU_CLASSES
from adamtl_ros.tasks import TASKS
from adamtl_ros.viz import legend as module
from adamtl_ros.viz.colorize import class_colors, colorize
from adamtl_ros.viz.legend import BACKGROUND, Legend, band_height, with_legend

ROOMS = TASKS['semseg'].with_classes(NYU_CLASSES)
WALL, FLOOR, CHAIR, MAT, OTHER = (
    NYU_CLASSES.index(name) for name in ('wall', 'floor', 'chair', 'floor mat', 'other structure')
)
SIZES = [(320, 1.0), (640, 4 / 3), (192, 1.0)]
"""Width and size of the text: a picture of 320x240, VGA, a column of a contact sheet."""


def image(shares, side=100):
    """Return class ids of which each has a share of the pixels, in percent."""
    ids = np.concatenate([np.full(side * percent, i, np.uint8) for i, percent in shares.items()])
    return ids.reshape(side, side)


def legend_of(ids, task=ROOMS):
    made = Legend({task.name: task})
    made.add(task.name, ids)
    return made


@pytest.fixture
def texts(monkeypatch):
    """Return the list of texts that are drawn, each with its left and right end and its bottom."""
    drawn = []
    put = module._put

    def note(band, text, position, scale):
        end = position[0] + module._text_width(text, scale)
        drawn.append((text, position[0], end, position[1]))
        put(band, text, position, scale)

    monkeypatch.setattr(module, '_put', note)
    return drawn


def colors_of(band):
    """Return all colors of a band that are no shade of gray."""
    flat = np.unique(band.reshape(-1, 3), axis=0).astype(int)
    return {tuple(color) for color in flat.tolist() if len(set(color)) > 1}


def test_classes_that_are_present_largest_first():
    made = legend_of(image({MAT: 10, WALL: 25, OTHER: 60, 255: 5}))
    assert made.classes('semseg') == [OTHER, WALL, MAT, 255]


def test_specks_are_left_out():
    ids = image({WALL: 100})
    ids[0, :19] = CHAIR
    assert legend_of(ids).classes('semseg') == [WALL]
    ids[0, :20] = CHAIR
    assert legend_of(ids).classes('semseg') == [WALL, CHAIR]


@pytest.mark.parametrize(('width', 'scale'), SIZES)
def test_names_and_colors_stand_side_by_side(texts, width, scale):
    made = legend_of(image({OTHER: 55, MAT: 25, WALL: 20}))
    band = made.draw('semseg', width, 3, scale)
    assert band.shape == (band_height(3, scale), width, 3)
    assert [text for text, *_ in texts] == ['other structure', 'floor mat', 'wall']
    palette = class_colors(ROOMS.classes)
    for (_, left, _, bottom), ident in zip(texts, (OTHER, MAT, WALL), strict=True):
        swatch = band[bottom - round(6 * scale) : bottom - round(3 * scale),
                      left - round(11 * scale) : left - round(7 * scale)]  # fmt: skip
        assert (swatch == palette[ident]).all()


@pytest.mark.parametrize(('width', 'scale'), SIZES)
def test_forty_classes_are_capped_and_counted(texts, width, scale):
    """What has no place is the smallest, and the legend says how many these are."""
    ids = np.repeat(np.arange(40, dtype=np.uint8), np.arange(80, 40, -1)).reshape(20, -1)
    legend_of(ids).draw('semseg', width, 3, scale)
    *names, (rest, *_) = texts
    assert [text for text, *_ in names] == list(NYU_CLASSES[: len(names)])
    assert 5 <= len(names) < 40
    assert rest == f'+ {40 - len(names)} more'
    check_places(texts, width, band_height(3, scale))


def check_places(texts, width, height):
    """Check that no text leaves the band or runs into another."""
    assert all(left >= 0 and right <= width and bottom < height for _, left, right, bottom in texts)
    for (_, _, right, bottom), (_, left, _, below) in pairwise(texts):
        assert left > right if below == bottom else below >= bottom + 10


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=41, unique=True),
    st.integers(1, 6), st.integers(120, 900), st.floats(0.8, 2.5),
)  # fmt: skip
def test_every_present_class_is_named_or_counted(present, rows, width, scale):
    ids = np.uint8([[255 if i == 40 else i for i in present]])
    made = legend_of(ids)
    lines = module._lines(made.entries('semseg'), width, rows, scale)
    texts = [entry.text for line in lines for entry in line]
    assert len(lines) <= rows
    more = int(texts.pop().split()[1]) if texts and texts[-1].startswith('+ ') else 0
    assert len(texts) + more == len(present)
    assert set(texts) <= {*NYU_CLASSES, 'unlabelled'}
    assert made.draw('semseg', width, rows, scale).shape[1] == width


def test_the_order_is_steady_over_a_video():
    """Two classes of similar size do not change places with every frame."""
    made, orders = Legend({'semseg': ROOMS}), []
    for number in range(20):
        wall = 44 if number % 2 else 60
        made.add('semseg', image({WALL: wall, FLOOR: 99 - wall, CHAIR: 1}))
        orders.append(made.classes('semseg'))
    assert all(order == [WALL, FLOOR, CHAIR] for order in orders)
    made.add('semseg', image({MAT: 100}))
    assert made.classes('semseg') == [MAT]


def test_a_sheet_lists_the_classes_of_all_its_images():
    made = Legend({'semseg': ROOMS}, memory=1)
    for shares in ({WALL: 100}, {FLOOR: 70, CHAIR: 30}, {FLOOR: 100}):
        made.add('semseg', image(shares))
    assert made.classes('semseg') == [FLOOR, WALL, CHAIR]


def test_nothing_to_list_before_the_first_frame():
    band = Legend({'semseg': ROOMS}).draw('semseg', 320, 3)
    assert (band == BACKGROUND).all()


@pytest.mark.parametrize(('width', 'scale'), SIZES)
def test_the_scale_of_depth_is_that_of_the_picture(texts, width, scale):
    """Above the mark of a depth stands the color that a picture has at that depth."""
    task = TASKS['depth']
    band = Legend({'depth': task}).draw('depth', width, 3, scale)
    assert [text for text, *_ in texts] == ['0.5', '1', '2', '4', '8', '16 m']
    check_places(texts, width, len(band))
    marks = np.flatnonzero((band == 235).all(-1)[round(16 * scale)])
    assert len(marks) == 6
    for column, meters in zip(marks, (0.5, 1, 2, 4, 8, 16), strict=True):
        color = colorize(task, np.full((1, 1), meters, np.float32))[0, 0].astype(int)
        assert np.abs(band[round(10 * scale), column].astype(int) - color).max() <= 12


def test_normals_are_explained_by_three_directions(texts):
    band = Legend({'normals': TASKS['normals']}).draw('normals', 320, 3)
    assert [text for text, *_ in texts] == ['right', 'up', 'to the camera']
    assert {(255, 128, 128), (128, 255, 128), (128, 128, 255)} <= colors_of(band)


def test_a_picture_with_its_legend(texts):
    ids = np.kron(image({FLOOR: 50, MAT: 50}), np.ones((4, 4), np.uint8))
    picture = colorize(ROOMS, ids)
    made = with_legend(picture, ROOMS, ids)
    np.testing.assert_array_equal(made[:400], picture)
    assert made.shape == (400 + band_height(3), 400, 3)
    assert {text for text, *_ in texts} == {'floor', 'floor mat'}
