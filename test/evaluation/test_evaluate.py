# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A model on a data set: the metrics, what was spent, and in which order."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import small

from adamtl_ros.data.synthetic import ScenesConfig, SyntheticScenes
from adamtl_ros.evaluation.evaluate import Evaluation, evaluate
from adamtl_ros.evaluation.floors import Floors
from adamtl_ros.evaluation.metrics import PROTOCOLS, metric_for, rank_correlation
from adamtl_ros.nn.io.checkpoint import Model
from adamtl_ros.runtime.engine import Engine
from adamtl_ros.sample import Sample
from adamtl_ros.scenes.labels import SCENE_TASKS

torch.set_num_threads(1)
BUDGETS = (0.6, 1.0, 0.8)


class Images:
    """A data set of samples."""

    def __init__(self, samples, tasks=SCENE_TASKS):
        self.samples, self.tasks = samples, tasks

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        return self.samples[index]


@pytest.fixture(scope='module')
def dataset():
    """Return four drawn images; the second has no label for depth, the third no difficulty."""
    drawn = SyntheticScenes(ScenesConfig(4, 1, 48, 64, samples=1))
    samples = [drawn[index] for index in range(4)]
    labels = {name: label for name, label in samples[1].labels.items() if name != 'depth'}
    samples[1] = replace(samples[1], labels=labels)
    samples[2] = replace(samples[2], difficulty=math.nan)
    return Images(samples)


@pytest.fixture(scope='module')
def engine():
    network = small.network(tasks=SCENE_TASKS, arch=replace(small.ARCH, name='speck'))
    return Engine(Model(network, 'speck'), 'cpu')


def full(engine):
    """Return the MACs of everything, at the size to which 48x64 is brought."""
    return engine.model.network.complexity(56, 72).full(SCENE_TASKS)


@pytest.fixture(scope='module')
def found(engine, dataset):
    return evaluate(engine, dataset, BUDGETS)


def same(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert value == pytest.approx(other[name], nan_ok=True), name


def test_metrics_are_those_of_each_image_in_turn(engine, dataset, found):
    assert [evaluation.budget for evaluation in found] == list(BUDGETS)
    for evaluation in found:
        assert list(evaluation.metrics) == list(SCENE_TASKS)
        for name, task in SCENE_TASKS.items():
            metric = metric_for(task)
            for sample in dataset.samples:
                if name in sample.labels:
                    result = engine.run(sample.image, evaluation.budget).results[name]
                    metric.update(result, sample.labels[name])
            same(evaluation.metrics[name], metric.compute())
    assert found[0].metrics != found[1].metrics


def test_costs_are_those_of_the_network(engine, dataset, found):
    for evaluation in found:
        costs = [engine.run(sample.image, evaluation.budget).cost for sample in dataset.samples]
        assert evaluation.shares.tolist() == [cost.fraction for cost in costs]
        assert evaluation.share == pytest.approx(np.mean([cost.fraction for cost in costs]))
        assert evaluation.macs == pytest.approx(np.mean([cost.macs for cost in costs]))
        assert evaluation.share <= evaluation.budget
        assert evaluation.wall_ms > evaluation.infer_ms > 0
        assert evaluation.input_sizes == {'56x72': 4}  # the size to which 48x64 is brought
    assert found[1].share == 1
    assert found[1].macs == full(engine)


def test_difficulty_is_that_of_the_images(dataset, found):
    for evaluation in found:
        expected = [sample.difficulty for sample in dataset.samples]
        np.testing.assert_array_equal(evaluation.difficulty, expected)
        correlation = rank_correlation(evaluation.shares, expected)
        assert evaluation.difficulty_correlation == pytest.approx(correlation, nan_ok=True)
    assert math.isnan(found[1].difficulty_correlation)


def test_a_protocol_and_constant_answers_are_scored_on_the_same_labels(engine, dataset):
    protocol = PROTOCOLS['nyud']
    floors = Floors(['depth', 'normals', 'edges'], 2.0, protocol)
    (evaluation,) = evaluate(engine, dataset, protocol=protocol, floors=floors)
    depth = metric_for(SCENE_TASKS['depth'], protocol)
    for sample in dataset.samples:
        if 'depth' in sample.labels:
            depth.update(np.full((48, 64), 2, np.float32), sample.labels['depth'])
    found = floors.compute()
    assert list(found) == ['depth', 'normals']
    same(found['depth'], depth.compute())
    for name, values in found.items():
        assert values.keys() == evaluation.metrics[name].keys()
    assert 'rmse_per_image_eigen' in found['depth']
    assert 'ods_f_bsds' in evaluation.metrics['edges']


def test_headline_is_the_metric_that_stands_for_a_task(found):
    headline = found[0].headline(SCENE_TASKS)
    assert headline == {
        name: found[0].metrics[name][task.metric] for name, task in SCENE_TASKS.items()
    }


def test_only_wanted_tasks_are_run_and_cost(engine, dataset):
    (alone,) = evaluate(engine, dataset, tasks=['depth'])
    assert list(alone.metrics) == ['depth']
    assert alone.budget == alone.share == 1
    assert alone.macs < full(engine)
    few = Images(dataset.samples, {name: SCENE_TASKS[name] for name in ('edges', 'semseg')})
    assert list(evaluate(engine, few)[0].metrics) == ['semseg', 'edges']


def test_every_image_runs_at_each_budget_in_turn(engine, dataset, monkeypatch):
    run, calls, ticks = engine.run, [], []

    def spy(image, budget, tasks, focal):
        calls.append((image.tobytes(), budget))
        return run(image, budget, tasks, focal)

    monkeypatch.setattr(engine, 'run', spy)
    evaluate(engine, dataset, BUDGETS, ['depth'], progress=lambda: ticks.append(len(calls)))
    assert calls == [(s.image.tobytes(), budget) for s in dataset.samples for budget in BUDGETS]
    assert ticks == [3, 6, 9, 12]


def test_depth_is_that_of_the_lens_of_each_image(engine, dataset):
    """With labels that are the depth at another lens, there is no error only with that lens."""
    aware = Engine(replace(engine.model, focal=0.9), 'cpu')
    samples = []
    for sample, focal in zip(dataset.samples[:3], (0.9, 1.35, math.nan), strict=True):
        depth = aware.run(sample.image, tasks=['depth'], focal=focal).results['depth']
        samples.append(Sample(sample.image, {'depth': depth}, focal=focal))
    (right,) = evaluate(aware, Images(samples), tasks=['depth'])
    assert right.metrics['depth']['abs_rel'] < 1e-5
    other = [replace(sample, focal=0.9) for sample in samples]
    (wrong,) = evaluate(aware, Images(other), tasks=['depth'])
    # Two thirds of the depth of one of three images.
    assert wrong.metrics['depth']['abs_rel'] == pytest.approx(1 / 9, rel=0.01)


def test_tasks_without_any_label_have_no_value(engine, dataset):
    blank = [Sample(sample.image) for sample in dataset.samples]
    (evaluation,) = evaluate(engine, Images(blank), tasks=['depth'])
    assert math.isnan(evaluation.metrics['depth']['rmse'])
    assert math.isnan(evaluation.difficulty_correlation)
    assert evaluation.to_dict()['metrics']['depth']['rmse'] is None


@pytest.mark.parametrize(
    ('tasks', 'known', 'message'),
    [
        (
            ['depth', 'sky'],
            SCENE_TASKS,
            r"the model has tasks semseg, .*\['sky'\] cannot be",
        ),
        (
            ['depth'],
            {'edges': SCENE_TASKS['edges']},
            r"has labels for edges; \['depth'\] cannot be",
        ),
        ([], SCENE_TASKS, 'nothing cannot be evaluated'),
        (None, {}, 'nothing cannot be evaluated'),
    ],
)
def test_tasks_that_model_or_data_lack(engine, dataset, tasks, known, message):
    with pytest.raises(ValueError, match=message):
        evaluate(engine, Images(dataset.samples, known), tasks=tasks)


def test_other_classes_are_refused(engine, dataset):
    other = {**SCENE_TASKS, 'semseg': SCENE_TASKS['semseg'].with_classes(['this', 'that'])}
    with pytest.raises(ValueError, match=r"classes of 'semseg' differ: .*'this', 'that'"):
        evaluate(engine, Images(dataset.samples, other))
    # Where the task is not asked for, they do not matter.
    assert evaluate(engine, Images(dataset.samples, other), tasks=['depth'])


def test_dictionary_can_be_json(found):
    for evaluation in found:
        stored = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
        assert stored == evaluation.to_dict()
        assert stored['budget'] == evaluation.budget
        assert stored['share'] == evaluation.share
        assert stored['images'] == 4
        assert stored['metrics']['depth']['rmse'] == evaluation.metrics['depth']['rmse']


def test_what_an_evaluation_says_of_its_shares():
    shares, difficulty = np.array([0.2, 0.4, 0.6]), np.array([0.1, math.nan, 0.3])
    metrics = {'depth': {'rmse': math.nan}}
    stored = Evaluation(0.5, metrics, shares, 7.0, difficulty, 3.0, 4.0, {'56x72': 3}).to_dict()
    assert stored == {
        'budget': 0.5,
        'metrics': {'depth': {'rmse': None}},
        'share': pytest.approx(0.4),
        'share_spread': pytest.approx(np.sqrt(0.08 / 3)),
        'macs': 7.0,
        'follows_difficulty': pytest.approx(1.0),
        'infer_ms': 3.0,
        'wall_ms': 4.0,
        'input_sizes': {'56x72': 3},
        'images': 3,
    }
