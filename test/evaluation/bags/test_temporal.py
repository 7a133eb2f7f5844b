# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Comparison of streams with simple ways, and flicker."""

import json
from collections import Counter

import cv2
import numpy as np
import pytest
from helpers import small

from adamtl_ros.commands.main import main
from adamtl_ros.evaluation.bags.flicker import Flicker, backward_flow, change
from adamtl_ros.evaluation.bags.result import EvaluationSettings, WayResult
from adamtl_ros.evaluation.bags.scores import Scores, TruthScores
from adamtl_ros.evaluation.bags.temporal import _NearPeople, evaluate_temporal, ways
from adamtl_ros.nn.io.checkpoint import Model, save_model
from adamtl_ros.runtime.engine import Engine
from adamtl_ros.tasks import TASKS


@pytest.fixture(scope='module')
def room(tmp_path_factory):
    bag = tmp_path_factory.mktemp('bags') / 'room'
    options = ['--frames', '12', '--rate', '30', '--camera', 'still']
    assert main(['draw-bag', str(bag), *options]) == 0
    return bag


@pytest.fixture(scope='module')
def results(room):
    engine = Engine(Model(small.lite(), 'small'), 'cpu')
    tasks = {name: engine.model.network.tasks[name] for name in ('human_parts', 'depth')}
    found = evaluate_temporal(room, engine, EvaluationSettings(temporal=(0.25,)), tasks)
    return {way.name: way for way in found}


def test_every_simple_way_is_there():
    assert [(way.name, way.budget) for way in ways([0.25, 0.125])][2:] == [
        ('largest rung, every frame', 0.25),
        ('full, every 4th held', 0.25),
        ('full, every 4th warped', 0.25),
        ('running mean, every 4th', 0.25),
        ('stream', 0.25),
        ('largest rung, every frame', 0.125),
        ('full, every 8th held', 0.125),
        ('full, every 8th warped', 0.125),
        ('running mean, every 8th', 0.125),
        ('stream', 0.125),
    ]


def test_each_way_spends_what_its_name_says(results):
    shares = {name: np.mean(way.shares) for name, way in results.items()}
    assert shares['full, every frame'] == shares['running mean, every frame'] == 1
    for name in ('held', 'warped'):
        assert shares[f'full, every 4th {name}'] == 0.25
    assert shares['running mean, every 4th'] == 0.25
    assert results['full, every 4th held'].actions == Counter(refreshed=3, reused=9)
    assert results['full, every 4th held'].ages[:5] == pytest.approx(
        [0, 1 / 30, 2 / 30, 0.1, 0], abs=1e-5
    )
    assert results['stream'].shares[0] == 1
    assert max(results['largest rung, every frame'].shares) < 0.5


def test_all_see_the_same_frames_and_are_scored_on_them(results):
    entries = {name: way.to_dict() for name, way in results.items()}
    first = {name: entry['differs_from_full']['depth']['pixels'] for name, entry in entries.items()}
    assert first['full, every frame'] == 0
    for entry in entries.values():
        assert set(entry['truth']) == {'human_parts', 'depth'}
        assert np.isfinite(entry['truth']['depth']['rmse'])
        assert set(entry['flicker']) == {'human_parts', 'depth'}
    held = entries['full, every 4th held']['flicker']['depth']
    assert held < entries['full, every frame']['flicker']['depth']
    for way in results.values():
        assert way.times()['p50'] > 0


def test_the_command_writes_them(room, tmp_path, capsys):
    model = tmp_path / 'small.safetensors'
    save_model(Model(small.lite(), 'small'), model)
    out = tmp_path / 'out'
    options = ['--model', str(model), '--tasks', 'depth', '--budgets', '1', '--out', str(out)]
    assert main(['evaluate-bag', str(room), '--temporal', '0.25', '--realtime', *options]) == 0
    printed = capsys.readouterr().out
    assert 'room, over time:' in printed
    assert 'running mean, every 4th' in printed
    summary = json.loads((out / 'metrics.json').read_text())
    (entry,) = summary['temporal']
    assert entry['bag'] == 'room'
    assert [way['name'] for way in entry['ways']][-1] == 'stream'
    assert summary['timing']['temporal'][0][0]['live']['truth']['depth']['rmse'] > 0
    page = (out / 'report.html').read_text()
    assert 'Over time' in page
    assert 'full, every 4th warped' in page


def test_a_budget_outside_its_range(room, tmp_path, capsys):
    assert main(['evaluate-bag', str(room), '--temporal', '2', '--out', str(tmp_path)]) == 2
    assert 'got 2.0' in capsys.readouterr().err


def way(rate, shares):
    made = WayResult('', 0.5, Scores({}, {}), TruthScores({}))
    made.shares = list(shares)
    made.stamps = [100 + number / rate for number in range(len(made.shares))]
    return made


@pytest.mark.parametrize('rate', [5, 15, 30])
def test_the_worst_three_seconds_by_hand(rate):
    frames = 3 * rate
    shares = [0.0] * frames + [1.0] * frames + [0.0] * 7
    assert way(rate, shares).largest_window == pytest.approx(1)
    shares[frames] = 0.0
    assert way(rate, shares).largest_window == pytest.approx(1 - 1 / frames)
    assert np.isnan(way(rate, shares[: frames - 2]).largest_window)


def test_near_people_is_where_they_are_or_were():
    near, parts = _NearPeople(), np.zeros((4, 6), np.uint8)
    assert near.add({'depth': np.ones((4, 6), np.float32)}) == {}
    for column in range(2):
        now = parts.copy()
        now[:, column] = 3
        depth = np.full((4, 6), column, np.float32)
        labels = near.add({'human_parts': now, 'depth': depth})
    np.testing.assert_array_equal(labels['human_parts'][0], [0, 3, 255, 255, 255, 255])
    np.testing.assert_array_equal(np.isfinite(labels['depth'][0]), [1, 1, 0, 0, 0, 0])


def plain(task, value):
    shape = (120, 160, 3) if task == 'normals' else (120, 160)
    kind = np.uint8 if task in ('semseg', 'human_parts', 'saliency', 'edges') else np.float32
    return np.full(shape, value, kind)


@pytest.mark.parametrize(
    ('task', 'before', 'after', 'expected'),
    [
        ('semseg', 3, 4, 1),
        ('semseg', 3, 3, 0),
        ('depth', 2, 4, np.log(2)),
        ('saliency', 51, 0, 0.2),
    ],
)
def test_changes_by_hand(task, before, after, expected):
    assert change(task, plain(task, before), plain(task, after)) == pytest.approx(expected)


def test_the_change_of_normals_is_an_angle():
    one, other = plain('normals', 0), plain('normals', 0)
    one[..., 2] = other[..., 0] = 1
    assert change('normals', one, other).mean() == pytest.approx(90)


def test_what_moves_with_the_camera_does_not_flicker():
    noise = np.random.default_rng(0).integers(0, 256, (120, 200), np.uint8)
    wide = cv2.GaussianBlur(noise, (0, 0), 2)
    columns = (np.arange(200) // 40).astype(np.uint8)[None].repeat(120, 0)
    moving, still = Flicker(['semseg']), Flicker(['semseg'])
    flow = backward_flow(np.ascontiguousarray(wide[:, :160]), np.ascontiguousarray(wide[:, 3:163]))
    for shift, given in ((0, None), (3, flow)):
        moving.add({'semseg': np.ascontiguousarray(columns[:, shift : shift + 160])}, given)
        still.add({'semseg': np.ascontiguousarray(columns[:, :160])}, given)
    assert moving.compute()['semseg'] < 0.01 < still.compute()['semseg']
    assert np.isnan(Flicker(TASKS).compute()['depth'])
