# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The task table."""

import numpy as np
import pytest

from adamtl_ros.tasks import TASKS, UNLABELLED, label_palette, select


def test_the_six_tasks_and_their_encodings():
    assert {name: task.encoding for name, task in TASKS.items()} == {
        'semseg': 'mono8',
        'human_parts': 'mono8',
        'normals': '32FC3',
        'saliency': 'mono8',
        'depth': '32FC1',
        'edges': 'mono8',
    }
    assert [task.channels for task in TASKS.values()] == [21, 7, 3, 1, 1, 1]


def test_select_keeps_table_order_and_drops_doubles():
    assert select(['edges', 'semseg', 'edges']) == ('semseg', 'edges')
    with pytest.raises(ValueError, match="unknown task 'Depth', choose from: semseg, human_parts"):
        select(['Depth'])
    with pytest.raises(ValueError, match='choose from: depth'):
        select(['edges'], ['depth'])


def test_classes_of_a_checkpoint():
    assert TASKS['semseg'].with_classes(['a', 'b']).channels == 2
    for name, classes in (('semseg', []), ('edges', ['a']), ('semseg', ['x'] * 256)):
        with pytest.raises(ValueError, match=f"task '{name}' takes"):
            TASKS[name].with_classes(classes)


def test_palette_is_the_published_one():
    palette = label_palette(21)
    # Colors of the PASCAL VOC development kit.
    assert palette[0].tolist() == [0, 0, 0]
    assert palette[1].tolist() == [128, 0, 0]
    assert palette[15].tolist() == [192, 128, 128]
    assert palette[20].tolist() == [0, 64, 128]
    assert palette[UNLABELLED].tolist() == palette[21].tolist() == [224, 224, 192]
    assert len(np.unique(palette[:21], axis=0)) == 21
    assert len(np.unique(label_palette(254, 1), axis=0)) == 255
    assert (label_palette(20, 1)[:20] == palette[1:21]).all()
