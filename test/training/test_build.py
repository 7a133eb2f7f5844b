# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Data sets of recipes, and error messages."""

import cv2
import numpy as np
import pytest

from adamtl_ros.data.mixture import Mixture
from adamtl_ros.data.synthetic import write_synthetic_bag
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


def test_folders_and_mixtures_take_their_options(tmp_path):
    for kind in ('images', 'splits', 'depth'):
        (tmp_path / kind).mkdir()
    for name in 'ab':
        cv2.imwrite(str(tmp_path / f'images/{name}.png'), np.zeros((16, 24, 3), np.uint8))
        cv2.imwrite(str(tmp_path / f'depth/{name}.png'), np.full((16, 24), 2000, np.uint16))
    (tmp_path / 'splits/train.txt').write_text('a\nb\n')
    folder = DataConfig('folder', str(tmp_path), options={'part': [-1, None]}, weight=3)
    dataset = build_dataset(folder)
    assert [sample.name for sample in map(dataset.__getitem__, range(len(dataset)))] == ['b']
    options = {'scenes': 2, 'frames': 1, 'height': 16, 'width': 24, 'samples': 1}
    scenes = DataConfig('scenes', options=options, task_weights={'depth': 0.5, 'edges': 0})
    mixture = build_dataset(DataConfig('mixture', sets=(folder, scenes)))
    assert isinstance(mixture, Mixture)
    assert mixture.parts == ((1, 3.0), (2, 1.0))
    assert list(mixture.tasks) == ['semseg', 'human_parts', 'normals', 'saliency', 'depth']
    assert mixture[0].weights == {}
    assert mixture[2].weights['depth'] == 0.5
    assert 'edges' not in mixture[2].labels


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
        (DataConfig('folder', '/nowhere'), '/nowhere has no folder with labels; .* one of semseg'),
        (DataConfig('folder', '/', options={'root': 3}), "options of folder: .*'root'"),
        (
            DataConfig('mixture', sets=(DataConfig('scenes'),), options={'sets': []}),
            'a mixture has no options, its sets have',
        ),
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
