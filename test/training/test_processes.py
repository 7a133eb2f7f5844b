# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Two processes under `torchrun` that train one network."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from helpers import small
from safetensors.torch import load_file

from adamtl_ros.nn.architecture import ARCHITECTURES
from adamtl_ros.nn.io.checkpoint import load_model
from adamtl_ros.training.build import build_dataset, build_network
from adamtl_ros.training.logger import read_log
from adamtl_ros.training.recipe import read_recipe
from adamtl_ros.training.run import train

torch.set_num_threads(1)
ARCH = replace(small.ARCH, name='speck')
SCRIPT = """
import json, sys
from adamtl_ros.commands.main import main
from adamtl_ros.nn.architecture import ARCHITECTURES, Architecture

if __name__ == '__main__':
    arch, *calls = json.loads(sys.argv[1])
    ARCHITECTURES[arch['name']] = Architecture.from_dict(arch)
    sys.exit(any(main(call) for call in calls))
"""


def write(path, stages, **more):
    """Write a recipe of depth alone: its loss is a mean over images, so halves can be joined."""
    options = {'scenes': 4, 'frames': 1, 'height': 64, 'width': 64, 'samples': 1}
    entries = {
        'name': 'shared',
        'architecture': 'speck',
        'tasks': ['depth'],
        'precision': '32-true',
        'data': {'kind': 'scenes', 'options': options},
        'validation': {'kind': 'scenes', 'options': options},
        'stages': [
            {'kind': kind, 'steps': steps, 'batch': 4, 'size': [64, 64]} for kind, steps in stages
        ],
        'ema': 0.0,
        'calibration_images': 4,
        **more,
    }
    path.write_text(yaml.safe_dump(entries))
    return path


@pytest.fixture(scope='module')
def shared(tmp_path_factory):
    """Return a folder in which two processes have followed two recipes, one in two parts."""
    folder = tmp_path_factory.mktemp('shared')
    write(folder / 'static.yaml', [('static', 4)])
    kept = {'kind': 'scenes', 'root': str(folder / 'scenes'), 'options': {'scenes': 4, 'frames': 1}}
    kept['options'] |= {'height': 64, 'width': 64, 'samples': 1}
    stages = [('backbone', 1), ('policy', 2), ('joint', 2)]
    write(folder / 'every.yaml', stages, data=kept, precision='bf16-mixed')
    calls = [
        ['train', '--config', str(folder / f'{name}.yaml'), '--out', str(folder / name), *more]
        for name, more in (('static', ['--steps', '2']), ('static', []), ('every', []))
    ]
    (folder / 'script.py').write_text(SCRIPT)
    done = subprocess.run(
        [
            sys.executable, '-m', 'torch.distributed.run', '--nproc-per-node', '2', '--standalone',
            str(folder / 'script.py'), json.dumps([ARCH.to_dict(), *calls]),
        ],
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (folder / 'output').write_text(done.stdout)
    return folder


def weights(network):
    return torch.cat([value.flatten() for value in network.values()])


def test_two_processes_equal_one_with_the_same_batch(shared, tmp_path, monkeypatch):
    monkeypatch.setitem(ARCHITECTURES, 'speck', ARCH)
    recipe = read_recipe(shared / 'static.yaml')
    alone = weights(load_file(train(recipe, tmp_path)))
    together = weights(load_file(shared / 'static' / 'model.safetensors'))
    tasks = {'depth': build_dataset(recipe.data).tasks['depth']}
    start = weights(build_network(recipe, tasks)[0].state_dict())
    learnt = (alone - start).abs()
    assert learnt.max() > 1e-3
    assert (together - alone).abs().mean() < 0.02 * learnt.mean()


def test_their_gradients_are_those_of_the_whole_batch(shared, tmp_path, monkeypatch):
    """Against what the first process would do with its half alone."""
    monkeypatch.setitem(ARCHITECTURES, 'speck', ARCH)
    whole, half = (
        read_recipe(shared / 'static.yaml', {'stages.0.batch': batch}) for batch in (4, 2)
    )
    norms = []
    for folder, recipe in ((tmp_path / 'whole', whole), (tmp_path / 'half', half)):
        train(recipe, folder)
        norms.append(float(read_log(folder / 'journal.csv')[0]['gradient']))
    found = float(read_log(shared / 'static' / 'journal.csv')[0]['gradient'])
    assert found == pytest.approx(norms[0], rel=1e-3)
    assert found != pytest.approx(norms[1], rel=1e-3)


def test_stages_with_gates_finish_and_one_process_writes(shared):
    folder = shared / 'every'
    assert sorted(path.name for path in folder.iterdir()) == [
        'checkpoint.pt', 'curves.png', 'journal.csv', 'model.safetensors', 'recipe.yaml',
    ]  # fmt: skip
    model = load_model(str(folder / 'model.safetensors'))
    assert model.network.calibration.images == 4
    assert '2 processes' in model.notes['machine']
    assert [row['stage'] for row in read_log(folder / 'journal.csv')] == [
        'backbone', 'policy', 'joint',
    ]  # fmt: skip
    assert (shared / 'scenes' / 'scenes.json').is_file()


def test_all_processes_tell_the_same(shared):
    lines = (shared / 'output').read_text().splitlines()
    assert Path(shared / 'output').read_text().count('in ') == 6
    assert sum('a checkpoint' in line for line in lines) == 2
    assert sum('model.safetensors' in line for line in lines) == 4
