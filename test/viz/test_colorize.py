# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Results as pictures."""

import cv2
import numpy as np

from adamtl_ros.tasks import TASKS, label_palette
from adamtl_ros.viz.colorize import class_colors, colorize


def test_labels_in_the_palette():
    ids = np.array([[0, 1, 20, 255]], np.uint8)
    assert (colorize(TASKS['semseg'], ids) == label_palette(21)[ids]).all()


def test_a_wall_is_not_black():
    """Black is the background of PASCAL; where there is none, no class has its color."""
    task = TASKS['semseg'].with_classes(['wall', 'floor'])
    shown = colorize(task, np.array([[0, 1, 255]], np.uint8))[0]
    assert (shown == label_palette(21)[[1, 2, 255]]).all()
    assert (class_colors(TASKS['human_parts'].classes)[0] == 0).all()


def test_forty_classes_and_unlabelled_differ():
    colors = class_colors(tuple(f'class {number}' for number in range(40)))
    assert len(np.unique(colors[[*range(40), 255]], axis=0)) == 41


def test_normals_by_hand():
    """Towards the camera is blue, to the right red, upwards green."""
    vectors = np.array([[(0, 0, -1), (1, 0, 0), (0, -1, 0), (np.nan,) * 3]], np.float32)
    shown = colorize(TASKS['normals'], vectors)[0].tolist()
    assert shown == [[128, 128, 255], [255, 128, 128], [128, 255, 128], [0, 0, 0]]


def test_depth_from_red_to_blue():
    near, far, unknown, negative = colorize(
        TASKS['depth'], np.array([[0.5, 15.0, np.nan, -1.0]], np.float32)
    )[0].astype(int)
    assert near[0] > near[2]
    assert far[2] > far[0]
    assert unknown.tolist() == negative.tolist() == [0, 0, 0]


def test_rooms_and_more_have_colors_of_their_own():
    """Most of the colors are of 0.5 to 4 m, and what is beyond still differs."""
    meters = np.float32([[0.2, 0.5, 1, 2, 4, 8, 16, 40]])
    shown = colorize(TASKS['depth'], meters)[0].astype(int)
    steps = np.abs(np.diff(shown, axis=0)).sum(1)
    assert (steps > 20).all()
    # In the middle of the colors, and 1 / (1 + 0.25^1.5) = 8/9 of them from the far end.
    middle, near = (cv2.applyColorMap(np.uint8([[shade]]), cv2.COLORMAP_TURBO)[0, 0, ::-1]
                    for shade in (127, 226))  # fmt: skip
    np.testing.assert_array_equal(shown[3], middle)
    np.testing.assert_array_equal(shown[1], near)


def test_probabilities_are_grey():
    shown = colorize(TASKS['edges'], np.array([[0, 200]], np.uint8))
    assert shown.tolist() == [[[0, 0, 0], [200, 200, 200]]]
