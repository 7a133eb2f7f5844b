# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Bags inside data sets, for what the training says of them."""

import numpy as np
import pytest
from helpers import bag_files

from adamtl_ros.data.mixture import Mixture, Weighted
from adamtl_ros.data.transforms import Resized, Subset
from adamtl_ros.sample import DataError
from adamtl_ros.training.build import build_dataset, find_bags
from adamtl_ros.training.recipe import DataConfig

DEPTH = '/camera/depth/image_raw'


@pytest.fixture
def walk(tmp_path):
    deep = [(bag_files.stamp(n), DEPTH, bag_files.image(bag_files.stamp(n), depth))
            for n, depth in enumerate([bag_files.plain(30000, np.uint16)] * 4)]  # fmt: skip
    return bag_files.write(tmp_path / 'walk', bag_files.frames(range(4)) + deep)


def source(path, **options):
    return DataConfig('bags', str(path), 'train', options)


def test_bags_are_found_through_all_that_wraps_them(walk):
    data = build_dataset(source(walk, more=[str(walk)], holdout=0.25, size=[32, 32]))
    assert isinstance(data, Resized)
    wrapped = Mixture([Weighted(data, {'depth': 2.0}), Subset(data, [0])], [1.0, 1.0])
    assert [bag.path for bag in find_bags(wrapped)] == [walk] * 4
    assert find_bags([1, 2]) == []


def test_options_of_the_depth_camera_in_a_recipe(walk):
    assert np.isnan(build_dataset(source(walk))[0].labels['depth']).all()
    assert (build_dataset(source(walk, max_depth=31))[0].labels['depth'] == 30).all()
    with pytest.raises(DataError, match='no ground truth on'):
        build_dataset(source(walk, depth_camera=False))
