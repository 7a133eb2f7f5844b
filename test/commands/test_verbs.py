# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the commands make of models and data: a table, a JSON file, a calibrated model."""

import json
from dataclasses import replace

import pytest
import torch
from helpers import small

from adamtl_ros.bags.reader import BagError
from adamtl_ros.commands.verbs import run_calibration, run_evaluation
from adamtl_ros.data.synthetic_bag import write_synthetic_bag
from adamtl_ros.nn.io.checkpoint import Model, load_model, save_model
from adamtl_ros.scenes.labels import SCENE_TASKS
from adamtl_ros.training.recipe import DataConfig, Recipe, Stage

SOURCE = DataConfig(
    'scenes', options={'scenes': 2, 'frames': 1, 'height': 48, 'width': 64, 'samples': 1}
)
RECIPE = Recipe('tiny', DataConfig('scenes'), SOURCE, (Stage('static', 1),))
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


def test_evaluation_gives_a_row_for_each_budget(model, tmp_path):
    out = tmp_path / 'values.json'
    table = run_evaluation(str(model), RECIPE, [1.0, 0.5], 1, out)
    head, *lines = table.splitlines()
    assert head == 'budget | share | MMACs | ms | semseg miou | depth rmse'
    stored = json.loads(out.read_text())
    assert stored['model'] == 'speck'
    for line, row in zip(lines, stored['rows'], strict=True):
        budget, share, macs, ms, miou, rmse = map(float, line.split(' | '))
        assert (budget, share) == (row['budget'], pytest.approx(row['share'], abs=1e-3))
        assert macs == pytest.approx(row['macs'] / 1e6, abs=0.5)
        assert ms == pytest.approx(row['infer_ms'], abs=0.06)
        assert miou == pytest.approx(row['metrics']['semseg']['miou'], abs=1e-4)
        assert rmse == pytest.approx(row['metrics']['depth']['rmse'], abs=1e-4)
    assert [row['budget'] for row in stored['rows']] == [1.0, 0.5]
    assert torch.get_num_threads() == 1


def test_without_a_file_there_is_only_the_table(model, tmp_path):
    before = sorted(tmp_path.iterdir())
    assert len(run_evaluation(str(model), RECIPE, [1.0], 1, None).splitlines()) == 2
    assert sorted(tmp_path.iterdir()) == before


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
def test_calibration_takes_no_more_images_than_wanted(model, bag, tmp_path, images, expected):
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
