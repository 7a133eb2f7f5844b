# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Data sets made of others."""

import numpy as np
import pytest

from adamtl_ros.data.datasets import Joined, Part, Resized, split_in_time
from adamtl_ros.sample import DataError, Sample
from adamtl_ros.tasks import TASKS


class Numbers:
    """Images that are as bright as their number says."""

    def __init__(self, first, count, tasks=('depth',), classes=()):
        self.numbers = range(first, first + count)
        self.tasks = {name: TASKS[name] for name in tasks}
        if classes:
            self.tasks['semseg'] = TASKS['semseg'].with_classes(classes)

    def __len__(self):
        return len(self.numbers)

    def __getitem__(self, index):
        depth = np.full((4, 6), self.numbers[index], np.float32)
        return Sample(np.full((4, 6, 3), self.numbers[index], np.uint8), {'depth': depth})


def brightness(dataset):
    return [int(dataset[index].image[0, 0, 0]) for index in range(len(dataset))]


def test_data_sets_in_a_row():
    joined = Joined([Numbers(0, 2), Numbers(10, 1, ('edges',)), Numbers(20, 3, ('semseg',))])
    assert brightness(joined) == [0, 1, 10, 20, 21, 22]
    assert list(joined.tasks) == ['semseg', 'depth', 'edges']


def test_classes_must_be_the_same_everywhere():
    with pytest.raises(DataError, match=r"classes of 'semseg' differ .* \['a'\] and \['b'\]"):
        Joined([Numbers(0, 1, classes=['a']), Numbers(0, 1, classes=['b'])])


def test_a_part_and_its_ends():
    part = Part(Numbers(5, 9), range(2, 4))
    assert brightness(part) == [7, 8]
    assert list(part.tasks) == ['depth']
    for dataset in (part, Joined([part])):
        for index in (-1, 2):
            with pytest.raises(IndexError, match=f'image {index} is outside 0 to 1'):
                dataset[index]


def test_another_size_shows_the_whole_image_and_leaves_depth_alone():
    small = Resized(Numbers(3, 2), (2, 3))
    assert (len(small), list(small.tasks)) == (2, ['depth'])
    assert small[1].image.shape == (2, 3, 3)
    assert np.array_equal(small[1].labels['depth'], np.full((2, 3), 4, np.float32))


@pytest.mark.parametrize(
    ('count', 'holdout', 'gap', 'expected'),
    [
        (100, 0.2, 0.05, (range(75), range(80, 100))),
        (100, 0.2, 0.0, (range(80), range(80, 100))),
        (3, 0.1, 0.1, (range(2), range(2, 3))),
        (7, 0.0, 0.5, (range(7), range(7, 7))),
    ],
)
def test_what_is_held_out_is_the_end(count, holdout, gap, expected):
    assert split_in_time(count, holdout, gap) == expected


@pytest.mark.parametrize(('holdout', 'gap'), [(0.9, 0.2), (1.0, 0.0), (-0.1, 0.0), (0.2, -0.1)])
def test_shares_that_leave_nothing_are_refused(holdout, gap):
    with pytest.raises(ValueError, match=r'leave none to learn from; .* a longer recording'):
        split_in_time(10, holdout, gap)
