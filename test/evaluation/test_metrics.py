# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Metrics of labels and saliency, and the comparison of networks."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, jaccard_score

from adamtl_ros.evaluation.metrics import (
    PROTOCOLS,
    MaxF,
    MeanIoU,
    delta_m,
    metric_for,
    protocol_named,
)
from adamtl_ros.tasks import TASKS, UNLABELLED, Kind

CLASSES = ('a', 'b', 'c', 'd')
SEEDS = st.integers(0, 10_000)
QUICK = settings(deadline=None, max_examples=25)


def pair(task, seed, shape=(9, 12)):
    """Return a result and a label with unknown pixels in both."""
    draw = np.random.default_rng(seed)
    if task.kind in (Kind.NORMALS, Kind.DEPTH):
        full = (*shape, 3) if task.kind is Kind.NORMALS else shape
        result, label = draw.uniform(0.1, 9, (2, *full)).astype(np.float32)
        result[draw.random(shape) < 0.1] = np.nan
        label[draw.random(shape) < 0.2] = np.nan
        return result, label
    top = len(task.classes) if task.kind is Kind.LABELS else 2
    label = draw.integers(0, top, shape).astype(np.uint8)
    result = draw.integers(0, top if task.classes else 256, shape).astype(np.uint8)
    if task.kind is Kind.LABELS:
        result[draw.random(shape) < 0.1] = UNLABELLED
    label[draw.random(shape) < 0.2] = UNLABELLED
    return result, label


def values(task, *pairs):
    metric = metric_for(task)
    for result, label in pairs:
        metric.update(result, label)
    return metric.compute()


every_task = pytest.mark.parametrize('task', TASKS.values(), ids=TASKS)


@every_task
@QUICK
@given(seed=SEEDS, split=st.integers(0, 4))
def test_merging_equals_one_pass(task, seed, split):
    pairs = [pair(task, seed + step) for step in range(4)]
    one, other = metric_for(task), metric_for(task)
    for index, both in enumerate(pairs):
        (one if index < split else other).update(*both)
    one.merge(other)
    assert one.compute() == pytest.approx(values(task, *pairs), rel=1e-12, nan_ok=True)


@every_task
@QUICK
@given(seed=SEEDS)
def test_unknown_pixels_do_not_matter(task, seed):
    result, label = pair(task, seed)
    changed = result.copy()
    unknown = label == UNLABELLED if label.dtype == np.uint8 else np.isnan(label)
    changed[unknown] = 1
    assert values(task, (changed, label)) == values(task, (result, label))


@every_task
@QUICK
@given(seed=SEEDS)
def test_bounds(task, seed):
    for name, value in values(task, pair(task, seed)).items():
        error = any(part in name for part in ('rmse', 'abs_rel', 'log10'))
        top = 180 if 'angle' in name else math.inf if error else 1
        assert 0 <= value <= top


@every_task
def test_nothing_known_is_nan_and_adds_nothing(task):
    result, label = pair(task, 0)
    nothing = np.full_like(label, UNLABELLED if label.dtype == np.uint8 else np.nan)
    empty = values(task, (result, nothing))
    assert task.metric in empty
    assert all(math.isnan(value) for value in {**empty, **values(task)}.values())
    assert values(task, (result, label), (result, nothing)) == values(task, (result, label))


@every_task
def test_shapes_must_agree(task):
    result, label = pair(task, 0)
    with pytest.raises(ValueError, match='differ in shape'):
        metric_for(task).update(result[:1], label)


@QUICK
@given(seed=SEEDS)
def test_mean_iou_is_that_of_scikit_learn(seed):
    task = TASKS['semseg'].with_classes(CLASSES)
    pairs = [pair(task, seed + step, (3, 2)) for step in range(2)]
    truth = np.concatenate([label.ravel() for _, label in pairs])
    guess = np.concatenate([result.ravel() for result, _ in pairs])[truth != UNLABELLED]
    truth = truth[truth != UNLABELLED]
    seen = sorted((set(truth.tolist()) | set(guess.tolist())) - {UNLABELLED})
    expected = jaccard_score(truth, guess, labels=seen, average='macro', zero_division=0)
    got = values(task, *pairs)
    assert got['miou'] == pytest.approx(expected)
    assert got['pixel_accuracy'] == pytest.approx(accuracy_score(truth, guess))


def test_mean_iou_by_hand():
    metric = MeanIoU(CLASSES)
    label = np.array([[0, 0, 1, 1], [2, 255, 255, 0]], np.uint8)
    result = np.array([[0, 1, 1, 1], [255, 3, 255, 0]], np.uint8)
    metric.update(result, label)
    shares = metric.per_class()
    # d is a result on unknown truth only, so it was never seen.
    assert math.isnan(shares.pop('d'))
    assert shares == pytest.approx({'a': 2 / 3, 'b': 2 / 3, 'c': 0})
    assert metric.compute() == pytest.approx({'miou': 4 / 9, 'pixel_accuracy': 4 / 6})


def test_a_class_without_a_labelled_pixel_counts_in_three_ways():
    metric = metric_for(TASKS['semseg'].with_classes(CLASSES), PROTOCOLS['nyud'])
    # c is never labelled, but found once where b is; d is neither.
    metric.update(np.array([[0, 0, 1, 2]], np.uint8), np.array([[0, 0, 1, 1]], np.uint8))
    got = metric.compute()
    assert got['miou'] == pytest.approx((1 + 1 / 2 + 0) / 3)
    assert got['miou_labelled'] == pytest.approx((1 + 1 / 2) / 2)
    assert got['miou_all'] == pytest.approx((1 + 1 / 2 + 0 + 0) / 4)


@QUICK
@given(seed=SEEDS)
def test_means_over_other_classes_are_those_of_scikit_learn(seed):
    task = TASKS['semseg'].with_classes(CLASSES)
    result, label = pair(task, seed, (3, 2))
    known = label != UNLABELLED
    truth, guess = label[known], result[known]
    metric = MeanIoU(CLASSES, all_means=True)
    metric.update(result, label)
    got = metric.compute()
    for name, classes in (('miou_labelled', np.unique(truth)), ('miou_all', range(4))):
        shares = jaccard_score(truth, guess, labels=list(classes), average=None, zero_division=0)
        assert got[name] == pytest.approx(np.mean(shares))


def test_a_part_of_the_data_has_the_classes_of_the_whole():
    whole, part = (MeanIoU(CLASSES, all_means=True) for _ in range(2))
    first = np.array([[0, 0, 0, 1]], np.uint8), np.array([[0, 0, 1, 1]], np.uint8)
    second = np.array([[2, 2, 3, 2]], np.uint8), np.array([[2, 2, 2, 2]], np.uint8)
    part.update(*first)
    whole.update(*first)
    whole.update(*second)
    # a 2/3, b 1/2, and from the whole c 3/4 and d 0, which has no label.
    expected = 2 / 3 + 1 / 2 + 3 / 4
    got = part.compute(whole)
    assert got['miou'] == got['miou_all'] == pytest.approx(expected / 4)
    assert got['miou_labelled'] == pytest.approx(expected / 3)


def test_protocols_by_name():
    assert protocol_named('nyud') is PROTOCOLS['nyud']
    with pytest.raises(ValueError, match="unknown protocol 'kitti', choose from: standard, nyud"):
        protocol_named('kitti')


@pytest.mark.parametrize('wrong', [4, 254])
def test_ids_that_are_no_class(wrong):
    good, bad = np.zeros((1, 2), np.uint8), np.array([[0, wrong]], np.uint8)
    with pytest.raises(ValueError, match=f'label has class id {wrong}, expected 0 to 3 or 255'):
        MeanIoU(CLASSES).update(good, bad)
    with pytest.raises(ValueError, match=f'result has class id {wrong}'):
        MeanIoU(CLASSES).update(bad, good)
    with pytest.raises(ValueError, match='cannot be added'):
        MeanIoU(CLASSES).merge(MeanIoU('xyzw'))


@QUICK
@given(seed=SEEDS)
def test_max_f_of_one_image_is_that_of_scikit_learn(seed):
    result, label = pair(TASKS['saliency'], seed)
    known = label != UNLABELLED
    truth = label[known]
    masks = [result[known] >= 255 * percent / 100 for percent in range(20, 95, 5)]
    got = values(TASKS['saliency'], (result, label))
    assert got['max_f'] == pytest.approx(max(f1_score(truth, mask) for mask in masks))
    assert got['miou'] == pytest.approx(max(jaccard_score(truth, mask) for mask in masks))


def test_max_f_averages_precision_and_recall_over_images():
    label = np.array([[1, 1, 0, 0]], np.uint8)
    half, all_of_it = np.array([[255, 0, 0, 0]], np.uint8), np.full((1, 4), 255, np.uint8)
    got = values(TASKS['saliency'], (half, label), (all_of_it, label))
    precision, recall = (1 + 0.5) / 2, (0.5 + 1) / 2
    assert got['max_f'] == pytest.approx(2 * precision * recall / (precision + recall))
    assert got['miou'] == pytest.approx((0.5 + 0.5) / 2)


def test_saliency_where_nothing_is_salient():
    nothing, something = np.zeros((2, 2), np.uint8), np.full((2, 2), 255, np.uint8)
    salient = np.ones((2, 2), np.uint8)
    task = TASKS['saliency']
    assert values(task, (nothing, nothing)) == {'max_f': 1, 'miou': 1}
    assert values(task, (something, nothing)) == {'max_f': 0, 'miou': 0}
    assert values(task, (nothing, salient)) == {'max_f': 0, 'miou': 0}
    assert values(task, (something, salient)) == {'max_f': 1, 'miou': 1}


def test_soft_saliency_is_true_from_one_half_on():
    result = np.uint8([[250, 250, 0, 250]])
    soft = np.float32([[0.5, 0.9, 0.49, np.nan]])
    hard = np.uint8([[1, 1, 0, 255]])
    assert values(TASKS['saliency'], (result, soft)) == values(TASKS['saliency'], (result, hard))
    assert values(TASKS['saliency'], (result, soft))['max_f'] == 1


def test_saliency_thresholds_begin_at_a_fifth():
    salient = np.ones((2, 2), np.uint8)
    for level, expected in ((50, 0), (51, 1)):
        metric = MaxF()
        metric.update(np.full((2, 2), level, np.uint8), salient)
        assert metric.compute()['max_f'] == expected


def test_delta_m_of_a_published_table():
    # MTLoRA, r = 64, PASCAL-Context, Swin-T: +2.55 from rounded values.
    single = {'semseg': 67.21, 'human_parts': 61.93, 'saliency': 62.35, 'normals': 17.97}
    joint = {'semseg': 67.90, 'human_parts': 59.84, 'saliency': 65.40, 'normals': 16.60}
    assert delta_m(joint, single, TASKS.keys() - {'depth', 'edges'}) == pytest.approx(
        2.55, abs=0.02
    )
    assert delta_m(single, single, single) == 0


def test_delta_m_by_hand():
    assert delta_m({'semseg': 0.6, 'depth': 0.6}, {'semseg': 0.5, 'depth': 0.5}, ['semseg']) == (
        pytest.approx(20)
    )
    assert delta_m({'depth': 0.6}, {'depth': 0.5}, ['depth']) == pytest.approx(-20)
    assert math.isnan(delta_m({'depth': math.nan}, {'depth': 0.5}, ['depth']))


@pytest.mark.parametrize(
    ('given_values', 'baseline', 'tasks', 'message'),
    [
        ({}, {'depth': 1}, ['depth'], "values lack task 'depth', have: none"),
        ({'depth': 1}, {'edges': 1}, ['depth'], "baseline lack task 'depth', have: edges"),
        ({'depth': 1}, {'depth': 0}, ['depth'], "baseline of task 'depth' is 0"),
        ({}, {}, [], 'no tasks'),
        ({}, {}, ['depht'], "unknown task 'depht', choose from: semseg"),
    ],
)
def test_what_delta_m_refuses(given_values, baseline, tasks, message):
    with pytest.raises(ValueError, match=message):
        delta_m(given_values, baseline, tasks)


def test_a_metric_that_is_not_there():
    with pytest.raises(ValueError, match="asks for metric 'fid', choose from: miou, mean_angle"):
        metric_for(replace(TASKS['depth'], metric='fid'))
