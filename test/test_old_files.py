# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Files of version 0.1 load, and mean the same; how they were made is in files/v1/README.md."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from adamtl_ros.bags.ground_truth import ClassMap
from adamtl_ros.commands.main import main
from adamtl_ros.evaluation.bags.compare import Verdict, compare, differences_in_setup, read_summary
from adamtl_ros.governor.simulation import read_scenario
from adamtl_ros.nn.io.checkpoint import base_digest, load_adapted, load_model, read_adapter_header
from adamtl_ros.scenes.labels import SCENE_TASKS
from adamtl_ros.training.recipe import read_recipe

FILES = Path(__file__).parent / 'files' / 'v1'
MODEL, ADAPTER = FILES / 'model.safetensors', FILES / 'kitchen.adapter.safetensors'
EXPECTED = json.loads((FILES / 'expected.json').read_text())


def images(count=2, height=32, width=48):
    """Return waves of several frequencies, which no version of a generator changes."""
    y, x = np.mgrid[:height, :width] / height
    planes = [
        [np.sin(3 * (k + 1) * x + c + k) * np.cos(2 * (c + 1) * y - k) for c in range(3)]
        for k in range(count)
    ]
    return torch.tensor(np.array(planes), dtype=torch.float32)


def load(what):
    base = load_model(str(MODEL))
    return base if what == 'model' else load_adapted(base, ADAPTER)


def as_json(record):
    return json.loads(json.dumps(record))


@pytest.mark.parametrize('what', ['model', 'adapted'])
@pytest.mark.parametrize('budget', ['1.0', '0.6'])
def test_networks_answer_the_same(what, budget):
    network, expected = load(what).network, EXPECTED[what]['outputs'][budget]
    with torch.inference_mode():
        made = network(images(), float(budget))
    assert [cost.macs for cost in made.costs] == expected['macs']
    assert {name: list(raw.shape) for name, raw in made.maps.items()} == expected['shapes']
    for name, raw in made.maps.items():
        found = raw[:, :, ::6, ::6].flatten()
        values = torch.tensor(expected['maps'][name])
        torch.testing.assert_close(found, values, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('what', ['model', 'adapted'])
def test_budgets_have_the_same_levels(what):
    calibration = load(what).network.calibration
    assert (calibration.size, calibration.images) == ((32, 48), 24)
    assert list(calibration.levels) == list(EXPECTED[what]['levels'])
    assert len(calibration.levels) == 7
    for tasks, rows in EXPECTED[what]['levels'].items():
        found = [(x.budget, x.threshold, x.fraction) for x in calibration.levels[tasks]]
        np.testing.assert_allclose(found, rows, atol=2e-6, rtol=0)


def test_the_header_of_a_model():
    model = load_model(str(MODEL))
    arch = model.network.arch
    assert (model.name, arch.name, arch.depths, model.input_size) == (
        'model',
        'v1',
        (1, 2),
        (32, 48),
    )
    assert (model.mean, model.std, model.trained) == ((0.5, 0.4, 0.3), (0.2, 0.25, 0.3), True)
    assert model.notes == {'seed': 1, 'recipe': {'name': 'v1'}}
    assert model.network.policy.config.gates == ('blocks', 'windows')
    classes = {name: task.classes for name, task in model.network.tasks.items()}
    assert classes == {name: SCENE_TASKS[name].classes for name in ('semseg', 'depth', 'edges')}


def test_the_header_of_adapters():
    header = read_adapter_header(ADAPTER)
    assert header.base == EXPECTED['digest'] == base_digest(load_model(str(MODEL)).network)
    assert (header.base_name, header.notes) == ('model', {'seed': 2})
    assert list(header.tasks) == ['semseg', 'depth', 'edges']
    config = as_json(header.config.to_dict())
    assert config['shared']['ranks'] == [2, 2]
    assert config['merging']['ranks'] == [2]
    assert load('adapted').name == 'model+kitchen'


def test_an_evaluation_is_still_compared(capsys):
    summary = read_summary(FILES / 'metrics.json')
    assert [row['budget'] for row in summary['results']] == [1.0, 0.6, 0.4]
    assert summary['results'][0]['truth']['depth']['values']['rmse'] == pytest.approx(
        4.425, abs=0.01
    )
    found = compare(summary, summary, times=True)
    assert {change.budget for change in found} == {1.0, 0.6, 0.4}
    assert {'latency p50', 'latency p95'} <= {change.name for change in found}
    assert {change.verdict for change in found} == {Verdict.SAME}
    assert differences_in_setup(summary, summary) == []
    assert main(['compare', str(FILES / 'metrics.json'), str(FILES / 'metrics.json')]) == 0
    assert 'semseg' in capsys.readouterr().out


def test_every_entry_of_a_recipe():
    recipe = as_json(read_recipe(FILES / 'recipe.yaml').to_dict())
    expected = json.loads((FILES / 'recipe.json').read_text())
    expected['augmentation']['color'] = expected['augmentation'].pop('colour')  # the name in 0.1
    # What lenses, mixtures and ladders need came later.
    expected |= {'focal': None, 'input_size': None, 'ladder': None}
    for name in ('data', 'validation'):
        expected[name] |= {'task_weights': {}, 'sets': [], 'weight': 1.0, 'focal': None}
    for stage in expected['stages']:
        stage |= {'encoder_lr': None, 'rungs': 4, 'rung_weight': 0.5, 'distillation': 0.5}
        stage |= {'rung': 0, 'sandwich': True}
    assert recipe == expected
    assert [stage['kind'] for stage in recipe['stages']] == [
        'static',
        'backbone',
        'policy',
        'joint',
    ]


def test_every_entry_of_a_scenario():
    scenario = as_json(dataclasses.asdict(read_scenario(FILES / 'scenario.yaml')))
    assert scenario == json.loads((FILES / 'scenario.json').read_text())
    assert scenario['governor']['battery']['full_scale'] == 100


def test_a_class_map():
    classes = ClassMap.read(FILES / 'classes.yaml')
    assert classes.names == {'semseg': {0: 'ignore', 3: 'floor', 7: 'wall', 254: 'person'}}
