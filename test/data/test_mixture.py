# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Mixtures of data sets: shares of the drawn images, and weights of labels."""

from collections import Counter
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamtl_ros.data.batches import ResumableBatchSampler, collate, draw_sets
from adamtl_ros.data.mixture import Mixture, Weighted, parts_of
from adamtl_ros.sample import DataError, Sample
from adamtl_ros.tasks import TASKS

FEW = settings(deadline=None, max_examples=40)
PARTS = st.lists(st.tuples(st.integers(1, 12), st.floats(0.05, 9)), min_size=1, max_size=4)


class Numbers:
    """Images that are as bright as their number, with depth, and classes if they are given."""

    def __init__(self, first, count, classes=()):
        self.numbers = range(first, first + count)
        self.tasks = {'depth': TASKS['depth']}
        if classes:
            self.tasks['semseg'] = TASKS['semseg'].with_classes(classes)

    def __len__(self):
        return len(self.numbers)

    def __getitem__(self, index):
        label = np.full((4, 6), self.numbers[index], np.float32)
        return Sample(np.full((4, 6, 3), self.numbers[index], np.uint8), {'depth': label})


def drawn(parts, batch=1, steps=1, seed=0, **options):
    """Return the (image, position) pairs of each step."""
    images = sum(count for count, _ in parts)
    return list(ResumableBatchSampler(images, batch, steps, seed, parts=tuple(parts), **options))


@FEW
@given(PARTS, st.integers(1, 400), st.integers(0, 9))
def test_sets_have_their_shares_of_any_number_of_images(parts, count, seed):
    sets, turns = draw_sets([share for _, share in parts], seed, count)
    total = sum(share for _, share in parts)
    for one, (_, share) in enumerate(parts):
        found = turns[sets == one]
        assert found.tolist() == list(range(len(found)))
        assert abs(len(found) - count * share / total) < 5


def test_shares_hold_in_the_long_run_and_in_each_batch():
    steps = drawn([(100, 4), (7, 1)], batch=20, steps=500)
    counts = [sum(image >= 100 for image, _ in step) for step in steps]
    assert sum(counts) == pytest.approx(0.2 * 20 * 500, rel=0.002)
    assert set(counts) <= {2, 3, 4, 5, 6}


@FEW
@given(PARTS, st.integers(1, 9), st.integers(1, 30), st.integers(0, 9))
def test_each_set_is_seen_whole_before_it_is_seen_again(parts, batch, steps, seed):
    seen = [image for image, _ in chain.from_iterable(drawn(parts, batch, steps, seed))]
    first = 0
    for count, _ in parts:
        images = [image for image in seen if first <= image < first + count]
        for begin in range(0, len(images), count):
            epoch = images[begin : begin + count]
            assert len(set(epoch)) == len(epoch)
        first += count
    assert set(seen) <= set(range(first))


@FEW
@given(PARTS, st.integers(1, 9), st.integers(1, 20), st.integers(0, 9), st.data())
def test_a_mixture_goes_on_with_the_very_next_step(parts, batch, steps, seed, data):
    whole = drawn(parts, batch, steps, seed)
    first = data.draw(st.integers(0, steps))
    assert drawn(parts, batch, steps, seed, first=first) == whole[first:]
    longer = drawn(parts, batch, steps + 5, seed)
    assert longer[:steps] == whole
    ranks = [drawn(parts, 2 * batch, steps, seed, rank=rank, world=2) for rank in range(2)]
    both = [sorted(a + b, key=lambda pair: pair[1]) for a, b in zip(*ranks, strict=True)]
    assert both == drawn(parts, 2 * batch, steps, seed)


def test_one_set_alone_is_drawn_as_without_a_mixture():
    plain = list(ResumableBatchSampler(images=9, batch=4, steps=7, seed=3))
    assert drawn([(9, 2.5)], batch=4, steps=7, seed=3) == plain


def test_images_of_a_set_come_from_that_set():
    mixture = Mixture([Numbers(0, 3), Numbers(100, 2)], [1, 3])
    assert parts_of(mixture) == ((3, 1), (2, 3))
    assert parts_of(Numbers(0, 3)) == ()
    pairs = chain.from_iterable(drawn(parts_of(mixture), batch=4, steps=10))
    bright = Counter(int(mixture[image].image[0, 0, 0]) for image, _ in pairs)
    assert set(bright) == {0, 1, 2, 100, 101}
    assert 29 <= bright[100] + bright[101] <= 31


def test_classes_of_the_sets_must_agree():
    same = Mixture([Numbers(0, 1, ['a', 'b']), Numbers(0, 1), Numbers(0, 1, ['a', 'b'])], [1, 1, 1])
    assert same.tasks['semseg'].classes == ('a', 'b')
    with pytest.raises(
        DataError, match=r"classes of 'semseg' differ between the data sets: .*semseg: 0"
    ):
        Mixture([Numbers(0, 1, ['a', 'b']), Numbers(0, 1, ['b', 'a'])], [1, 1])


def test_weights_of_a_set_reach_the_batch():
    weighted = Weighted(Weighted(Numbers(0, 2), {'depth': 0.5}), {'depth': 0.5, 'edges': 3})
    assert weighted[1].weights == {'depth': 0.25}
    assert list(weighted.tasks) == ['depth']
    batch = collate([weighted[0], Numbers(0, 1)[0]], ['depth', 'edges'])
    assert batch.weights['depth'].tolist() == [[[0.25]], [[1.0]]]
    assert list(batch.weights) == ['depth']
    assert not collate([Numbers(0, 1)[0]], ['depth']).weights


def test_a_weight_of_zero_leaves_labels_out():
    """Classes of a set without labels of that task need not agree with the others."""
    without = Weighted(Numbers(0, 2, ['a']), {'semseg': 0, 'depth': 0.5})
    assert list(without.tasks) == ['depth']
    assert list(Mixture([without, Numbers(0, 1, ['b'])], [1, 1]).tasks) == ['semseg', 'depth']
    nothing = Weighted(Numbers(0, 2), {'depth': 0})[0]
    assert nothing.labels == nothing.weights == {}


def test_weights_of_pixels_and_of_images_join():
    sample = Numbers(0, 1)[0]
    confident = Sample(sample.image, sample.labels, weights={'depth': np.full((4, 6), 0.3)})
    batch = collate([confident, Weighted(Numbers(0, 1), {'depth': 2})[0], sample], ['depth'])
    assert batch.weights['depth'].shape == (3, 4, 6)
    assert batch.weights['depth'][:, 3, 5].tolist() == pytest.approx([0.3, 2, 1])
