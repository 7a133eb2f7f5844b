# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The F measure of edges."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from adamtl_ros.evaluation.metrics import (
    EDGE_TOLERANCE,
    PROTOCOLS,
    EdgeODS,
    count_matches,
    metric_for,
    skeleton,
    thin_edges,
)
from adamtl_ros.tasks import TASKS

HEIGHT, WIDTH = 96, 128
REACH = EDGE_TOLERANCE * math.hypot(HEIGHT, WIDTH)  # 1.2 pixels


def line(x, width=1, value=1):
    """Return an upright line."""
    image = np.zeros((HEIGHT, WIDTH), np.uint8)
    image[:, x : x + width] = value
    return image


def score(*pairs):
    metric = EdgeODS()
    for result, label in pairs:
        metric.update(result, label)
    return metric.compute()['ods_f']


def drawing(seed):
    draw = np.random.default_rng(seed)
    image = np.zeros((HEIGHT, WIDTH), np.uint8)
    for _ in range(4):
        (x, y, x2, y2), radius = draw.integers(10, 90, 4).tolist(), int(draw.integers(8, 30))
        cv2.line(image, (x, y), (x2, y2), 1, 1)
        cv2.circle(image, (x2, y), radius, 1, 1)
    return image


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), level=st.sampled_from([1, 100, 255]))
def test_the_right_edges_are_perfect_at_any_strength(seed, level):
    label = drawing(seed)
    # Strokes that nearly touch flow into one.
    assert score((label * np.uint8(level), label)) > 0.95


def test_a_line_within_tolerance_counts_and_one_beyond_does_not():
    label = line(60)
    assert score((line(60 + int(REACH), value=255), label)) == 1
    assert score((line(60 + int(REACH) + 1, value=255), label)) == 0


def test_precision_and_recall_by_hand():
    one, other, third = line(20), line(60), line(100)
    # One of two true lines is found, at the strength of a false one.
    result = np.maximum(one, third) * np.uint8(200)
    assert score((result, np.maximum(one, other))) == pytest.approx(0.5)
    # A threshold above the false line drops it: precision 1, recall 1/2.
    result = one * np.uint8(200) + third * np.uint8(100)
    assert score((result, np.maximum(one, other))) == pytest.approx(2 / 3)


def test_counts_are_added_up_before_the_ratio():
    empty, label = line(0, 0), line(60)
    # Found 3, right 1, true 2, recalled 1 in units of a line.
    false = np.maximum(line(20), line(100)) * np.uint8(255)
    right = (line(60, value=255), label)
    assert score(right, (false, label)) == pytest.approx(2 * (1 / 3 * 1 / 2) / (1 / 3 + 1 / 2))
    assert score(right, (empty, empty)) == 1


def test_one_threshold_serves_all_images():
    label = line(60)
    # Right only above 150 in the first image, right only at 100 in the second.
    first = line(60, value=200) + line(20, value=150)
    second = line(60, value=100)
    assert score((first, label)) == score((second, label)) == 1
    assert score((first, label), (second, label)) == pytest.approx(2 * (2 / 3) / (5 / 3))


def test_no_edge_in_truth_or_result():
    nothing = np.zeros((HEIGHT, WIDTH), np.uint8)
    assert math.isnan(score((line(60, value=255), nothing)))
    assert score((nothing, line(60))) == 0


def test_thick_and_blurred_lines_are_thin_edges():
    label = line(60)
    thick = line(58, 5, 255)
    assert np.count_nonzero(thin_edges(thick)[10]) <= 3
    assert score((thick, label)) > 0.95
    soft = cv2.GaussianBlur(line(60, value=255), (0, 0), 3)
    assert np.count_nonzero(thin_edges(soft)[10] > 3) == 1
    assert score((soft, label)) == 1


def test_slanted_lines_are_thin_edges():
    drawn = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.line(drawn, (5, 5), (120, 70), 255, 1)
    soft = cv2.GaussianBlur(drawn, (0, 0), 2)
    ridge = thin_edges(soft) > 20
    distance = cv2.distanceTransform((drawn == 0).astype(np.uint8), cv2.DIST_L2, 5)
    # The ridge of a blurred line is somewhat longer than the line.
    assert distance[:, 10:115][ridge[:, 10:115]].max() < 1.5
    assert ridge.sum() < 2 * np.count_nonzero(drawn)


def test_the_gap_of_a_double_line_is_its_ridge():
    assert score((line(59, value=255) + line(61, value=255), line(60))) == 1


def test_edges_everywhere_are_worth_little():
    flood = np.full((HEIGHT, WIDTH), 255, np.uint8)
    label = line(60)
    near = (2 * int(REACH) + 1) / WIDTH
    assert score((flood, label)) == pytest.approx(2 * near / (near + 1))


def bsds(*pairs, tolerance=0.02):
    metric = EdgeODS(tolerance)
    for result, label in pairs:
        metric.update(result, label)
    return metric.compute()['ods_f_bsds']


def test_a_pixel_matches_one_pixel():
    label = line(60)
    # Two lines within reach of one: both are near it, but only one can be its match.
    double = line(58, value=255) + line(62, value=255)
    assert EdgeODS(0.02).compute().keys() == {'ods_f', 'ods_f_bsds'}
    assert bsds((line(60, value=255), label)) == 1
    assert bsds((double, label)) == pytest.approx(2 * 0.5 / 1.5)
    assert bsds((line(60, value=255), np.maximum(line(58), line(62)))) == pytest.approx(1 / 1.5)


def test_lines_beyond_reach_do_not_match():
    # 0.02 of the diagonal of 160 pixels is 3.2 pixels.
    assert bsds((line(63, value=255), line(60))) == 1
    assert bsds((line(64, value=255), line(60))) == 0


def test_a_thick_label_counts_as_a_line():
    assert bsds((line(60, value=255), line(59, 3))) > 0.97


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 10_000))
def test_matching_one_to_one_is_never_better_than_nearness(seed):
    draw = np.random.default_rng(seed)
    label = skeleton(drawing(seed) > 0).astype(np.uint8)
    result = drawing(seed + 1) * draw.integers(100, 255, label.shape).astype(np.uint8)
    metric = EdgeODS(EDGE_TOLERANCE)
    metric.update(result, label)
    found = metric.compute()
    # Thinning the result once more may change a few pixels.
    assert found['ods_f_bsds'] <= found['ods_f'] + 0.03


def test_matches_merge_and_no_edge_is_nan():
    one, other = EdgeODS(0.02), EdgeODS(0.02)
    one.update(line(60, value=255), line(60))
    other.update(line(0, 0), line(60))
    one.merge(other)
    assert one.compute()['ods_f_bsds'] == pytest.approx(2 / 3)
    assert math.isnan(bsds((line(60, value=255), line(0, 0))))
    with pytest.raises(ValueError, match=r'within None cannot be added to those within 0\.02'):
        one.merge(EdgeODS())


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), reach=st.sampled_from([0.5, 1.0, 1.5, 2.3]))
def test_matches_are_those_of_taking_the_closest_pair_again_and_again(seed, reach):
    draw = np.random.default_rng(seed)
    one, other = draw.random((2, 6, 7)) < 0.3
    places = [np.argwhere(mask) for mask in (one, other)]
    distance = np.linalg.norm(places[0][:, None] - places[1], axis=-1)
    near = distance <= reach
    rows, columns = linear_sum_assignment(near, maximize=True)
    largest = near[rows, columns].sum()
    # No free pair is left, so that it has at least half of the pairs of a largest matching.
    assert largest / 2 <= count_matches(one, other, reach) <= largest
    if near.sum(0).max(initial=0) <= 1 and near.sum(1).max(initial=0) <= 1:
        assert count_matches(one, other, reach) == largest


def test_the_closest_pair_matches_first():
    one, other = np.zeros((2, 1, 9), bool)
    one[0, [2, 4]], other[0, [1, 3]] = True, True
    # 2 may match 1 or 3; whichever it takes, 4 reaches 3 only.
    assert count_matches(one, other, 1) in {1, 2}
    other[0, [1, 3]], other[0, [0, 4]] = False, True
    assert count_matches(one, other, 2) == 2


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_skeletons_keep_what_is_connected_and_are_thin(seed):
    mask = cv2.dilate(drawing(seed), np.ones((3, 3), np.uint8)) > 0
    thin = skeleton(mask)
    assert not (thin & ~mask).any()
    assert (
        cv2.connectedComponents(mask.astype(np.uint8))[0]
        == (cv2.connectedComponents(thin.astype(np.uint8))[0])
    )
    squares = thin[:-1, :-1] & thin[1:, :-1] & thin[:-1, 1:] & thin[1:, 1:]
    assert squares.sum() <= 0.02 * thin.sum()
    assert (skeleton(thin) == thin).all()


def test_skeleton_by_hand():
    bar = np.zeros((5, 9), bool)
    bar[1:4, 1:8] = True
    thin = skeleton(bar)
    assert thin[2, 3:6].all()
    assert not thin[[0, 1, 3, 4]].any()
    straight = line(60) > 0
    assert (skeleton(straight) == straight).all()
    assert not skeleton(np.zeros((4, 4), bool)).any()


def test_the_tolerance_of_nyud_is_that_of_papers_on_several_tasks():
    # 0.011 of the diagonal of 400 pixels is 4.4 pixels, 0.0075 is 3.
    label, four, five = (np.zeros((240, 320), np.uint8) for _ in range(3))
    label[:, 100], four[:, 104], five[:, 105] = 1, 255, 255
    for result, expected in ((four, 1), (five, 0)):
        metric = metric_for(TASKS['edges'], PROTOCOLS['nyud'])
        metric.update(result, label)
        assert metric.compute() == {'ods_f': 0, 'ods_f_bsds': expected}


def test_soft_edges_are_true_from_one_half_on():
    soft = np.zeros((40, 60), np.float32)
    soft[:, 20], soft[:, 40] = 0.6, 0.4
    soft[0] = np.nan
    found = np.zeros((40, 60), np.uint8)
    found[:, 20] = 200
    assert score((found, soft)) == 1
    assert score((line(20), line(21))) == score((line(20), line(21).astype(np.float32)))
