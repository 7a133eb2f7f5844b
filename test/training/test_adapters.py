# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Adapters that learn in the place of the whole network, by the same recipes."""

from dataclasses import replace

import pytest
import torch
from helpers import small
from safetensors.torch import load_file

from adamtl_ros.nn.adapters.inject import inject
from adamtl_ros.nn.architecture import ARCHITECTURES
from adamtl_ros.nn.io.checkpoint import Model, load_model, save_model
from adamtl_ros.scenes.labels import SCENE_TASKS
from adamtl_ros.training import run
from adamtl_ros.training.build import build_dataset, build_network
from adamtl_ros.training.objective import loss_weights
from adamtl_ros.training.optim import parameter_groups, trainable_names
from adamtl_ros.training.recipe import (
    AdapterConfig,
    DataConfig,
    Recipe,
    RecipeError,
    Stage,
    read_recipe,
)
from adamtl_ros.training.run import MODEL, calibration_batches, train

torch.set_num_threads(1)
ARCH = replace(small.ARCH, name='speck')
SOURCE = DataConfig(
    'scenes', options={'scenes': 4, 'frames': 1, 'height': 64, 'width': 64, 'samples': 1}
)
ORDER = tuple(Stage(kind, 2, batch=2, size=(64, 64)) for kind in ('static', 'policy', 'joint'))
TASKS = {name: SCENE_TASKS[name] for name in ('semseg', 'saliency', 'depth')}
LABELLED = ('semseg', 'depth')
ADAPTERS = AdapterConfig(3, 2)


@pytest.fixture(autouse=True)
def _speck(monkeypatch):
    monkeypatch.setitem(ARCHITECTURES, 'speck', ARCH)
    monkeypatch.setattr(run, 'plot_curves', lambda *_: None)  # most of the time, otherwise


@pytest.fixture
def base(tmp_path):
    """Return the file of a small model of three tasks."""
    path = tmp_path / 'base.safetensors'
    save_model(Model(small.network(tasks=TASKS, arch=ARCH), 'base'), path)
    return path


def recipe_from(base, **changes):
    recipe = Recipe(
        'tiny', SOURCE, SOURCE, ORDER, 'speck', LABELLED, start=str(base), adapters=ADAPTERS,
        precision='32-true', calibration_images=3, checkpoint_steps=2, ema=0.5,
    )  # fmt: skip
    return replace(recipe, **changes)


def weights_of(recipe, network):
    return loss_weights(network.tasks, recipe.tasks, recipe.distillation_weight, recipe.weights)


def tasks_of(recipe):
    return {name: TASKS[name] for name in recipe.tasks}


def changed(base, trained):
    before, after = load_file(base), load_file(trained)
    return {name for name in after if name not in before or not before[name].equal(after[name])}


def test_all_but_what_learns_stays_bit_for_bit(base, tmp_path):
    """Dense adapters, then the policy, then both."""
    recipe = recipe_from(base)
    trained = train(recipe, tmp_path / 'out')
    found = changed(base, trained)
    learns = trainable_names(load_model(str(trained)).network, recipe.tasks)
    assert any('.shared.' in name for name in found)
    assert any('.branches.' in name for name in found)
    assert any(name.startswith('policy.') for name in found)
    assert {name for name in found if not name.startswith('policy.')} <= learns
    assert not any('reduction.weight' in name or 'saliency' in name for name in found)
    assert load_model(str(trained)).network.calibration is not None


def test_adapters_alone_leave_the_policy(base, tmp_path):
    trained = train(recipe_from(base, stages=ORDER[:1]), tmp_path / 'out')
    assert not any(name.startswith('policy.') for name in changed(base, trained))
    assert load_model(str(trained)).network.calibration is None


@pytest.mark.parametrize('stage', ORDER, ids=lambda stage: stage.kind)
def test_what_is_frozen_has_no_gradient(base, stage):
    recipe = recipe_from(base)
    network, _ = build_network(recipe, tasks_of(recipe))
    learns = trainable_names(network, recipe.tasks)
    groups = parameter_groups(network, stage, 0.1, learns)
    relaxed = network.forward_train(torch.randn(2, 3, 64, 64), torch.full((2,), 0.5))
    sum(raw.sum() for raw in relaxed.maps.values()).backward()
    given = {id(weight) for group in groups for weight in group['params']}
    for name, weight in network.named_parameters():
        policy = name.startswith('policy.')
        wanted = stage.kind != 'static' if policy else name in learns and stage.kind != 'policy'
        assert (id(weight) in given) == weight.requires_grad == wanted, name
        assert wanted or weight.grad is None, name


def test_parts_that_learn_can_be_chosen(base):
    recipe = recipe_from(base, adapters=replace(ADAPTERS, parts=('shared', 'norm')))
    network, _ = build_network(recipe, tasks_of(recipe))
    found = trainable_names(network, recipe.tasks, recipe.trained_parts)
    assert found
    assert all('.shared.' in name or '.norm' in name for name in found)
    assert trainable_names(small.network(), recipe.tasks) is None


@pytest.mark.parametrize('first', [1, 3])
def test_an_interruption_changes_nothing(base, tmp_path, first):
    recipe = recipe_from(base)
    assert train(recipe, tmp_path / 'two', first) is None
    one, two = (load_file(train(recipe, tmp_path / name)) for name in ('one', 'two'))
    assert one.keys() == two.keys()
    for name, weight in one.items():
        assert weight.equal(two[name]), name


def test_tasks_without_labels_are_held_to_the_base(base, tmp_path):
    images = torch.cat(list(calibration_batches(build_dataset(SOURCE), (64, 64), 4)))
    long = (Stage('static', 20, batch=4, size=(64, 64), lr=1e-2),)
    drifted = {}
    for keep in (0.0, 10.0):
        recipe = recipe_from(base, stages=long, adapters=replace(ADAPTERS, keep=keep))
        trained = train(recipe, tmp_path / f'{keep}')
        with torch.no_grad():
            before, after = (
                load_model(str(path)).network(images).maps['saliency'] for path in (base, trained)
            )
        drifted[keep] = float((after - before).square().mean())
    assert drifted[10.0] < 0.5 * drifted[0.0]


def test_weights_of_tasks_without_labels(base):
    recipe = recipe_from(base, adapters=replace(ADAPTERS, keep=0.5), weights={'saliency': 4.0})
    network, _ = build_network(recipe, tasks_of(recipe))
    expected = {'semseg': TASKS['semseg'].loss_weight, 'saliency': 2.0, 'depth': 1.0}
    assert weights_of(recipe, network) == expected
    without = replace(recipe, adapters=replace(ADAPTERS, keep=0.0))
    assert list(weights_of(without, network)) == ['semseg', 'depth']


def test_a_start_with_adapters_goes_on_with_them(base, tmp_path):
    recipe = recipe_from(base)
    network = load_model(str(base)).network
    inject(network, ADAPTERS.lora_config(2, LABELLED))
    more = tmp_path / 'more.safetensors'
    save_model(Model(network, 'more'), more)
    for adapters in (ADAPTERS, replace(ADAPTERS, dropout=0.1), None):
        begun, _ = build_network(replace(recipe, start=str(more), adapters=adapters), {})
        assert begun.adapters == network.adapters
        assert not begun.merged
        for name, value in begun.state_dict().items():
            assert value.equal(load_file(more)[name]), name
    other = replace(recipe, start=str(more), adapters=AdapterConfig(2, 2))
    with pytest.raises(ValueError, match=r'has adapters of its own, .* leave `adapters` out'):
        build_network(other, {})


@pytest.mark.parametrize(
    ('tasks', 'message'),
    [
        ({'edges': SCENE_TASKS['edges']}, "for 'edges' it has none"),
        ({'semseg': TASKS['semseg'].with_classes(['x'])}, r"'semseg' it has .*data \['x'\]"),
    ],
)
def test_adapters_keep_tasks_and_classes(base, tasks, message):
    with pytest.raises(ValueError, match=message):
        build_network(recipe_from(base), tasks)


def test_adapters_of_random_weights_are_refused():
    with pytest.raises(RecipeError, match='adapters need weights to adapt: name them with start'):
        recipe_from('')


def test_adapters_of_official_weights_begin_with_new_decoders(monkeypatch):
    monkeypatch.setattr('adamtl_ros.training.build.load_swin', lambda *_: None)
    recipe = replace(recipe_from('base'), start='', pretrained='swin.pth')
    network, fresh = build_network(recipe, tasks_of(recipe))
    assert (list(network.tasks), fresh) == (list(LABELLED), ())
    assert network.adapters == ADAPTERS.lora_config(2, LABELLED)


@pytest.mark.parametrize(
    ('entries', 'message'),
    [
        ({'parts': ('heads',)}, r"parts \['heads'\] are unknown, choose from: shared, task"),
        ({'keep': -1}, 'keep must be 0 or more, got -1'),
        ({'rank': -1}, 'ranks must be whole numbers from 0 on'),
        ({'task_layers': ('fc1',)}, "'fc1' has an effect through 'fc2' only"),
    ],
)
def test_impossible_adapters(entries, message):
    with pytest.raises(ValueError, match=message):
        AdapterConfig(**entries)


def test_a_recipe_file_says_which(tmp_path, base):
    train(recipe_from(base, stages=ORDER[:1]), tmp_path / 'out', 0)
    assert read_recipe(tmp_path / 'out' / 'recipe.yaml') == recipe_from(base, stages=ORDER[:1])
    change = {'adapters': {'rank': 5, 'size': 2}}
    with pytest.raises(RecipeError, match=r"unknown entry 'adapters.size', choose from: rank"):
        read_recipe(tmp_path / 'out' / 'recipe.yaml', change)
    assert not (tmp_path / 'out' / MODEL).exists()
