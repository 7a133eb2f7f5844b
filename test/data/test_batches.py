# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The order in which a training sees its images, and their batches."""

from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adamtl_ros.data.batches import Batch, ResumableBatchSampler, batches, collate
from adamtl_ros.data.transforms import Augmentation
from adamtl_ros.sample import Sample, unknown_label, valid_mask
from adamtl_ros.tasks import TASKS

COUNTS = st.integers(1, 30)
FEW = settings(deadline=None, max_examples=40)


def form(name, height, width):
    """Return shape and type of a label."""
    exact = name in ('normals', 'depth')
    shape = (height, width, 3) if name == 'normals' else (height, width)
    return shape, np.float32 if exact else np.uint8


class Numbers:
    """Images whose pixels are their number; odd ones have no depth."""

    tasks = TASKS

    def __len__(self):
        """Return how many there are."""
        return 10

    def __getitem__(self, index):
        """Return an image with a step in it, so that a mirror can be told."""
        image = np.full((12, 16, 3), 10 * index, np.uint8)
        image[:, 8:] += 5
        labels = {}
        for name in TASKS:
            shape, kind = form(name, 12, 16)
            labels[name] = np.full(shape, index / 10 if kind == np.float32 else index % 2, kind)
        if index % 2:
            del labels['depth']
        return Sample(image, labels, str(index))


@FEW
@given(COUNTS, COUNTS, COUNTS, st.integers(0, 9), st.data())
def test_a_restart_goes_on_with_the_very_next_step(images, batch, steps, seed, data):
    whole = list(ResumableBatchSampler(images, batch, steps, seed))
    first = data.draw(st.integers(0, steps))
    rest = ResumableBatchSampler(images, batch, steps, seed, first)
    assert list(rest) == whole[first:]
    assert len(rest) == len(whole) - first == steps - first


@FEW
@given(COUNTS, COUNTS, COUNTS, st.integers(0, 9))
def test_each_epoch_sees_each_image_once(images, batch, steps, seed):
    seen = list(chain.from_iterable(ResumableBatchSampler(images, batch, steps, seed)))
    assert [place for _, place in seen] == list(range(batch * steps))
    for begin in range(0, batch * steps, images):
        epoch = [image for image, _ in seen[begin : begin + images]]
        assert len(set(epoch)) == len(epoch)
        if len(epoch) == images:
            assert sorted(epoch) == list(range(images))
        assert set(epoch) <= set(range(images))


@FEW
@given(COUNTS, st.integers(1, 4), st.integers(1, 5), COUNTS, st.integers(0, 9))
def test_ranks_share_every_step_among_them(images, world, share, steps, seed):
    batch = share * world
    whole = list(ResumableBatchSampler(images, batch, steps, seed))
    ranks = [list(ResumableBatchSampler(images, batch, steps, seed, rank=rank, world=world))
             for rank in range(world)]  # fmt: skip
    for number, step in enumerate(whole):
        parts = [rank[number] for rank in ranks]
        assert {len(part) for part in parts} == {share}
        assert sorted(chain.from_iterable(parts), key=lambda pair: pair[1]) == step


def test_epochs_and_seeds_have_orders_of_their_own():
    seen = [image for ((image, _),) in ResumableBatchSampler(images=40, batch=1, steps=80, seed=1)]
    other = [image for ((image, _),) in ResumableBatchSampler(images=40, batch=1, steps=40, seed=2)]
    assert seen[:40] != seen[40:]
    assert seen[:40] != other
    assert seen[:40] != list(range(40))


def test_many_orders_at_once_do_not_mix():
    orders = [ResumableBatchSampler(images=7, batch=3, steps=20, seed=seed) for seed in range(6)]
    alone = [list(order) for order in orders]
    assert list(zip(*alone, strict=True)) == list(zip(*orders, strict=True))


def test_samples_join_to_tensors_with_channels_first():
    data = Numbers()
    batch = collate([data[2], data[4]], TASKS)
    assert (batch.images.shape, batch.images.dtype) == ((2, 3, 12, 16), torch.uint8)
    assert batch.images[1, :, 0, 0].tolist() == [40, 40, 40]
    assert list(batch.labels) == list(TASKS)
    for name, label in batch.labels.items():
        assert label.shape == ((2, 3, 12, 16) if name == 'normals' else (2, 12, 16))
        exact = name in ('normals', 'depth')
        assert label.dtype == (torch.uint8 if TASKS[name].classes else torch.float32)
        assert torch.equal(label[0].float().unique(), torch.tensor([0.2 if exact else 0.0]))
    # The second number of an image's normals is the second channel.
    sample = data[2]
    sample.labels['normals'][3, 5] = 1, 2, 3
    sample.image[3, 5] = 4, 5, 6
    (image,), labels = collate([sample], ['normals']).images, collate([sample], ['normals']).labels
    assert labels['normals'][0, :, 3, 5].tolist() == [1, 2, 3]
    assert image[:, 3, 5].tolist() == [4, 5, 6]


def test_what_a_sample_does_not_say_is_unknown():
    data = Numbers()
    batch = collate([data[1], data[2]], ['depth', 'semseg'])
    assert list(batch.labels) == ['depth', 'semseg']
    assert batch.labels['depth'][0].isnan().all()
    assert (batch.labels['depth'][1] == 0.2).all()
    bare = collate([Sample(np.zeros((4, 6, 3), np.uint8))], TASKS)
    for name, label in bare.labels.items():
        if TASKS[name].classes:
            assert (label == 255).all()
        else:
            assert label.isnan().all()


@pytest.mark.parametrize('name', TASKS)
def test_unknown_labels_have_the_form_of_the_others(name):
    label = unknown_label(name, 4, 6)
    assert (label.shape, label.dtype) == form(name, 4, 6)
    assert not valid_mask(name, label).any()
    label[1, 2] = 0
    assert valid_mask(name, label).sum() == 1
    assert valid_mask(name, label)[1, 2]


def test_batches_move_to_a_device():
    batch = collate([Numbers()[2]], TASKS).to(torch.device('meta'))
    assert isinstance(batch, Batch)
    assert {batch.images.device.type, *(x.device.type for x in batch.labels.values())} == {'meta'}


def found(order, workers=0, augmentation=None):
    """Return the batches of an order with all tasks."""
    varied = augmentation or Augmentation()
    return list(batches(Numbers(), varied, (10, 14), order, list(TASKS), workers))


def same(one, other):
    assert len(one) == len(other)
    for left, right in zip(one, other, strict=True):
        assert torch.equal(left.images, right.images)
        for name, label in left.labels.items():
            torch.testing.assert_close(label, right.labels[name], rtol=0, atol=0, equal_nan=True)


def test_a_process_beside_this_one_prepares_the_same_batches():
    order = ResumableBatchSampler(images=10, batch=4, steps=6, seed=5)
    same(found(order), found(order, workers=1))


def test_batches_after_a_restart_are_those_of_an_unbroken_run():
    whole = found(ResumableBatchSampler(images=10, batch=4, steps=8, seed=5))
    same(found(ResumableBatchSampler(images=10, batch=4, steps=8, seed=5, first=3)), whole[3:])


def test_batches_of_the_ranks_are_parts_of_the_whole():
    whole = found(ResumableBatchSampler(images=10, batch=4, steps=3, seed=5))
    for rank in range(2):
        part = found(ResumableBatchSampler(images=10, batch=4, steps=3, seed=5, rank=rank, world=2))
        for mine, all_of_it in zip(part, whole, strict=True):
            assert torch.equal(mine.images, all_of_it.images[rank::2])


def test_an_image_looks_different_each_time():
    order = ResumableBatchSampler(images=1, batch=1, steps=8, seed=0)
    images = [batch.images for batch in found(order)]
    assert len({tuple(image.flatten().tolist()) for image in images}) > 4


def test_images_come_in_the_order_that_was_asked_for():
    plain = Augmentation((1, 1), flip=False, color=0)
    order = ResumableBatchSampler(images=10, batch=4, steps=5, seed=3)
    for pairs, batch in zip(order, found(order, augmentation=plain), strict=True):
        assert batch.images[:, 0, 0, 0].tolist() == [10 * image for image, _ in pairs]
        depth = batch.labels['depth'][:, 0, 0]
        assert depth.isnan().tolist() == [image % 2 == 1 for image, _ in pairs]
