# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Results as pictures."""

import numpy as np

from adamtl_ros.tasks import TASKS, label_palette
from adamtl_ros.viz.colorize import colorize


def test_labels_in_the_palette():
    ids = np.array([[0, 1, 20, 255]], np.uint8)
    assert (colorize(TASKS['semseg'], ids) == label_palette(21)[ids]).all()


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


def test_probabilities_are_grey():
    shown = colorize(TASKS['edges'], np.array([[0, 200]], np.uint8))
    assert shown.tolist() == [[[0, 0, 0], [200, 200, 200]]]
