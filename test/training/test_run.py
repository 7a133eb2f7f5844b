# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""From a recipe to a model file, and from a model file to another."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from helpers import small

from adamtl_ros.data.synthetic import ScenesConfig, SyntheticScenes
from adamtl_ros.nn.architecture import ARCHITECTURES
from adamtl_ros.nn.gating.policy import PolicyConfig
from adamtl_ros.nn.io.checkpoint import IMAGENET_MEAN, IMAGENET_STD, load_model, save_model
from adamtl_ros.sample import Sample
from adamtl_ros.scenes.labels import SCENE_TASKS
from adamtl_ros.training.build import build_network
from adamtl_ros.training.recipe import AdapterConfig, DataConfig, Recipe, Stage, read_recipe
from adamtl_ros.training.run import calibration_batches, train

torch.set_num_threads(1)
ARCH = replace(small.ARCH, name='speck')
SOURCE = DataConfig(
    'scenes', options={'scenes': 4, 'frames': 1, 'height': 64, 'width': 64, 'samples': 1}
)
JOINT, STATIC = (Stage(kind, 2, batch=2, size=(64, 64)) for kind in ('joint', 'static'))
RECIPE = Recipe(
    'tiny', SOURCE, SOURCE, (JOINT,), 'speck', ('semseg', 'depth'), precision='32-true',
    calibration_images=3, policy=PolicyConfig(hidden=8),
)  # fmt: skip
TASKS = {name: SCENE_TASKS[name] for name in RECIPE.tasks}


@pytest.fixture(autouse=True)
def _speck(monkeypatch):
    monkeypatch.setitem(ARCHITECTURES, 'speck', ARCH)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Return the model file of an adaptive training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ARCHITECTURES, 'speck', ARCH)
        return train(RECIPE, tmp_path_factory.mktemp('trained'))


def test_the_model_says_where_it_comes_from(trained):
    model = load_model(str(trained))
    assert model.trained
    assert not model.network.training
    assert (model.mean, model.std) == (IMAGENET_MEAN, IMAGENET_STD)
    assert model.network.arch == ARCH
    assert model.network.tasks == TASKS
    assert model.network.policy.config == RECIPE.policy
    assert model.notes['recipe']['stages'][0]['kind'] == 'joint'
    assert model.notes['training_minutes'] >= 0
    assert 'GPU: none' in model.notes['machine']
    assert model.notes['versions']['torch'] == torch.__version__


def test_an_adaptive_model_is_calibrated_to_its_training_images(trained):
    calibration = load_model(str(trained)).network.calibration
    assert (calibration.size, calibration.images) == (ARCH.input_size, 3)
    assert all(calibration.covers(some) for some in (('semseg',), ('depth',), RECIPE.tasks))


def test_budgets_may_be_fitted_for_all_tasks_together_only(tmp_path):
    model = train(replace(RECIPE, combinations=False), tmp_path)
    calibration = load_model(str(model)).network.calibration
    assert calibration.covers(RECIPE.tasks)
    assert not calibration.covers(('depth',))


def test_what_lies_beside_the_model(trained):
    assert sorted(path.name for path in trained.parent.iterdir()) == [
        'checkpoint.pt', 'curves.png', 'journal.csv', 'model.safetensors', 'recipe.yaml',
    ]  # fmt: skip
    assert read_recipe(trained.parent / 'recipe.yaml') == RECIPE
    stored = yaml.safe_load((trained.parent / 'recipe.yaml').read_text())
    assert stored == load_model(str(trained)).notes['recipe']


def test_a_training_can_start_from_a_model(tmp_path, trained):
    """Its weights, not its calibration, which belongs to them."""
    recipe = replace(RECIPE, start=str(trained), stages=(STATIC,))
    network, fresh = build_network(recipe, TASKS)
    assert network.training
    assert fresh == ()
    for name, value in load_model(str(trained)).network.state_dict().items():
        assert torch.equal(network.state_dict()[name], value)
    model = load_model(str(train(recipe, tmp_path / 'more')))
    assert model.trained
    assert model.network.calibration is None


def test_only_what_fits_is_taken_from_a_start(trained):
    """Another robot has other classes, and edges that the start did not know."""
    tasks = {
        'semseg': TASKS['semseg'].with_classes(['shelf', 'pallet']),
        'depth': TASKS['depth'],
        'edges': SCENE_TASKS['edges'],
    }
    network, fresh = build_network(replace(RECIPE, start=str(trained)), tasks)
    assert fresh == ('decoders.semseg', 'decoders.edges', 'policy')
    begun, _ = build_network(RECIPE, tasks)
    source = load_model(str(trained)).network
    for name, value in network.state_dict().items():
        taken = name.startswith(('encoder.', 'decoders.depth.'))
        assert torch.equal(value, (source if taken else begun).state_dict()[name])


def test_another_policy_is_not_taken_from_a_start(trained):
    recipe = replace(RECIPE, start=str(trained), policy=PolicyConfig(hidden=9))
    assert build_network(recipe, TASKS)[1] == ('policy',)


def test_what_is_not_taken_is_said(tmp_path, trained, capsys):
    recipe = replace(RECIPE, start=str(trained), tasks=('depth',), stages=(STATIC,))
    train(recipe, tmp_path)
    assert 'no weights for: policy; these start at random' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'architecture': 'nano'}, 'is speck, the recipe asks for nano'),
        ({'start': '/nowhere.safetensors'}, "'/nowhere.safetensors': no such file"),
    ],
)
def test_models_that_do_not_fit_are_no_start(trained, changes, message):
    recipe = replace(RECIPE, **{'start': str(trained), **changes})
    with pytest.raises(ValueError, match=message):
        build_network(recipe, TASKS)


def test_official_weights_go_into_the_encoder(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(
        'adamtl_ros.training.build.load_swin', lambda encoder, path: asked.append((encoder, path))
    )
    monkeypatch.setenv('HOME', str(tmp_path))
    network, _ = build_network(replace(RECIPE, pretrained='~/swin.pth'), TASKS)
    assert asked == [(network.encoder, tmp_path / 'swin.pth')]


def test_weights_at_first_follow_the_seed_alone():
    torch.manual_seed(1)
    one = build_network(RECIPE, TASKS)[0].state_dict()
    torch.manual_seed(2)
    state = torch.get_rng_state()
    again = build_network(RECIPE, TASKS)[0].state_dict()
    assert torch.equal(state, torch.get_rng_state())
    other = build_network(replace(RECIPE, seed=1), TASKS)[0].state_dict()
    assert all(torch.equal(value, again[name]) for name, value in one.items())
    assert any(not torch.equal(value, other[name]) for name, value in one.items())


def test_tasks_that_the_data_does_not_know(tmp_path, monkeypatch):
    class Depths:
        tasks = {'depth': SCENE_TASKS['depth']}  # noqa: RUF012

    monkeypatch.setattr('adamtl_ros.training.run.build_dataset', lambda *_, **__: Depths())
    with pytest.raises(ValueError, match=r"no labels for \['semseg'\], only \['depth'\]"):
        train(RECIPE, tmp_path)


def test_an_unknown_precision_is_refused(tmp_path):
    with pytest.raises(ValueError, match='precision'):
        train(replace(RECIPE, precision='8-mixed'), tmp_path)


def test_calibration_sees_images_from_the_whole_data_set():
    class Grey(list):
        """Images that are as bright as their number says."""

        def __getitem__(self, index):
            return Sample(np.full((20, 30, 3), index, np.uint8))

    for count, first, last in ((5, 0, 199), (40, 0, 199), (200, 0, 199)):
        batches = list(calibration_batches(Grey(range(200)), (8, 12), count))
        assert all(batch.shape[1:] == (3, 8, 12) for batch in batches)
        assert max(map(len, batches)) < 32
        std = torch.tensor(IMAGENET_STD).view(3, 1, 1)
        mean = torch.tensor(IMAGENET_MEAN).view(3, 1, 1)
        bright = (255 * (torch.cat(batches) * std + mean))[:, :, 0, 0]
        torch.testing.assert_close(bright[:, 0], bright[:, 2], atol=1e-3, rtol=0)
        numbers = bright[:, 0].round()
        assert len(numbers) == count
        assert (numbers[0], numbers[-1]) == (first, last)
        assert numbers.diff().max() - numbers.diff().min() <= 1


def test_the_model_has_the_focal_length_of_the_recipe(tmp_path, capsys):
    recipe = replace(RECIPE, focal=0.9364, stages=(STATIC,))
    assert load_model(str(train(recipe, tmp_path / 'a'))).focal == 0.9364
    assert 'focal length' not in capsys.readouterr().out  # scenes know theirs
    assert load_model(str(train(replace(recipe, focal=None), tmp_path / 'b'))).focal is None


def test_unknown_lenses_are_said_to_be(tmp_path, capsys, monkeypatch):
    class Unknown(SyntheticScenes):
        def __getitem__(self, index):
            return replace(super().__getitem__(index), focal=float('nan'))

    data = Unknown(ScenesConfig(**SOURCE.options))
    monkeypatch.setattr('adamtl_ros.training.run.build_dataset', lambda *_, **__: data)
    recipe = replace(RECIPE, focal=0.9364, stages=(STATIC,))
    train(recipe, tmp_path / 'a')
    said = '4 of 4 images with depth have no known focal length: taken for 0.9364'
    assert said in capsys.readouterr().out
    train(replace(recipe, focal=None), tmp_path / 'b')
    train(replace(recipe, tasks=('semseg',)), tmp_path / 'c')
    assert 'focal length' not in capsys.readouterr().out


def test_a_start_and_its_recipe_agree_on_the_scale_of_depth(tmp_path, trained):
    path = tmp_path / 'lens.safetensors'
    save_model(replace(load_model(str(trained)), focal=0.9364), path)
    aware = replace(RECIPE, start=str(path))
    for focal in (None, 1.0):
        with pytest.raises(ValueError, match=r'focal length 0.9364, the recipe asks for.*`focal`'):
            build_network(replace(aware, focal=focal), TASKS)
    build_network(replace(aware, focal=0.9364), TASKS)
    # Weights that do not know lenses may learn of them, but not with the network frozen.
    unaware = replace(RECIPE, start=str(trained), focal=0.9364)
    build_network(unaware, TASKS)
    with pytest.raises(ValueError, match=r'focal length None.*asks for 0.9364.*to null'):
        build_network(replace(unaware, adapters=AdapterConfig(2, 2)), TASKS)
