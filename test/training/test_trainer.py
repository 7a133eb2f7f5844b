# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The training loop: it learns, and goes on after an interruption as if there had been none."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers import small
from safetensors.torch import load_file

from adamtl_ros.data.transforms import Augmentation
from adamtl_ros.nn.architecture import ARCHITECTURES
from adamtl_ros.training import run, trainer
from adamtl_ros.training.build import build_dataset, build_network
from adamtl_ros.training.logger import read_log
from adamtl_ros.training.recipe import DataConfig, Recipe, Stage
from adamtl_ros.training.run import MODEL, launch, train
from adamtl_ros.training.trainer import CHECKPOINT, LOG, Trainer

torch.set_num_threads(1)
ARCH = replace(small.ARCH, name='speck')
SCENES = {'scenes': 4, 'frames': 1, 'height': 64, 'width': 64, 'samples': 1}
SOURCE = DataConfig('scenes', options=SCENES)
STEADY = Augmentation((1.0, 1.0), flip=False, color=0.0)


def stage(kind, steps, **more):
    return Stage(kind, steps, batch=2, size=(64, 64), **more)


FOUR = tuple(stage(kind, 3) for kind in ('static', 'backbone', 'policy', 'joint'))
RECIPE = Recipe(
    'tiny', SOURCE, SOURCE, FOUR, 'speck', ('semseg', 'depth'), precision='32-true',
    calibration_images=4, checkpoint_steps=2, ema=0.5,
)  # fmt: skip


class Kept:
    """A data set whose images are drawn once."""

    def __init__(self, dataset):
        self.tasks, self.samples = dataset.tasks, [dataset[index] for index in range(len(dataset))]

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        return self.samples[index]


KILLED = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path

import torch
from adamtl_ros.nn.architecture import ARCHITECTURES
from adamtl_ros.training import trainer
from adamtl_ros.training.run import train
import test_trainer
from helpers import small

torch.set_num_threads(1)
ARCHITECTURES['speck'] = test_trainer.ARCH
trainer.LOG_EVERY = 1
folder, left = Path(sys.argv[1]), int(sys.argv[2])
write = trainer.CSVLogger.log_metrics

def counting(journal, row):
    global left
    write(journal, row)
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)

trainer.CSVLogger.log_metrics = counting
train(test_trainer.RECIPE, folder)
"""


@pytest.fixture(autouse=True)
def _speck(monkeypatch):
    monkeypatch.setitem(ARCHITECTURES, 'speck', ARCH)
    monkeypatch.setattr(trainer, 'LOG_EVERY', 1)
    monkeypatch.setattr(run, 'plot_curves', lambda *_: None)  # most of the time, otherwise


@pytest.fixture(scope='module')
def unbroken(tmp_path_factory):
    """Return a function that follows a recipe in one go and gives the folder, once each."""
    done = {}

    def follow(recipe):
        key = (recipe.precision, recipe.seed)
        if key not in done:
            done[key] = tmp_path_factory.mktemp('unbroken')
            assert train(recipe, done[key]) == done[key] / MODEL
        return done[key]

    return follow


def journal(folder):
    """Return the rows of a journal without what the clock says."""
    return [{**row, 'seconds': ''} for row in read_log(folder / LOG)]


def assert_same(folder, other):
    assert journal(folder) == journal(other)
    one, two = load_file(folder / MODEL), load_file(other / MODEL)
    assert one.keys() == two.keys()
    for name, weight in one.items():
        assert torch.equal(weight, two[name]), name


@pytest.mark.parametrize(
    ('precision', 'kind'), [('32-true', 'joint'), ('bf16-mixed', 'static'), ('32-true', 'static')]
)
def test_losses_fall(tmp_path, precision, kind):
    recipe = replace(
        RECIPE,
        stages=(Stage(kind, 30, batch=4, size=(64, 64), lr=1e-2, full=0.5),),
        augmentation=STEADY,
        precision=precision,
        checkpoint_steps=1000,
    )
    dataset = Kept(build_dataset(SOURCE))
    network, _ = build_network(recipe, {name: dataset.tasks[name] for name in recipe.tasks})
    assert Trainer(recipe, network, dataset, tmp_path, launch(recipe.precision)).run()
    rows = journal(tmp_path)
    assert [int(row['step']) for row in rows] == list(range(30))
    for name in ('loss', *recipe.tasks):
        first, last = ([float(row[name]) for row in part] for part in (rows[:5], rows[-5:]))
        assert sum(last) < 0.8 * sum(first), name
    for name, weight in network.named_parameters():
        assert weight.isfinite().all(), name
        assert weight.dtype == torch.float32, name


def test_the_journal_says_what_each_stage_does(unbroken):
    rows = journal(unbroken(RECIPE))
    assert [row['stage'] for row in rows] == [part.kind for part in FOUR for _ in range(3)]
    assert [int(row['step']) for row in rows] == list(range(12))
    for row in rows:
        assert float(row['loss']) > 0
        assert float(row['gradient']) > 0
        assert bool(row['spending']) == bool(row['share']) == (row['stage'] in ('policy', 'joint'))
        assert 'normals' not in row


def test_another_seed_is_another_training(unbroken):
    one, other = (unbroken(replace(RECIPE, seed=seed)) for seed in (0, 1))
    assert journal(one) != journal(other)


# In the first stage, between two stages, before the last step, after it.
@pytest.mark.parametrize('first', [0, 1, 3, 5, 11, 12])
def test_an_interruption_changes_nothing(tmp_path, unbroken, first):
    model = train(RECIPE, tmp_path, first)
    if first < 12:
        assert model is None
        assert len(journal(tmp_path)) == first
        assert train(RECIPE, tmp_path)
    assert_same(tmp_path, unbroken(RECIPE))


def test_nor_do_many_in_mixed_precision(tmp_path, unbroken):
    recipe = replace(RECIPE, precision='bf16-mixed')
    assert [train(recipe, tmp_path, steps) for steps in (4, 4)] == [None, None]
    assert train(recipe, tmp_path, 4)
    assert_same(tmp_path, unbroken(recipe))


def test_nor_does_one_of_a_mixture(tmp_path):
    others = {**SCENES, 'first_seed': 50, 'difficulty': 0.2}
    half = DataConfig('scenes', options=others, task_weights={'depth': 0.5, 'semseg': 0})
    mixture = DataConfig('mixture', sets=(replace(SOURCE, weight=2), half))
    recipe = replace(RECIPE, data=mixture, stages=FOUR[1::2])
    assert train(recipe, tmp_path / 'unbroken')
    assert [train(recipe, tmp_path / 'broken', steps) for steps in (1, 3)] == [None, None]
    assert train(recipe, tmp_path / 'broken')
    assert_same(tmp_path / 'broken', tmp_path / 'unbroken')


@pytest.mark.parametrize('rows', [8])
def test_nor_does_a_kill(tmp_path, unbroken, rows):
    """Two steps after a checkpoint: they are done again."""
    paths = [str(Path(__file__).parent), str(Path(small.__file__).parents[1])]
    environment = {
        **os.environ,
        'OMP_NUM_THREADS': '1',
        'PYTHONPATH': os.pathsep.join([*paths, os.environ.get('PYTHONPATH', '')]),
    }
    done = subprocess.run(
        [sys.executable, '-c', KILLED, str(tmp_path), str(rows)],
        env=environment, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(journal(tmp_path)) == rows
    assert not (tmp_path / MODEL).exists()
    saved = torch.load(tmp_path / CHECKPOINT, weights_only=True)['progress']
    assert (saved['stage'], saved['step']) == (2, 0)
    assert train(RECIPE, tmp_path)
    assert_same(tmp_path, unbroken(RECIPE))


def test_a_finished_training_is_not_done_again(tmp_path, unbroken):
    (tmp_path / CHECKPOINT).write_bytes((unbroken(RECIPE) / CHECKPOINT).read_bytes())
    (tmp_path / LOG).write_bytes((unbroken(RECIPE) / LOG).read_bytes())
    assert train(RECIPE, tmp_path)
    assert_same(tmp_path, unbroken(RECIPE))


@pytest.mark.parametrize(
    ('changes', 'message'),
    [({'seed': 3}, r"differs in 'seed' \(0\)"), ({'stages': FOUR[:2]}, "differs in 'stages'")],
)
def test_checkpoints_of_another_recipe_are_refused(tmp_path, changes, message):
    train(RECIPE, tmp_path, 1)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=message + '.*; choose another folder with --out'):
        train(replace(RECIPE, **changes), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_checkpoints_with_former_names_of_entries_resume(tmp_path, unbroken):
    train(RECIPE, tmp_path, 4)
    state = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    augmentation = state['recipe']['augmentation']
    augmentation['colour'] = augmentation.pop('color')  # of version 0.1
    torch.save(state, tmp_path / CHECKPOINT)
    assert train(RECIPE, tmp_path)
    assert_same(tmp_path, unbroken(RECIPE))


def test_a_checkpoint_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    train(RECIPE, tmp_path, 1)
    before = (tmp_path / CHECKPOINT).read_bytes()

    def fail(state, path):
        path.write_bytes(b'half')
        raise OSError('disk full')

    monkeypatch.setattr(torch, 'save', fail)
    with pytest.raises(OSError, match='disk full'):
        train(RECIPE, tmp_path, 1)
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_what_is_kept_is_the_running_mean(tmp_path):
    recipe = replace(RECIPE, stages=(stage('static', 3),), ema=0.9)
    assert train(recipe, tmp_path)
    state, kept = torch.load(tmp_path / CHECKPOINT, weights_only=True), load_file(tmp_path / MODEL)
    assert any(not torch.equal(kept[name], value) for name, value in state['network'].items())
    for name, value in kept.items():
        assert torch.equal(value, state['mean'][f'module.{name}'])
