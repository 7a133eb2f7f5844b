# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The verb `evaluate`: a table and a JSON file."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import small

from adamtl_ros.commands.evaluate import run_evaluation
from adamtl_ros.data.lens import KnownLens
from adamtl_ros.nn.io.checkpoint import Model, load_model, read_model, save_model
from adamtl_ros.scenes.labels import SCENE_TASKS
from adamtl_ros.training.build import build_dataset
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


def test_evaluation_gives_a_row_for_each_budget(model, tmp_path):
    out = tmp_path / 'values.json'
    table = run_evaluation(str(model), RECIPE, [1.0, 0.5], 1, out)
    costs, semseg, depth = table.split('\n\n')
    head, *lines = costs.splitlines()
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
    for text, task in ((semseg, 'semseg'), (depth, 'depth')):
        heads, *values = (line.split(' | ') for line in text.splitlines())
        assert heads == [task, *stored['rows'][0]['metrics'][task]]
        for line, row in zip(values, stored['rows'], strict=True):
            numbers = [row['budget'], *row['metrics'][task].values()]
            assert list(map(float, line)) == pytest.approx(numbers, abs=1e-4)


def test_the_file_says_what_was_evaluated(model, tmp_path):
    out = tmp_path / 'values.json'
    table = run_evaluation(
        str(model), RECIPE, [1.0], 1, out, tasks=['depth'], protocol='nyud', floors='2'
    )
    stored = json.loads(out.read_text())
    network = load_model(str(model)).network
    assert stored['parameters'] == sum(weights.numel() for weights in network.parameters())
    assert stored['protocol'] == 'nyud'
    assert stored['data'] == {'kind': 'scenes', 'name': '', 'split': ''}
    assert stored['threads'] == 1
    assert stored['machine']['system']
    (row,) = stored['rows']
    assert list(row['metrics']) == ['depth']
    assert row['wall_ms'] > row['infer_ms']
    assert stored['floors']['depth'] == 2
    assert stored['floors']['metrics']['depth'].keys() == row['metrics']['depth'].keys()
    assert 'rmse_per_image_eigen' in row['metrics']['depth']
    assert table.splitlines()[-1].startswith('constant | ')


def test_the_constant_depth_is_the_median_of_the_training_data(model, tmp_path):
    recipe = replace(RECIPE, data=replace(SOURCE, options={**SOURCE.options, 'first_seed': 7}))
    out = tmp_path / 'values.json'
    run_evaluation(str(model), recipe, [1.0], 1, out, floors='median')
    scenes = build_dataset(recipe.data)
    depths = np.concatenate([scenes[i].labels['depth'].ravel() for i in range(len(scenes))])
    floors = json.loads(out.read_text())['floors']
    assert floors['depth'] == pytest.approx(np.nanmedian(depths), abs=2e-3)
    # Without labels of depth there is none, and nothing to read.
    table = run_evaluation(str(model), recipe, [1.0], 1, out, tasks=['semseg'], floors='median')
    assert json.loads(out.read_text())['floors'] == {'depth': None, 'metrics': {}}
    assert 'constant' not in table


def test_options_that_cannot_be(model):
    with pytest.raises(ValueError, match="--floors takes meters such as '2', got 'far'"):
        run_evaluation(str(model), RECIPE, [1.0], 1, None, floors='far')
    with pytest.raises(ValueError, match="unknown protocol 'kitti'"):
        run_evaluation(str(model), RECIPE, [1.0], 1, None, protocol='kitti')


def test_without_a_file_there_is_only_the_table(model, tmp_path):
    before = sorted(tmp_path.iterdir())
    assert 'depth rmse' in run_evaluation(str(model), RECIPE, [1.0], 1, None)
    assert sorted(tmp_path.iterdir()) == before


def test_images_of_an_unknown_lens_are_said_to_be(model, tmp_path, monkeypatch):
    """Only where the model needs to know it."""
    drawn = build_dataset(SOURCE)
    monkeypatch.setattr(
        'adamtl_ros.training.build.build_dataset', lambda *_, **__: KnownLens(drawn, float('nan'))
    )
    assert 'focal length' not in run_evaluation(str(model), RECIPE, [1.0], 1, None)
    aware = tmp_path / 'aware.safetensors'
    save_model(replace(read_model(model), focal=0.9), aware)
    last = run_evaluation(str(aware), RECIPE, [1.0], 1, None).splitlines()[-1]
    assert last.startswith('2 of 2 images with depth have no known focal length: taken for 0.9,')
    monkeypatch.undo()
    assert 'focal length' not in run_evaluation(str(aware), RECIPE, [1.0], 1, None)
