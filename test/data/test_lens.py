# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Lens of samples: what crops do to it, and depth as a canonical camera would show it."""

import math
from dataclasses import replace

import numpy as np
import pytest
from helpers.bag_files import CAMERA, camera_info, frames, image, plain, stamp, truth, write
from hypothesis import given, settings
from hypothesis import strategies as st

from adamtl_ros.data.batches import AugmentedDataset, ResumableBatchSampler, batches
from adamtl_ros.data.labelled_bag import LabelledBag
from adamtl_ros.data.lens import KnownLens, assume_focal, canonical_depth
from adamtl_ros.data.synthetic import ScenesConfig, SyntheticScenes
from adamtl_ros.data.transforms import Augmentation, mirror, resize
from adamtl_ros.sample import Sample
from adamtl_ros.scenes.compose import random_scene
from adamtl_ros.tasks import TASKS

F0 = 0.9364
PLAIN = Augmentation(color=0.0)


def ramp(height=120, width=160, focal=1.2, meters=3.0):
    """Return a wall at one distance whose brightness is the column."""
    pixels = np.repeat(np.arange(width, dtype=np.uint8)[None, :, None], height, 0).repeat(3, 2)
    labels = {
        'depth': np.full((height, width), meters, np.float32),
        'semseg': np.zeros((height, width), np.uint8),
    }
    return Sample(pixels, labels, focal=focal)


class Walls:
    """Data set of one sample."""

    tasks = {name: TASKS[name] for name in ('depth', 'semseg')}  # noqa: RUF012

    def __init__(self, sample):
        self._sample = sample

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self._sample


def visible_zoom(sample):
    """Return the pixels of a crop per pixel of its image, from the slope of the brightness."""
    row = sample.image[sample.image.shape[0] // 2, :, 0].astype(float)
    return 1 / abs(np.polyfit(np.arange(len(row)), row, 1)[0])


@settings(max_examples=30, deadline=None)
@given(
    st.tuples(st.integers(64, 200), st.integers(64, 240)),
    st.tuples(st.integers(48, 100), st.integers(64, 128)),
    st.floats(0.4, 2.5),
    st.integers(0, 1000),
)
def test_training_depth_is_what_the_canonical_camera_would_measure(image_size, size, focal, seed):
    """Independent of the rules of the crop: only what can be seen in it counts.

    A thing of 1 m at 3 m has focal / 3 pixels in the image and `zoom` times as many in the crop.
    A canonical camera with an image as large as the crop sees as many at canonical depth.
    """
    sample = ramp(image_size[0], image_size[1], focal)
    crop = AugmentedDataset(Walls(sample), PLAIN, size, seed, F0)[0, 0]
    pixels_per_meter = focal * math.sqrt(image_size[0] * image_size[1]) / 3.0
    seen = pixels_per_meter * visible_zoom(crop)
    expected = F0 * math.sqrt(size[0] * size[1]) / seen
    assert crop.labels['depth'] == pytest.approx(expected, rel=0.03)  # windows have whole pixels
    assert crop.focal == F0
    assert (crop.labels['semseg'] == 0).all()


def test_the_zoom_counts_once():
    """An image of the size of the crop, by hand: at twice the size, depth is half as much."""
    twice = Augmentation((2.0, 2.0), flip=False, color=0.0)
    sample = AugmentedDataset(Walls(ramp(focal=F0)), twice, (120, 160), 0, F0)[0, 0]
    assert sample.labels['depth'] == pytest.approx(1.5)
    wide = AugmentedDataset(Walls(ramp(focal=F0 / 2)), twice, (120, 160), 0, F0)[0, 0]
    assert wide.labels['depth'] == pytest.approx(3.0)


def test_without_a_canonical_lens_depth_is_as_before():
    for focal in (0.5, math.nan):
        walls, order = Walls(ramp(focal=focal)), ResumableBatchSampler(1, 2, 2, 3)
        found = list(batches(walls, PLAIN, (64, 80), order, ['depth']))
        plain = AugmentedDataset(walls, PLAIN, (64, 80), 3)
        for number, position in enumerate(range(4)):
            expected = plain.augmentation(walls[0], (64, 80), [3, position]).labels['depth']
            np.testing.assert_array_equal(found[number // 2].labels['depth'][number % 2], expected)


def test_batches_have_canonical_depth_and_an_unknown_lens_is_the_canonical_one():
    known, unknown, wide = (
        next(
            iter(
                batches(
                    Walls(ramp(focal=focal)),
                    PLAIN,
                    (64, 80),
                    ResumableBatchSampler(1, 4, 1, 3),
                    ['depth'],
                    focal=F0,
                )
            )
        ).labels['depth']
        for focal in (F0, math.nan, F0 / 2)
    )
    np.testing.assert_array_equal(known, unknown)
    np.testing.assert_allclose(wide, 2 * known, rtol=1e-6)


def test_resizing_and_mirroring_keep_the_lens():
    sample = ramp()
    assert resize(sample, (33, 99)).focal == mirror(sample).focal == sample.focal == 1.2


def test_unknown_depth_stays_unknown_and_a_sample_needs_none():
    depth = np.array([[np.nan, 2.0]], np.float32)
    sample = Sample(np.zeros((1, 2, 3), np.uint8), {'depth': depth}, focal=0.5)
    found = canonical_depth(sample, 1.0)
    assert np.isnan(found.labels['depth'][0, 0])
    assert found.labels['depth'][0, 1] == 4
    assert depth[0, 1] == 2  # a data set may keep its samples
    assert found.labels['depth'].dtype == np.float32
    assert canonical_depth(replace(sample, labels={}), 1.0).labels == {}
    assert assume_focal(sample, 1.0) is sample
    assert assume_focal(replace(sample, focal=math.nan), 1.0).focal == 1


def test_a_data_set_of_a_known_lens():
    for said in (math.nan, 0.5):
        known = KnownLens(Walls(ramp(focal=said)), F0)
        assert len(known) == 1
        assert known.tasks == Walls.tasks
        assert known[0].focal == F0


def test_scenes_know_their_lens(tmp_path):
    config = ScenesConfig(3, 2, 24, 48, first_seed=5, samples=1)
    drawn, stored = SyntheticScenes(config), SyntheticScenes(config, tmp_path / 'scenes')
    for index in range(6):
        fov = random_scene(5 + index // 2).view.fov
        # Half of the width over the tangent of half of the angle, over the root of the area.
        expected = 24 / math.tan(fov / 2) / math.sqrt(24 * 48)
        assert drawn[index].focal == pytest.approx(expected)
        assert stored[index].focal == pytest.approx(expected)


INFO = '/camera/camera_info'


def labelled(path, *infos):
    """Return the samples of a bag of two images of 48 x 64 and some calibrations."""
    depth = [(stamp(n), truth('depth'), image(stamp(n), plain(2.5, np.float32))) for n in (0, 1)]
    calibrations = [(stamp(3 + n), INFO, one) for n, one in enumerate(infos)]
    bag = LabelledBag(write(path, frames(range(2)) + depth + calibrations))
    return [bag[0], bag[1]]


def test_bags_know_their_lens_by_camera_info(tmp_path):
    zero = camera_info(0.0, (0, 0), (48, 64))
    right = camera_info(60.0, (31.5, 23.5), (48, 64))
    for sample in labelled(tmp_path / 'calibrated', zero, right):
        assert sample.focal == pytest.approx(60 / math.sqrt(48 * 64))
    for name, infos in {'none': (), 'zero': (zero,)}.items():
        assert all(math.isnan(sample.focal) for sample in labelled(tmp_path / name, *infos))
    assert CAMERA.rpartition('/')[0] == INFO.rpartition('/')[0]
