# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Data sets of recipes, and error messages."""

import pytest

from adamtl_ros.data.synthetic_bag import write_synthetic_bag
from adamtl_ros.sample import DataError
from adamtl_ros.training.build import build_dataset
from adamtl_ros.training.recipe import DataConfig


def test_scenes_take_their_options():
    options = {'scenes': 2, 'frames': 3, 'height': 16, 'width': 24, 'samples': 1}
    dataset = build_dataset(DataConfig('scenes', options=options))
    assert len(dataset) == 6
    assert dataset[5].image.shape == (16, 24, 3)


def test_bags_take_their_options(tmp_path):
    write_synthetic_bag(tmp_path / 'bag', frames=2, size=(16, 24), truth=True)
    truth = {'depth': '/ground_truth/depth/image'}
    dataset = build_dataset(DataConfig('bags', str(tmp_path / 'bag'), options={'truth': truth}))
    assert len(dataset) == 2
    assert dataset[0].labels['depth'].shape == (16, 24)


@pytest.mark.parametrize(
    ('source', 'message'),
    [
        (
            DataConfig('images'),
            "unknown data 'images', choose from: scenes, pascal_context, nyud, bag",
        ),
        (DataConfig('scenes'), "options of scenes: .*missing .*'scenes'"),
        (DataConfig('scenes', options={'scenes': 1, 'size': 3}), "options of scenes: .*'size'"),
        (DataConfig('nyud', '/nowhere', options={'sizes': 3}), "options of nyud: .*'sizes'"),
        (DataConfig('bags', '/nowhere', options={'topics': 3}), "options of bags: .*'topics'"),
        (DataConfig('nyud', '/nowhere'), '/nowhere is missing, .*unpack NYUD_MT'),
        (DataConfig('pascal_context', '/nowhere'), '/nowhere is missing, .*unpack PASCAL_MT'),
    ],
)
def test_data_that_cannot_be_opened(source, message):
    with pytest.raises(DataError, match=message):
        build_dataset(source)


@pytest.mark.parametrize(
    ('source', 'message'),
    [
        (DataConfig('scenes', options={'scenes': 0}), 'sizes of a set of scenes must be positive'),
        (DataConfig('bags', '/nowhere'), '/nowhere: no such file or folder'),
        (
            DataConfig('nyud', '/', options={'tasks': ['sky']}),
            "unknown task 'sky', choose from: sem",
        ),
    ],
)
def test_options_that_are_refused_by_the_data(source, message):
    with pytest.raises(ValueError, match=message):
        build_dataset(source)
