# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Optical flow, warping, and signs of where a warped answer no longer fits."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adamtl_ros.stream.flow import (
    LARGEST_MOTION,
    LARGEST_RESIDUAL,
    Flow,
    Track,
    grid,
    is_cut,
    resize_places,
    thumbnail,
    warp,
)

SHIFT = (3, -2)
INSIDE = np.s_[12:-12, 12:-12]


def texture(seed=0, height=140, width=190):
    """Return a gray image that is smooth and has no two places alike."""
    noise = np.random.default_rng(seed).normal(size=(height, width)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    return np.clip(128 + 40 * smooth / smooth.std(), 0, 255).astype(np.uint8)


WIDE = texture()


def view(column, row):
    """Return a view into the texture, as of a camera that looks there."""
    return np.ascontiguousarray(WIDE[row : row + 120, column : column + 160])


@pytest.mark.parametrize(('height', 'width'), [(480, 640), (120, 160), (60, 80), (720, 1280)])
def test_thumbnails_have_the_aspect_ratio_of_the_image(height, width):
    gray = thumbnail(np.zeros((height, width, 3), np.uint8))
    assert gray.dtype == np.uint8
    assert gray.shape[0] * gray.shape[1] == pytest.approx(160 * 120, rel=0.02)
    assert gray.shape[1] / gray.shape[0] == pytest.approx(width / height, rel=0.02)


@pytest.mark.parametrize(('height', 'width'), [(2, 3000), (3000, 1), (1, 1)])
def test_thumbnails_of_strips_are_wide_enough_for_flow(height, width):
    gray = thumbnail(np.zeros((height, width, 3), np.uint8))
    assert max(gray.shape) <= 4.1 * min(gray.shape)
    assert np.isfinite(Flow()(gray, gray)).all()


def test_flow_finds_a_shift():
    before = Flow()(view(8, 8), view(8 + SHIFT[0], 8 + SHIFT[1]))
    moved = before - grid(120, 160)
    np.testing.assert_allclose(moved[INSIDE].mean((0, 1)), SHIFT, atol=0.1)


def test_warping_takes_values_from_other_places():
    planes = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    np.testing.assert_array_equal(warp(planes, grid(3, 4)), planes)
    right = warp(planes, grid(3, 4) + np.float32([1, 0]))
    np.testing.assert_array_equal(right[:, :, :3], planes[:, :, 1:])
    np.testing.assert_array_equal(right[:, :, 3], planes[:, :, 3])  # the border continues
    half = warp(planes, grid(3, 4) + np.float32([0, 0.5]))
    np.testing.assert_allclose(half[:, 0], (planes[:, 0] + planes[:, 1]) / 2)


@given(st.floats(-5, 5), st.floats(-5, 5), st.sampled_from([(48, 64), (60, 80), (240, 320)]))
def test_places_scale_with_the_image(x, y, size):
    places = resize_places(grid(120, 160) + np.float32([x, y]), size)
    factor = size[0] / 120
    expected = grid(*size) + np.float32([x * factor, y * factor])
    edge = max(1, round(factor))
    inside = np.s_[edge:-edge, edge:-edge]
    np.testing.assert_allclose(places[inside], expected[inside], atol=0.03)


@pytest.mark.parametrize('shift', [0, 2, 6])
def test_a_camera_that_moves_is_no_cut(shift):
    before, now = view(8, 8), view(8 + shift, 8)
    assert not is_cut(before, now, Flow()(before, now))


@pytest.mark.parametrize('seed', range(1, 9))
def test_another_picture_is_a_cut(seed):
    before, now = view(8, 8), np.ascontiguousarray(texture(seed)[:120, :160])
    assert is_cut(before, now, Flow()(before, now))


def test_what_is_covered_is_a_cut_once():
    flat = np.full((120, 160), 3, np.uint8)
    assert is_cut(view(8, 8), flat, Flow()(view(8, 8), flat))
    assert not is_cut(flat, flat + np.uint8(1), Flow()(flat, flat))


def walked(steps):
    """Return a track that followed views into the texture."""
    flow, at, track = Flow(), [8, 8], Track(view(8, 8), 0.0)
    for dx, dy in steps:
        before = view(*at)
        at = [at[0] + dx, at[1] + dy]
        track.advance(flow(before, view(*at)))
    return track, view(*at)


def test_a_track_adds_up_the_flow():
    track, _ = walked([(2, 1), (3, 1), (-1, 2)])
    np.testing.assert_allclose(
        (track.places - grid(120, 160))[INSIDE].mean((0, 1)), (4, 4), atol=0.2
    )


def test_what_only_moved_leaves_no_residual():
    track, now = walked([(2, 1), (3, 1)])
    signs = track.signs(now, 0.5)
    assert signs.age == 0.5
    assert signs.residual[INSIDE].mean() < 0.1
    assert signs.motion[INSIDE].mean() == pytest.approx(np.hypot(5, 2) / 160, rel=0.1)


def test_what_comes_into_view_is_lost():
    track, now = walked([(6, 0)])
    lost = track.signs(now, 0.1).lost
    assert (lost[20:-20, -4:] > 0.5).all()
    assert not lost[20:-20, 20:-20].any()


@pytest.mark.parametrize('offset', [-30, 20])
def test_a_change_of_the_brightness_is_no_residual(offset):
    gray = np.clip(view(8, 8), 40, 200)
    signs = Track(gray, 0.0).signs((gray.astype(int) + offset).astype(np.uint8), 0.1)
    assert signs.residual.max() < 1e-3


def test_a_new_thing_is_residual_where_it_is():
    gray = np.full((120, 160), 120, np.uint8)
    after = gray.copy()
    after[40:80, 60:90] = 200
    signs = Track(gray, 0.0).signs(after, 0.1)
    assert (signs.residual[45:75, 65:85] == LARGEST_RESIDUAL).all()
    assert not signs.residual[:30].any()


def test_motion_has_a_limit():
    track, now = walked([(7, 0), (7, 0)])
    assert track.signs(now, 0.1).motion.max() == np.float32(LARGEST_MOTION)


def test_signs_at_the_size_of_maps():
    track, now = walked([(2, 1)])
    signs = track.signs(now, 0.1)
    small = signs.resized((48, 64))
    assert small.residual.shape == small.motion.shape == small.lost.shape == (48, 64)
    assert small.age == signs.age
    assert small.residual.mean() == pytest.approx(signs.residual.mean(), rel=0.01)
