# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Flicker: motion of the camera is none, a change of the answer is."""

import cv2
import numpy as np
import pytest
from flicker import change

from adamtl_ros.evaluation.bags.flicker import backward_flow


def texture(shift=0):
    noise = np.random.default_rng(0).integers(0, 256, (120, 200), np.uint8)
    return np.ascontiguousarray(cv2.GaussianBlur(noise, (0, 0), 2)[:, shift : shift + 160])


def answers(shift=0, depth=2.0):
    columns = np.arange(200)[None, shift : shift + 160].repeat(120, 0)
    return {
        'semseg': (columns // 40).astype(np.uint8),
        'depth': np.full((120, 160), depth, np.float32),
    }


def test_flow_is_where_a_pixel_was():
    places, seen = backward_flow(texture(), texture(3))
    middle = np.s_[20:100, 20:140]
    columns = np.arange(160, dtype=np.float32)[None].repeat(120, 0)
    assert np.abs(places[..., 0] - columns - 3)[middle].mean() < 0.2
    assert seen[middle].mean() > 0.95
    assert not seen[:, -2:].any()


def test_answers_that_move_with_the_camera_do_not_flicker():
    classes, depth = change(texture(), answers(), texture(3), answers(3))
    assert classes < 0.02
    assert depth == pytest.approx(0, abs=1e-6)


def test_answers_that_change_do():
    other = answers(0, depth=4.0)
    other['semseg'][:60] = 9
    classes, depth = change(texture(), answers(), texture(), other)
    assert classes == pytest.approx(0.5, abs=0.02)
    assert depth == pytest.approx(np.log(2), abs=1e-6)
