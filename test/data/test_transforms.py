# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Transforms of samples and of data sets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamtl_ros.data.transforms import (
    Augmentation,
    ConcatDataset,
    Resized,
    Subset,
    mirror,
    resize,
    split_in_time,
)
from adamtl_ros.sample import DataError, Sample
from adamtl_ros.tasks import TASKS

SIDES = st.integers(8, 48)
SIZES = st.tuples(SIDES, SIDES)
SEEDS = st.integers(0, 10**6)
FEW = settings(deadline=None, max_examples=40)
STILL = Augmentation(scale=(1, 1), flip=False, color=0)


def sample(height=24, width=32, seed=0):
    """Return noise in all labels, with some pixels unknown."""
    random = np.random.default_rng(seed)
    size = height, width
    normals = random.standard_normal((*size, 3)).astype(np.float32)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    labels = {
        'semseg': random.integers(0, 21, size).astype(np.uint8),
        'human_parts': random.integers(0, 7, size).astype(np.uint8),
        'normals': normals,
        'saliency': random.integers(0, 2, size).astype(np.uint8),
        'depth': random.uniform(0.5, 9, size).astype(np.float32),
        'edges': random.integers(0, 2, size).astype(np.uint8),
    }
    assert list(labels) == list(TASKS)
    unknown = random.random(size) < 0.1
    for name, label in labels.items():
        label[unknown] = np.nan if name in ('normals', 'depth') else 255
    image = random.integers(0, 256, (*size, 3)).astype(np.uint8)
    return Sample(image, labels, 'noise', 0.4)


def equal(one, other):
    np.testing.assert_array_equal(one.image, other.image)
    assert list(one.labels) == list(other.labels)
    for name, label in one.labels.items():
        np.testing.assert_array_equal(label, other.labels[name])
        assert label.dtype == other.labels[name].dtype
    assert (one.name, one.difficulty) == (other.name, other.difficulty)


def form(result, size):
    """Check sizes and types."""
    assert (result.image.shape, result.image.dtype) == ((*size, 3), np.uint8)
    for name, label in result.labels.items():
        vector = name == 'normals'
        assert label.shape == ((*size, 3) if vector else size)
        assert label.dtype == (np.float32 if name in ('normals', 'depth') else np.uint8)


def values(label):
    """Return what pixels hold, as a set of tuples; NaN is -9."""
    flat = label.reshape(-1, label.shape[2] if label.ndim == 3 else 1)
    return set(map(tuple, np.nan_to_num(flat.astype(float), nan=-9).tolist()))


@FEW
@given(SIZES, SEEDS)
def test_mirrored_twice_is_as_before(size, seed):
    before = sample(size[0], size[1], seed)
    after = mirror(mirror(before))
    equal(after, before)
    form(after, size)


@FEW
@given(SIZES, SEEDS)
def test_a_mirror_exchanges_left_and_right(size, seed):
    before = sample(size[0], size[1], seed)
    after = mirror(before)
    form(after, size)
    np.testing.assert_array_equal(after.image, before.image[:, ::-1])
    for name, label in before.labels.items():
        wanted = label[:, ::-1]
        if name == 'normals':
            wanted = np.stack([-wanted[..., 0], wanted[..., 1], wanted[..., 2]], -1)
        np.testing.assert_array_equal(after.labels[name], wanted)
        assert after.labels[name].flags.c_contiguous


@FEW
@given(SIZES, SIZES, SEEDS)
def test_resized_labels_hold_no_new_values(size, wanted, seed):
    before = sample(size[0], size[1], seed)
    after = resize(before, wanted)
    form(after, wanted)
    for name, label in before.labels.items():
        assert values(after.labels[name]) <= values(label)
    assert (after.name, after.difficulty) == ('noise', 0.4)


def test_a_size_that_is_right_is_kept():
    before = sample()
    assert resize(before, (24, 32)) is before


def test_twice_the_size_repeats_every_label():
    before = sample(6, 8)
    after = resize(before, (12, 16))
    for name, label in before.labels.items():
        np.testing.assert_array_equal(after.labels[name], label.repeat(2, 0).repeat(2, 1))


@FEW
@given(SIDES, SIDES)
def test_labels_keep_their_place_in_the_image(side, wanted):
    """In a ramp that is image and label at once both show the same, within half a pixel.

    And over the whole ramp they do so on average: labels are not shifted against the image.
    """
    ramp = np.arange(side, dtype=np.float32)
    levels = np.round(ramp * 5).astype(np.uint8)
    plane = np.tile(ramp, (side, 1))
    before = Sample(np.tile(levels[None, :, None], (side, 1, 3)), {'depth': plane})
    after = resize(before, (wanted, wanted))
    shift = after.labels['depth'] - after.image[..., 0] / 5.0
    reach = max(1.0, side / wanted)
    assert np.abs(shift).max() < 0.5 * reach + 0.25
    # Exactly half the pixels leaves two that are equally near; either will do.
    if side % wanted:
        assert abs(shift.mean()) < 0.25 * reach


@FEW
@given(SIZES, SEEDS)
def test_a_window_of_full_size_without_zoom_is_the_image(size, seed):
    before = sample(size[0], size[1], seed)
    equal(STILL(before, size, [seed]), before)


@FEW
@given(SIZES, st.floats(0, 1), st.floats(0, 1), SEEDS)
def test_a_window_without_zoom_is_a_part_of_the_image(size, rows, columns, seed):
    """Of a result as high or as wide as the image, so that nothing is resized."""
    before = sample(size[0], size[1], seed)
    before.labels.pop('normals')  # seen from another side
    wanted = max(1, round(rows * size[0])), max(1, round(columns * size[1]))
    wanted = (size[0], wanted[1]) if seed % 2 else (wanted[0], size[1])
    after = STILL(before, wanted, [seed])
    form(after, wanted)
    image = before.image
    for top in range(size[0] - wanted[0] + 1):
        for left in range(size[1] - wanted[1] + 1):
            inside = np.s_[top : top + wanted[0], left : left + wanted[1]]
            if (image[inside] == after.image).all():
                for name, label in before.labels.items():
                    np.testing.assert_array_equal(after.labels[name], label[inside])
                return
    pytest.fail('no window of the image is the result')


def test_windows_lie_everywhere():
    """Every place that a window can have is reached, the last row and column too."""
    ramp = np.arange(6 * 8, dtype=np.uint8).reshape(6, 8)
    before = Sample(np.zeros((6, 8, 3), np.uint8), {'semseg': ramp})
    zoom = Augmentation((2, 2), flip=False, color=0)
    found = {zoom(before, (3, 4), [seed]).labels['semseg'][0, 0] for seed in range(300)}
    assert found == {8 * top + left for top in range(4) for left in range(5)}


@FEW
@given(st.floats(0.5, 4), SEEDS)
def test_zoom_divides_depth(zoom, seed):
    """What is twice as large is half as far away, whatever the size of the result."""
    before = sample(24, 32, seed)
    before.labels['depth'][:] = 6
    after = Augmentation((zoom, zoom), flip=False, color=0)(before, (12, 16), [seed])
    form(after, (12, 16))
    known = np.isfinite(after.labels['depth'])
    assert known.all() or zoom < 1
    np.testing.assert_allclose(after.labels['depth'][known], 6 / zoom, rtol=1e-6)
    for name in ('semseg', 'human_parts', 'saliency', 'edges'):
        assert values(after.labels[name]) <= values(before.labels[name]) | {(255.0,)}


def test_zoom_magnifies():
    """At a zoom of four, a window of 12x16 shows 6x8 pixels of 24x32, each four times."""
    before = sample()
    after = Augmentation((4, 4), flip=False, color=0)(before, (12, 16), [3])
    small = after.labels['semseg'][::2, ::2]
    np.testing.assert_array_equal(after.labels['semseg'], small.repeat(2, 0).repeat(2, 1))
    found = [
        (top, left)
        for top in range(19)
        for left in range(25)
        if (before.labels['semseg'][top : top + 6, left : left + 8] == small).all()
    ]
    assert len(found) == 1


def test_zoom_does_not_change_unknown_depth():
    before = sample()
    before.labels['depth'][:] = np.nan
    after = Augmentation((1.5, 1.5))(before, (24, 32), [1])
    assert np.isnan(after.labels['depth']).all()


@FEW
@given(SIZES, SIZES, SEEDS)
def test_the_same_seed_gives_the_same_result_in_the_form_that_is_wanted(size, wanted, seed):
    augmentation = Augmentation()
    before = sample(size[0], size[1], seed)
    kept = sample(size[0], size[1], seed)
    one, other = (augmentation(before, wanted, [seed, 3]) for _ in range(2))
    form(one, wanted)
    equal(one, other)
    equal(before, kept)


def test_other_seeds_give_other_results():
    before = sample()
    images = [Augmentation()(before, (16, 24), [0, place]).image for place in range(10)]
    for number, image in enumerate(images):
        assert all((image != other).any() for other in images[:number])


def test_every_second_image_is_mirrored():
    before = sample()
    augmentation = Augmentation((1, 1), flip=True, color=0)
    turned = 0
    for seed in range(200):
        after = augmentation(before, (24, 32), [seed])
        same = (after.image == before.image).all()
        equal(after, before if same else mirror(before))
        turned += not same
    assert 70 < turned < 130


@FEW
@given(SEEDS)
def test_colors_change_within_their_bounds_and_labels_do_not(seed):
    before = sample()
    grey = Sample(np.full((24, 32, 3), 100, np.uint8), before.labels, 'noise', 0.4)
    after = Augmentation((1, 1), flip=False, color=0.2)(grey, (24, 32), [seed])
    for name, label in before.labels.items():
        np.testing.assert_array_equal(after.labels[name], label)
    # Contrast turns about the mean, which brightness and balance move.
    low, high = 100 * (0.8 * 14 / 15), 100 * (1.2 * 16 / 15)
    assert 100 - 1.2 * (100 - low) - 1 <= after.image.min()
    assert after.image.max() <= 100 + 1.2 * (high - 100) + 1
    # One color stays one color.
    assert (after.image == after.image[0, 0]).all()


@pytest.mark.parametrize(
    'options', [{'scale': (0, 1)}, {'scale': (1.2, 1.1)}, {'scale': (-1, 1)}, {'color': 1.0},
                {'color': -0.1}, {'color': float('nan')}],
)  # fmt: skip
def test_values_that_make_no_sense_are_refused(options):
    with pytest.raises(ValueError, match='scale needs 0 < least <= greatest, color 0 <= c < 1'):
        Augmentation(**options)


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
    joined = ConcatDataset([Numbers(0, 2), Numbers(10, 1, ('edges',)), Numbers(20, 3, ('semseg',))])
    assert brightness(joined) == [0, 1, 10, 20, 21, 22]
    assert list(joined.tasks) == ['semseg', 'depth', 'edges']


def test_classes_must_be_the_same_everywhere():
    with pytest.raises(DataError, match=r"classes of 'semseg' differ .* \['a'\] and \['b'\]"):
        ConcatDataset([Numbers(0, 1, classes=['a']), Numbers(0, 1, classes=['b'])])


def test_a_part_and_its_ends():
    part = Subset(Numbers(5, 9), range(2, 4))
    assert brightness(part) == [7, 8]
    assert list(part.tasks) == ['depth']
    for dataset in (part, ConcatDataset([part])):
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
