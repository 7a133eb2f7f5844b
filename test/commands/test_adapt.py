# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Verb `adapt`: adapters from a labelled bag, and their gain on its held-out part."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from helpers import bag_files, small

from adamtl_ros.commands.adapt import AdaptConfig, run_adaptation
from adamtl_ros.commands.main import main
from adamtl_ros.data.synthetic import write_synthetic_bag
from adamtl_ros.nn.architecture import ARCHITECTURES
from adamtl_ros.nn.io.checkpoint import Model, load_adapted, load_model, save_model
from adamtl_ros.scenes.compose import demo_scene
from adamtl_ros.scenes.labels import SCENE_TASKS
from adamtl_ros.training import run
from adamtl_ros.training.recipe import AdapterConfig

torch.set_num_threads(1)
ARCH = replace(small.ARCH, name='speck')
TASKS = {name: SCENE_TASKS[name] for name in ('semseg', 'saliency', 'depth')}
FRAMES = 20
BAGS = Path('../shared/bags').resolve()


@pytest.fixture(autouse=True)
def _place(monkeypatch, tmp_path):
    monkeypatch.setitem(ARCHITECTURES, 'speck', ARCH)
    monkeypatch.setattr(run, 'plot_curves', lambda *_: None)  # most of the time, otherwise
    monkeypatch.chdir(tmp_path)
    save_model(Model(small.network(tasks=TASKS, arch=ARCH), 'base', trained=True), tmp_path / 'b')


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    """Return a bag of a room, with labels of all tasks."""
    path = tmp_path_factory.mktemp('bag') / 'room'
    write_synthetic_bag(path, frames=FRAMES, size=(48, 64), truth=True)
    return path


def adapt_config(bag, tmp_path, **changes):
    config = AdaptConfig('b', tmp_path / 'room.adapter.safetensors', (bag,), steps=2, batch=2)
    return replace(config, adapters=AdapterConfig(3, 2), **changes)


def rows_of(text):
    """Return the table as dictionaries, by label and budget."""
    lines = text.split('\n\n')[1].splitlines()
    head, *rows = [line.split(' | ') for line in lines]
    return {(row[0], row[1]): dict(zip(head, row, strict=True)) for row in rows}


def test_adaptation_improves_held_out_images(bag, tmp_path):
    config = adapt_config(bag, tmp_path, tasks=('semseg', 'depth'), steps=30, lr=1e-2, batch=4)
    text = run_adaptation(config)
    rows = rows_of(text)
    assert list(rows) == [(one, two) for one in ('before', 'after') for two in ('1.00', '0.57')]
    for budget in ('1.00', '0.57'):
        before, after = (rows[label, budget] for label in ('before', 'after'))
        assert float(after['depth rmse']) < 0.8 * float(before['depth rmse'])
        assert float(after['semseg miou']) > float(before['semseg miou'])
    assert 'trained: semseg, depth; ' in text
    assert 'without labels: saliency; held to the outputs of the base' in text
    assert text.startswith(f'{config.out}: {config.out.stat().st_size / 1e3:.0f} kB, for b')


def test_the_file_and_its_base_are_the_trained_network(bag, tmp_path):
    config = adapt_config(bag, tmp_path)
    run_adaptation(config)
    model = load_adapted(load_model('b'), config.out)
    trained = load_model(str(tmp_path / 'room.training' / 'model.safetensors'))
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        maps, others = model.network(images).maps, trained.network(images).maps
    for name, raw in maps.items():
        torch.testing.assert_close(raw, others[name], atol=5e-3, rtol=5e-3)
    notes = model.notes['adapter']
    assert notes['trained_tasks'] == list(TASKS)
    assert notes['recipe']['data']['split'] == 'train'


def depth_camera_bag(path, frames=12, size=(48, 64)):
    """Write a drawn room as an RGB-D camera records it, with 65535 where nothing is measured."""
    scene, entries = demo_scene(4.0), []
    for number in range(frames):
        drawn = scene.frame(number / 4, size=size, samples=1)
        millimeters = np.nan_to_num(1000 * drawn.labels['depth']).astype(np.uint16)
        millimeters[:6, :9] = 65535
        at = bag_files.stamp(number)
        entries += [(at, bag_files.CAMERA, bag_files.image(at, drawn.image)),
                    (at, '/camera/depth/image_raw', bag_files.image(at, millimeters))]  # fmt: skip
    view = scene.view.camera(0.0, size)
    info = bag_files.camera_info(view.focal, view.principal_point, size)
    entries.append((bag_files.stamp(frames), '/camera/depth/camera_info', info))
    return bag_files.write(path, entries)


FOUND = """{name}: {count} labelled images on {camera}
  normals: from {depth}
  depth: {depth} (depth camera)
trains: normals, depth
"""


def test_a_depth_camera_is_found_and_trains_depth_and_normals(tmp_path, capsys):
    """Without any option; other tasks are held to the base."""
    path = depth_camera_bag(tmp_path / 'walk')
    tasks = {name: SCENE_TASKS[name] for name in ('semseg', 'normals', 'depth')}
    save_model(Model(small.network(tasks=tasks, arch=ARCH), 'base', trained=True), tmp_path / 'b')
    given = ['adapt', str(path), '--base', 'b', '--steps', '30', '--batch', '4', '--lr', '0.01']
    assert main(given) == 0
    out = capsys.readouterr().out
    depth = '/camera/depth/image_raw'
    assert FOUND.format(name='walk', count=12, camera=bag_files.CAMERA, depth=depth) in out
    assert f'walk: 65535 on {depth} is no distance; these pixels are unknown (' in out
    assert 'trained: normals, depth; ' in out
    assert 'without labels: semseg; held to the outputs of the base' in out
    rows = rows_of(out[out.index('walk.adapter.safetensors: ') :])
    before, after = (rows[label, '1.00'] for label in ('before', 'after'))
    assert float(after['depth rmse']) < 0.8 * float(before['depth rmse']) < 10
    assert float(after['normals mean_angle']) < float(before['normals mean_angle'])
    options = load_adapted(load_model('b'), tmp_path / 'walk.adapter.safetensors')
    assert 'max_depth' not in options.notes['adapter']['recipe']['data']['options']


@pytest.mark.skipif(not BAGS.is_dir(), reason='needs ../shared/bags')
def test_a_real_depth_camera(tmp_path, capsys):
    tasks = {name: SCENE_TASKS[name] for name in ('semseg', 'normals', 'depth')}
    save_model(Model(small.network(tasks=tasks, arch=ARCH), 'base', trained=True), tmp_path / 'b')
    given = ['adapt', str(BAGS / 'indoor_rgbd'), '--base', 'b', '--steps', '2', '--batch', '2']
    assert main([*given, '--max-depth', '8', '--holdout', '0.05']) == 0
    out = capsys.readouterr().out
    image, depth = '/camera/image_raw/compressed', '/camera/depth/image_raw/compressed'
    assert FOUND.format(name='indoor_rgbd', count=180, camera=image, depth=depth) in out
    model = load_adapted(load_model('b'), tmp_path / 'indoor_rgbd.adapter.safetensors')
    assert model.notes['adapter']['recipe']['data']['options']['max_depth'] == 8


@pytest.mark.parametrize('given', [[], ['room', '--data', 'x.yaml']])
def test_bags_or_a_recipe(given, capsys):
    assert main(['adapt', *given, '--base', 'b', '--out', 'new.safetensors']) == 2
    assert 'give either bags, adamtl adapt BAG ..., or a recipe' in capsys.readouterr().err


def test_data_may_come_from_a_recipe(bag, tmp_path, capsys):
    data = {'kind': 'bags', 'root': str(bag)}
    recipe = {
        'name': 'x',
        'data': data,
        'validation': data,
        'stages': [{'kind': 'static', 'steps': 1}],
    }
    (tmp_path / 'data.yaml').write_text(yaml.safe_dump(recipe))
    given = [
        'adapt',
        '--data',
        'data.yaml',
        '--base',
        'b',
        '--out',
        'x.safetensors',
        '--tasks',
        'depth',
    ]
    assert main([*given, '--steps', '1', '--batch', '2', '--rank', '2']) == 0
    assert 'trained: depth; ' in capsys.readouterr().out
    assert (tmp_path / 'x.training' / 'journal.csv').is_file()


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['--tasks', 'edges'], "unknown task 'edges'"),
        (['--holdout', '1'], '--holdout takes a fraction between 0 and 1, got 1.0'),
        (['--holdout', '0.99'], 'leave none to learn from'),
        (['--budget', '0'], '--budget takes a fraction in (0, 1], got 0.0'),
        (['--rank', '-1'], 'ranks must be whole numbers from 0 on'),
        (['--truth', 'depth'], "--truth takes TASK=TOPIC, got 'depth'"),
        (['--base', 'none'], "model 'none': no such file"),
        (['--classes', 'ids.yaml', '--tasks', 'semseg'], 'nothing to learn for semseg: the model'),
    ],
)
def test_errors_are_one_sentence(bag, tmp_path, args, message, capfd):
    (tmp_path / 'ids.yaml').write_text(f'semseg: {[f"x{n}" for n in range(30)]}')
    given = ['adapt', '--bag', str(bag), '--base', 'b', '--out', 'new.safetensors', *args]
    assert main(given) == 2
    last = capfd.readouterr().err.splitlines()[-1]
    assert last.startswith('adamtl adapt: ')
    assert message in last
    assert not (tmp_path / 'new.safetensors').exists()


def test_bags_without_labels_are_refused(tmp_path, capfd):
    write_synthetic_bag(tmp_path / 'plain', frames=2, size=(48, 64))
    assert main(['adapt', '--bag', 'plain', '--base', 'b', '--out', 'new.safetensors']) == 2
    error = capfd.readouterr().err
    assert 'plain: no ground truth on /ground_truth/semseg/image' in error
    assert 'with --truth TASK=TOPIC' in error


def test_a_base_with_adapters_is_refused(bag, tmp_path):
    save_model(Model(small.adapted(tasks=TASKS, arch=ARCH), 'more'), tmp_path / 'more')
    with pytest.raises(ValueError, match="base 'more' has adapters already; give the one without"):
        run_adaptation(adapt_config(bag, tmp_path, base='more'))


def test_adapters_can_be_evaluated_like_models(bag, tmp_path, capsys):
    config = adapt_config(bag, tmp_path, tasks=('depth',), lr=1e-2)
    after = rows_of(run_adaptation(config))['after', '1.00']
    held_out = {'kind': 'bags', 'root': str(bag), 'split': 'val', 'options': {'holdout': 0.2}}
    recipe = {'name': 'x', 'data': held_out, 'validation': held_out}
    recipe['stages'] = [{'kind': 'static', 'steps': 1}]
    (tmp_path / 'data.yaml').write_text(yaml.safe_dump(recipe))
    model = ['--model', 'b', '--adapter', str(config.out), '--budgets', '1']
    capsys.readouterr()
    assert main(['evaluate', '--config', 'data.yaml', *model]) == 0
    table = capsys.readouterr().out.split('\n\n')[0]
    head, row = (line.split(' | ') for line in table.splitlines())
    assert dict(zip(head, row, strict=True))['depth rmse'] == after['depth rmse']
    assert main(['evaluate-bag', str(bag), *model, '--shown', '1', '--out', 'found']) == 0
    found = json.loads((tmp_path / 'found' / 'metrics.json').read_text())['settings']['model']
    assert found['name'] == 'b+room'
    assert found['adapter_sha256'] == hashlib.sha256(config.out.read_bytes()).hexdigest()
    other = ['--model', 'speck', *model[2:]]
    assert main(['evaluate', '--config', 'data.yaml', *other]) == 1
    assert 'made for the base' in capsys.readouterr().err


def test_an_id_map_names_the_classes_of_the_base(bag, tmp_path):
    """The same file as of `evaluate-bag`: the ids of a bag in the classes of the model."""
    streets = Path(__file__).parents[2] / 'config' / 'classes' / 'camvid.yaml'
    out = tmp_path / 'new.safetensors'
    given = ['adapt', '--bag', str(bag), '--base', 'b', '--out', str(out), '--tasks', 'semseg']
    assert main([*given, '--classes', str(streets), '--steps', '1', '--batch', '2']) == 0
    data = load_adapted(load_model('b'), out).notes['adapter']['recipe']['data']
    classes = list(TASKS['semseg'].classes)
    assert data['options']['model_classes'] == {'semseg': classes}


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('semseg: {0: sky}', "class map: semseg 0 is 'sky', which the model does not know; choose"),
        ('human_parts: {0: head}', "class map for 'human_parts', which the model does not do"),
        ('semseg: {300: floor}', "ids.yaml: class map for 'semseg': id 300 is not in 0..254"),
        ('semseg: floor', "ids.yaml: expected 'semseg:' and below it lines such as '3: floor'"),
        ('semseg: [', 'ids.yaml is not YAML'),
    ],
)
def test_classes_that_cannot_be_used(bag, tmp_path, text, message, capfd):
    (tmp_path / 'ids.yaml').write_text(text)
    given = ['adapt', '--bag', str(bag), '--base', 'b', '--out', 'new.safetensors']
    assert main([*given, '--classes', 'ids.yaml']) == 2
    assert message in capfd.readouterr().err


def test_adapters_learn_depth_for_the_lens_of_the_base(bag, tmp_path):
    """Before the training, depth of the adapted model is that of the base."""
    base = replace(load_model('b'), focal=0.5)
    save_model(base, tmp_path / 'b')
    config = adapt_config(bag, tmp_path, tasks=('depth',), steps=30, lr=1e-2, batch=4)
    rows = rows_of(run_adaptation(config))
    assert load_adapted(base, config.out).focal == 0.5
    before, after = (float(rows[label, '1.00']['depth rmse']) for label in ('before', 'after'))
    assert after < 0.8 * before
