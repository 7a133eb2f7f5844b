# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The command `adamtl`: training, evaluation and calibration end to end, and errors."""

import json
import os
import re
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from helpers import small

from adamtl_ros.commands.main import VERBS, main
from adamtl_ros.data.synthetic import write_synthetic_bag
from adamtl_ros.nn.architecture import ARCHITECTURES
from adamtl_ros.nn.io.checkpoint import load_model

torch.set_num_threads(1)
ROOT = Path(__file__).resolve().parents[2]
OPTIONS = {'scenes': 2, 'frames': 1, 'height': 64, 'width': 64, 'samples': 1}
RECIPE = {
    'name': 'tiny',
    'architecture': 'speck',
    'tasks': ['depth', 'edges'],
    'data': {'kind': 'scenes', 'options': OPTIONS},
    'validation': {'kind': 'scenes', 'options': {**OPTIONS, 'first_seed': 100}},
    'stages': [{'kind': 'static', 'steps': 9, 'batch': 2, 'size': [64, 64]}],
    'calibration_images': 2,
}


@pytest.fixture(autouse=True)
def _place(monkeypatch, tmp_path):
    monkeypatch.setitem(ARCHITECTURES, 'speck', replace(small.ARCH, name='speck'))
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'recipe.yaml').write_text(yaml.safe_dump(RECIPE))


def test_train_evaluate_and_calibrate(tmp_path, capsys):
    train = ['train', '--config', 'recipe.yaml', '--set', 'stages.0={kind: joint, steps: 2}']
    train += ['--set', 'stages.0.batch=2', '--set', 'stages.0.size=[64, 64]']
    assert main([*train, '--steps', '1']) == 0
    assert capsys.readouterr().out == 'in runs/tiny: a checkpoint; the same command continues\n'
    assert main(train) == 0
    assert capsys.readouterr().out == 'in runs/tiny: model.safetensors\n'
    model = 'runs/tiny/model.safetensors'
    assert load_model(model).notes['recipe']['stages'][0]['kind'] == 'joint'

    evaluate = ['evaluate', '--config', 'recipe.yaml', '--model', model, '--budgets', '1,0.5']
    assert main([*evaluate, '--out', 'values.json']) == 0
    head, *rows = capsys.readouterr().out.split('\n\n')[0].splitlines()
    assert head.endswith('depth rmse | edges ods_f')
    assert [row.split(' | ')[0] for row in rows] == ['1.00', '0.50']
    stored = json.loads((tmp_path / 'values.json').read_text())
    assert [row['images'] for row in stored['rows']] == [2, 2]
    assert main([*evaluate, '--set', 'validation.options.scenes=1', '--out', 'values.json']) == 0
    stored = json.loads((tmp_path / 'values.json').read_text())
    assert [row['images'] for row in stored['rows']] == [1, 1]
    capsys.readouterr()
    assert main([*evaluate[:-1], '2']) == 1
    assert 'adamtl evaluate: budget must lie in (0, 1], got 2.0\n' in capsys.readouterr().err

    write_synthetic_bag(tmp_path / 'bag', frames=4, size=(48, 64))
    calibrate = ['calibrate', '--model', model, '--bag', 'bag', '--out', 'own.safetensors']
    assert main(calibrate) == 0
    found = capsys.readouterr()
    assert found.out == 'own.safetensors: budgets fitted to 4 images of 56x72\n'
    assert load_model('own.safetensors').network.calibration.size == (56, 72)
    (tmp_path / 'plain').touch()
    expected = stat.filemode((tmp_path / 'plain').stat().st_mode)
    for path in (model, 'own.safetensors', 'values.json'):
        assert stat.filemode((tmp_path / path).stat().st_mode) == expected


def test_out_names_the_folder(tmp_path, capsys):
    change = ['--set', 'stages.0.steps=1', '--set', 'name=other']
    assert main(['train', '--config', 'recipe.yaml', *change, '--out', 'here/there']) == 0
    assert (tmp_path / 'here' / 'there' / 'model.safetensors').is_file()
    assert load_model('here/there/model.safetensors').notes['recipe']['name'] == 'other'
    assert not (tmp_path / 'runs').exists()
    capsys.readouterr()


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['train', '--config', 'none.yaml'], 'none.yaml'),
        (['train', '--set', 'seed'], "--set takes NAME=VALUE, got 'seed'"),
        (['train', '--set', 'seed='], "--set takes NAME=VALUE, got 'seed='"),
        (['train', '--set', 'seed=['], "--set seed: '[' is not YAML"),
        (['train', '--set', 'sed=1'], "unknown entry 'sed', choose from: name,"),
        (['train', '--set', 'seed=one'], "'seed' must be of type int, got 'one'"),
        (['train', '--set', 'stages.1.steps=3'], "there is no entry 'stages.1.steps' to set"),
        (['train', '--set', 'stages.0.kind=all'], "unknown stage 'all', choose from: static"),
        (['train', '--set', 'architecture=huge'], "unknown architecture 'huge', choose from"),
        (['train', '--set', 'data.kind=films'], "unknown data 'films', choose from: scenes"),
        (['train', '--set', 'data={kind: nyud, root: /nowhere}'], '/nowhere is missing'),
        (['train', '--set', 'start=none.safetensors'], "'none.safetensors': no such file"),
        (['evaluate', '--model', 'none'], "model 'none': no such file"),
        (['evaluate', '--model', 'speck', '--budgets', 'all'], "'all'"),
        (['evaluate', '--model', 'speck'], "the classes of 'semseg' differ"),
        (['calibrate', '--model', 'speck', '--bag', 'none'], 'none: no such file or folder'),
        (['calibrate', '--model', 'none', '--bag', 'none'], "model 'none': no such file"),
    ],
)
def test_errors_are_one_sentence(args, message, capfd):
    verb, *rest = args
    given = ['--out', 'new.safetensors'] if verb == 'calibrate' else ['--config', 'recipe.yaml']
    assert main([verb, *given, *rest]) == VERBS[verb].failure
    found = capfd.readouterr()
    assert found.out == ''
    last = found.err.splitlines()[-1]
    assert last.startswith(f'adamtl {verb}: ')
    assert message in last
    assert 'Traceback' not in found.err


@pytest.mark.parametrize(
    ('module', 'args', 'extra'),
    [
        ('lightning_fabric', ['train', '--config', 'recipe.yaml'], "'adamtl_ros[train]'"),
        ('tqdm', ['evaluate', '--config', 'recipe.yaml'], "'adamtl_ros[evaluate]'"),
        ('cv2', ['calibrate', '--bag', 'none', '--out', 'new'], 'adamtl_ros;'),
        ('matplotlib', ['simulate-governor', 'glasses_in_summer'], "'adamtl_ros[simulate]'"),
        ('av', ['evaluate-bag', 'none'], "'adamtl_ros[bags]', and 'adamtl_ros[fleet]' for --ray"),
        ('numba', ['draw-bag', 'new', '--frames', '1'], "'adamtl_ros[scenes]'"),
        ('rclpy', ['demo'], "'adamtl_ros[demo]', and ROS 2, this package built in a workspace"),
    ],
)
def test_missing_modules_are_named_with_what_to_install(module, args, extra, tmp_path):
    """In a process of its own, where nothing is imported yet."""
    code = (
        f'import sys; sys.modules[{module!r}] = None\n'
        f'from adamtl_ros.commands.main import main; sys.exit(main({args!r}))'
    )
    path = os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])
    result = subprocess.run(
        [sys.executable, '-c', code],
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert f"adamtl {args[0]}: '{module}" in result.stderr
    assert f'is missing: this needs pip install {extra}' in result.stderr
    assert 'Traceback' not in result.stderr


def test_extras_are_those_of_the_package():
    text = (ROOT / 'pyproject.toml').read_text()
    section = text.split('[project.optional-dependencies]')[1].split('\n[')[0]
    extras = re.findall(r'^(\w+) = ', section, re.MULTILINE)
    assert {verb.extra for verb in VERBS.values()} - {''} <= set(extras)


@pytest.mark.parametrize('verb', sorted(VERBS))
def test_help_of_a_verb(verb, capsys):
    with pytest.raises(SystemExit) as ended:
        main([verb, '--help'])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f'usage: adamtl {verb} ')


def test_help_lists_every_verb(capsys):
    with pytest.raises(SystemExit):
        main(['--help'])
    shown = capsys.readouterr().out
    assert all(re.search(rf'^    {name}\s', shown, re.MULTILINE) for name in VERBS)


def test_an_interrupt_is_reported_as_stopped(monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr('adamtl_ros.training.run.train', stop)
    assert main(['train', '--config', 'recipe.yaml']) == 130
    assert capsys.readouterr().err == 'adamtl train: stopped\n'


@pytest.mark.parametrize('args', [[], ['paint'], ['train'], ['calibrate', '--bag', 'x']])
def test_impossible_arguments_end_with_the_usage(args, capsys):
    with pytest.raises(SystemExit) as ended:
        main(args)
    assert ended.value.code == 2
    assert 'usage: adamtl' in capsys.readouterr().err


def test_simulate_governor(tmp_path, capsys):
    scenario = {'name': 'short', 'hours': 0.02, 'device': {'battery_wh': 100, 'charge': 0.3}}
    (tmp_path / 'short.yaml').write_text(yaml.safe_dump(scenario))
    assert main(['simulate-governor', 'short.yaml']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == 'short: 0.02 h'
    assert lines[-1] == 'short.png'
    assert lines[5].split() == ['mean', 'budget', '0.63', '1.00']
    assert (tmp_path / 'short.png').stat().st_size > 10_000
    assert main(['simulate-governor', 'none.yaml']) == 1
    message = "no scenario 'none.yaml'; give a YAML file, or one of: glasses_in_summer, "
    assert message in capsys.readouterr().err


def test_simulate_governor_takes_the_name_of_a_scenario(tmp_path, capsys):
    assert main(['simulate-governor', 'laptop_with_a_load_spike', '--out', 'plot.png']) == 0
    assert capsys.readouterr().out.splitlines()[-1] == 'plot.png'
    assert (tmp_path / 'plot.png').is_file()
