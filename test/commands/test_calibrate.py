# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The verb `calibrate`: a model whose budgets are fitted to the images of a bag."""

from dataclasses import replace

import pytest
import torch
from helpers import small

from adamtl_ros.bags.reader import BagError
from adamtl_ros.commands.calibrate import run_calibration
from adamtl_ros.data.synthetic_bag import write_synthetic_bag
from adamtl_ros.nn.io.checkpoint import Model, load_model, save_model
from adamtl_ros.scenes.labels import SCENE_TASKS

TASKS = {name: SCENE_TASKS[name] for name in ('semseg', 'depth')}


@pytest.fixture
def model(tmp_path):
    """Return the file of a small model with random weights."""
    network = small.network(tasks=TASKS, arch=replace(small.ARCH, name='speck'))
    path = tmp_path / 'speck.safetensors'
    save_model(Model(network, 'speck', notes={'recipe': 'none'}), path)
    return path


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    path = tmp_path_factory.mktemp('bag') / 'room'
    write_synthetic_bag(path, frames=4, size=(48, 64))
    return path


def test_calibration_fits_a_model_to_the_images_of_a_bag(model, bag, tmp_path):
    out = tmp_path / 'fitted.safetensors'
    sentence = run_calibration(str(model), bag, '', 256, out)
    assert sentence == f'{out}: budgets fitted to 4 images of 56x72'
    before, after = load_model(str(model)), load_model(str(out))
    assert before.network.calibration is None
    assert after.network.calibration.size == (56, 72)
    assert after.network.calibration.images == 4
    assert after.network.calibration.covers(tuple(TASKS))
    assert after.notes == {'recipe': 'none', 'calibrated_on': '4 images of room'}
    assert after.trained == before.trained
    for name, value in before.network.state_dict().items():
        assert torch.equal(after.network.state_dict()[name], value)


@pytest.mark.parametrize(('images', 'expected'), [(2, 2), (3, 3)])
def test_calibration_takes_no_more_images_than_requested(model, bag, tmp_path, images, expected):
    out = tmp_path / 'fitted.safetensors'
    run_calibration(str(model), bag, '/camera/image_raw/compressed', images, out)
    assert load_model(str(out)).network.calibration.images == expected


def test_calibration_of_nothing_is_refused(model, bag, tmp_path):
    out = tmp_path / 'fitted.safetensors'
    with pytest.raises(ValueError, match=r'at least two images, .* got 1'):
        run_calibration(str(model), bag, '', 1, out)
    with pytest.raises(
        BagError, match=r'no images on /camera/depth; it holds: /camera/camera_info'
    ):
        run_calibration(str(model), bag, '/camera/depth', 4, out)
    assert not out.exists()
