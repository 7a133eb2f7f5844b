# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Content of `metrics.json`."""

import dataclasses
import json
import math

import numpy as np
import pytest
from helpers.bag_files import cost

from adamtl_ros.bags.ground_truth import ClassMap
from adamtl_ros.bags.reader import IssueLog
from adamtl_ros.evaluation.bags.result import (
    BagResult,
    BudgetResult,
    EvaluationSettings,
    Streaming,
    UsageMap,
)
from adamtl_ros.evaluation.bags.scores import Scores
from adamtl_ros.evaluation.bags.summary import build_summary, write_summary
from adamtl_ros.nn.architecture import architecture
from adamtl_ros.nn.gating.plan import uniform_plan
from adamtl_ros.nn.io.checkpoint import model_file
from adamtl_ros.tasks import TASKS

PICO = architecture('pico')
CHOSEN = {name: TASKS[name] for name in ('depth', 'edges')}
COUNT = 32


def evaluation(latencies=range(1, COUNT + 1), energy=float('nan')):
    """Return the results of one recording in which depth is off by 2 m, at two budgets."""
    notes = IssueLog()
    notes.add('image cannot be read', 'image 3')
    result = BagResult(
        'run', 'abc', notes, '/camera', COUNT + 1, len(latencies), {'depth': '/depth'},
        {'depth': len(latencies)},
    )  # fmt: skip
    for budget in (1.0, 0.5):
        scores, late = (Scores(CHOSEN, {'depth': TASKS['depth']}) for _ in range(2))
        usage, costs = UsageMap(PICO), []
        for number, latency in enumerate(latencies):
            off = np.full((4, 4), 1 + 2 * (number % 2), np.float32)
            labels = {'depth': np.ones((4, 4), np.float32)}
            scores.truth.add(number / len(latencies), {'depth': off}, labels)
            scores.against_full.add('depth', (1 - budget) / 2)
            usage.add(uniform_plan(PICO.depths), (192, 256))
            costs.append(cost(budget, number, latency_ms=float(latency), energy_j=energy))
        late.truth.add(0.0, {'depth': off}, labels)
        streaming = Streaming(late, 5, 2, [10.0, 20.0, 30.0])
        result.budgets.append(BudgetResult(budget, scores, costs, usage, streaming))
    return result


def summary(*results, model='pico'):
    settings = EvaluationSettings(model=model, budgets=(1.0, 0.5), shown=0.5, threads=3)
    return build_summary(results, settings, CHOSEN, 8.0)


def test_what_was_found():
    found = summary(evaluation())
    assert found['frames'] == COUNT
    assert found['bags'] == [{
        'name': 'run', 'sha256': 'abc', 'camera': '/camera', 'images': COUNT + 1,
        'evaluated': COUNT, 'ground_truth': {'depth': {'from': '/depth', 'frames': COUNT}},
        'failure': '',
        'notes': [{'what': 'image cannot be read', 'count': 1, 'example': 'image 3'}],
    }]  # fmt: skip
    full, half = found['results']
    assert (full['budget'], full['share'], half['share']) == (1, 1, 0.5)
    assert (full['macs'], half['macs']) == (1000, 500)
    assert set(half['share_percentiles'].values()) == {0.5}
    assert full['blocks'] == [1] * PICO.block_count
    depth = half['truth']['depth']
    assert depth['frames'] == COUNT
    assert depth['values']['rmse'] == pytest.approx(math.sqrt(2))
    # Every stretch of two frames is the same.
    assert depth['errors']['rmse'] == pytest.approx(0, abs=1e-9)
    assert (depth['unit'], depth['units']) == ('stretch', 16)
    assert depth['left_out']['rmse'] == pytest.approx([math.sqrt(2)] * 16)
    assert 'edges' not in half['truth']
    assert half['differs_from_full']['depth'] == {'pixels': 0.25, 'frames': 1}
    assert half['flips']['depth'] == {'pixels': None, 'frames': None}


def test_settings_say_all_that_decides_but_no_place_on_this_machine(tmp_path):
    classes = ClassMap({'semseg': {3: 'person'}})
    settings = EvaluationSettings(
        'pico', (1.0, 0.5), ('depth',), '/camera', {'depth': '/d'}, classes, 3, realtime=True,
        out=tmp_path, shown=0.5, max_depth=30.0,
    )  # fmt: skip
    found = build_summary([evaluation()], settings, CHOSEN, 8.0)['settings']
    assert found == {
        'model': {'name': 'pico', 'sha256': ''}, 'budgets': [1.0, 0.5],
        'tasks': ['depth', 'edges'], 'camera': '/camera', 'truth': {'depth': '/d'},
        'classes': {'semseg': {'3': 'person'}}, 'threads': 3, 'realtime': True, 'shown': 0.5,
        'max_depth': 30.0, 'engine': 'torch', 'precision': 'float32',
    }  # fmt: skip
    fields = {field.name for field in dataclasses.fields(EvaluationSettings)}
    # The model's entry names the adapter; `temporal` adds an entry and changes no other.
    assert fields - set(found) == {'out', 'adapter', 'temporal'}


def test_times():
    found = summary(evaluation())['timing']
    assert (found['wall_s'], found['frames_per_s']) == (8, COUNT / 8)
    first = found['results'][0]
    assert first['latency_ms']['p50'] == pytest.approx(16.5)
    assert first['latency_ms']['p99'] == pytest.approx(np.percentile(range(1, COUNT + 1), 99))
    assert first['infer_ms']['p50'] == pytest.approx(13.5)
    histogram = first['histogram_ms']
    assert sum(histogram['counts']) == COUNT
    assert len(histogram['edges']) == len(histogram['counts']) + 1
    assert histogram['edges'][0] == 0
    streaming = first['streaming']
    assert (streaming['dropped'], streaming['blind'], streaming['answers']) == (5, 2, 3)
    assert streaming['age_ms']['p50'] == 20
    assert streaming['truth']['depth']['values']['rmse'] == pytest.approx(2)
    assert streaming['truth']['depth']['errors']['rmse'] is None


def test_energy_where_it_is_known():
    assert summary(evaluation())['timing']['results'][0]['energy_j'] is None
    assert summary(evaluation(energy=0.5))['timing']['results'][0]['energy_j'] == 0.5


def test_only_times_differ_between_runs():
    slow, fast = summary(evaluation([50.0] * 9)), summary(evaluation([5.0] * 9))
    assert slow.pop('timing') != fast.pop('timing')
    assert slow == fast


def test_recordings_are_added_up_in_the_order_given():
    found = summary(evaluation(), evaluation([1.0] * 8))
    assert found['frames'] == COUNT + 8
    depth = found['results'][0]['truth']['depth']
    assert (depth['frames'], depth['unit'], depth['units']) == (COUNT + 8, 'recording', 2)
    assert sum(found['timing']['results'][0]['histogram_ms']['counts']) == COUNT + 8


def test_nothing_at_all():
    failed = BagResult('gone', '', IssueLog(), failure='no such file')
    found = summary(failed)
    assert (found['frames'], found['results'], found['timing']['results']) == (0, [], [])
    assert found['bags'][0]['failure'] == 'no such file'


def test_a_recording_without_frames():
    empty = evaluation()
    for part in empty.budgets:
        part.costs.clear()
        part.streaming.ages_ms.clear()
    row = summary(empty)['results'][0]
    assert (row['share'], row['macs'], row['share_percentiles']['p50']) == (None, None, None)


@pytest.mark.parametrize(('model', 'trained'), [('pico', False), ('scenes_nano', True)])
def test_the_model_is_named_with_its_digest(model, trained):
    found = summary(evaluation(), model=model)['settings']['model']
    assert found['name'] == model
    assert bool(found['sha256']) == trained == bool(model_file(model))
    named = summary(evaluation(), model=str(model_file(model) or model))['settings']['model']
    assert named == found


def test_the_file_is_json(tmp_path):
    found = summary(evaluation())
    path = tmp_path / 'new' / 'metrics.json'
    write_summary(found, path)
    assert json.loads(path.read_text()) == found
    assert path.read_text().endswith('}\n')
    assert 'NaN' not in path.read_text()
