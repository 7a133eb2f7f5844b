# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Relative focal lengths, by hand and against image formation."""

import math
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adamtl_ros.focal import check_focal, fits_image, info_focal, relative_focal

SIDES, FOCALS = st.integers(8, 4000), st.floats(1, 5000)


def info(fx=500.0, fy=500.0, size=(480, 640), roi=(0, 0, 0, 0), binning=(0, 0)):
    """Return a message with K, size, region (top, left, height, width) and binning (y, x)."""
    top, left, height, width = roi
    return SimpleNamespace(
        k=[fx, 0.0, 320.0, 0.0, fy, 240.0, 0.0, 0.0, 1.0],
        height=size[0],
        width=size[1],
        roi=SimpleNamespace(y_offset=top, x_offset=left, height=height, width=width),
        binning_y=binning[0],
        binning_x=binning[1],
    )


def test_known_cameras():
    assert relative_focal(259.5, 259.5, 240, 320) == pytest.approx(0.9364, abs=1e-4)
    # A field of view of 90 degrees both ways: half the side is the focal length.
    assert relative_focal(50, 50, 100, 100) == 0.5
    assert relative_focal(40, 90, 60, 60) == 1  # the geometric mean of both is 60


@given(FOCALS, FOCALS, SIDES, SIDES, st.floats(0.1, 10), st.floats(0.1, 10))
def test_resizing_changes_nothing(fx, fy, height, width, y, x):
    resized = relative_focal(fx * x, fy * y, height * y, width * x)
    assert resized == pytest.approx(relative_focal(fx, fy, height, width))


@pytest.mark.parametrize('wrong', [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize('place', range(4))
def test_what_is_not_positive_is_unknown(wrong, place):
    values = [500.0, 500.0, 480.0, 640.0]
    values[place] = wrong
    assert math.isnan(relative_focal(*values))


def test_the_calibration_of_a_whole_image():
    expected = 500 / math.sqrt(480 * 640)
    assert info_focal(info(), (480, 640)) == pytest.approx(expected)
    assert info_focal(info(), (240, 320)) == pytest.approx(expected)  # resized on the way
    assert info_focal(info(binning=(2, 2)), (240, 320)) == pytest.approx(expected)
    assert info_focal(info(binning=(1, 1)), (480, 640)) == pytest.approx(expected)


def test_the_calibration_of_a_region():
    """K is for the full resolution, the region as well; the image has 200 x 300 pixels, or less."""
    region = info(roi=(10, 20, 200, 300))
    assert info_focal(region, (200, 300)) == pytest.approx(500 / math.sqrt(200 * 300))
    binned = info(roi=(10, 20, 200, 300), binning=(2, 2))
    # In pixels of the image: 250 / sqrt(100 * 150).
    assert info_focal(binned, (100, 150)) == pytest.approx(250 / math.sqrt(100 * 150))
    uneven = info(roi=(10, 20, 200, 300), binning=(1, 3))
    # In pixels of the image: fx 500 / 3, fy 500, of 200 x 100.
    expected = math.sqrt(500 / 3 * 500) / math.sqrt(200 * 100)
    assert info_focal(uneven, (200, 100)) == pytest.approx(expected)


def test_a_calibration_without_a_size_is_for_the_image():
    assert info_focal(info(size=(0, 0)), (100, 200)) == pytest.approx(500 / math.sqrt(100 * 200))
    binned = info(size=(0, 0), binning=(2, 2))
    assert info_focal(binned, (100, 200)) == pytest.approx(250 / math.sqrt(100 * 200))


def test_uncalibrated_cameras_are_unknown():
    """REP-104: K is zero."""
    assert math.isnan(info_focal(info(0.0, 0.0), (480, 640)))
    assert math.isnan(info_focal(info(500.0, 0.0), (480, 640)))


def test_the_calibration_of_another_image_is_unknown():
    """Of 4:3, where the image has 16:9; but an encoder may pad to multiples of 16."""
    assert math.isnan(info_focal(info(), (720, 1280)))
    assert not fits_image(info(), (720, 1280))
    assert fits_image(info(size=(1080, 1920)), (1088, 1920))


def test_canonical_focal_lengths_are_checked():
    assert check_focal(None) is None
    assert check_focal(0.9) == 0.9
    for wrong in (0.0, -0.9, math.nan, math.inf):
        with pytest.raises(ValueError, match=rf'focal must be a positive.*got {wrong}'):
            check_focal(wrong)
