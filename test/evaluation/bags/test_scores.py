# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Scores of results and their standard errors."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamtl_ros.evaluation.bags.scores import SEGMENTS, Scorer, Scores, TruthScores, subsample
from adamtl_ros.evaluation.metrics import metric_for
from adamtl_ros.tasks import TASKS, UNLABELLED, Kind

QUICK = settings(deadline=None, max_examples=20)
SHAPE = (8, 12)
SEMSEG = {'semseg': TASKS['semseg'].with_classes(['right', 'wrong'])}


def frame(task, seed):
    """Return a result and a label, each with unknown pixels."""
    draw = np.random.default_rng(seed)
    if task.kind in (Kind.NORMALS, Kind.DEPTH):
        shape = (*SHAPE, 3) if task.kind is Kind.NORMALS else SHAPE
        result, label = draw.uniform(0.1, 9, (2, *shape)).astype(np.float32)
        label[draw.random(SHAPE) < 0.2] = np.nan
        return result, label
    top = len(task.classes) or 2
    label = draw.integers(0, top, SHAPE).astype(np.uint8)
    label[draw.random(SHAPE) < 0.2] = UNLABELLED
    return draw.integers(0, len(task.classes) or 256, SHAPE).astype(np.uint8), label


def scored(tasks, frames, count):
    """Return the scores of (number, results, labels) of a recording with so many frames."""
    scores = TruthScores(tasks)
    for number, results, labels in frames:
        scores.add(number / count, results, labels)
    return scores


def drawn(tasks, numbers, seed=0):
    """Return frames in which a task now and then has no label."""
    frames = []
    for number in numbers:
        pairs = {name: frame(task, seed + number) for name, task in tasks.items()}
        results = {name: result for name, (result, _) in pairs.items()}
        labels = {name: label for name, (_, label) in pairs.items() if (seed + number) % 5}
        frames.append((number, results, labels))
    return frames


@QUICK
@given(seed=st.integers(0, 10_000), count=st.integers(1, 40))
def test_values_are_those_of_all_frames_at_once(seed, count):
    frames = drawn(TASKS, range(count), seed)
    scores = scored(TASKS, frames, count)
    for name, task in TASKS.items():
        whole = metric_for(task)
        for _, results, labels in frames:
            if name in labels:
                whole.update(results[name], labels[name])
        assert scores.compute()[name] == pytest.approx(whole.compute(), nan_ok=True)
        assert scores.labelled[name] == sum(name in labels for _, _, labels in frames)


@QUICK
@given(seed=st.integers(0, 10_000), split=st.integers(0, 30))
def test_merging_adds_up_to_one_pass(seed, split):
    frames = drawn(TASKS, range(30), seed)
    one, other = scored(TASKS, frames[:split], 30), scored(TASKS, frames[split:], 30)
    one.merge(other)
    whole = scored(TASKS, frames, 30)
    assert one.labelled == whole.labelled
    for name in TASKS:
        assert one.compute()[name] == pytest.approx(whole.compute()[name], nan_ok=True, rel=1e-9)


def test_of_several_recordings_each_is_a_unit():
    """Long ones and short ones; the one without labels says nothing."""
    counts = (40, 3, 0, 17)
    parts = [drawn({'depth': TASKS['depth']}, range(1, n + 1), 100 * n) for n in counts]
    total = TruthScores({'depth': TASKS['depth']})
    for part in parts:
        total.merge(scored({'depth': TASKS['depth']}, part, 100))
    spread = total.jackknife()['depth']
    assert (spread.unit, spread.units) == ('recording', 3)
    for index, left_out in enumerate(spread.left_out['rmse']):
        metric = metric_for(TASKS['depth'])
        kept = [part for part in parts if part]
        for _, results, labels in (
            one for part in kept[:index] + kept[index + 1 :] for one in part
        ):
            if labels:
                metric.update(results['depth'], labels['depth'])
        assert left_out == pytest.approx(metric.compute()['rmse'], rel=1e-12)


def test_the_error_of_three_recordings_by_hand():
    """Shares 1, 0.5 and 0 of as many pixels: without each 0.25, 0.5 and 0.75."""
    total = TruthScores(SEMSEG)
    for wrong in (0, 2, 4):
        part = TruthScores(SEMSEG)
        for place in (0.0, 0.5):
            result = np.uint8([[1] * wrong + [0] * (4 - wrong)])
            part.add(place, {'semseg': result}, {'semseg': np.zeros((1, 4), np.uint8)})
        total.merge(part)
    spread = total.jackknife()['semseg']
    assert spread.left_out['pixel_accuracy'] == [0.25, 0.5, 0.75]
    # sqrt(2/3 * (1/16 + 1/16)), which is also the standard error of the mean of 1, 0.5 and 0.
    assert spread.errors['pixel_accuracy'] == pytest.approx(math.sqrt(1 / 12))


def test_a_task_labelled_in_one_recording_keeps_its_segments():
    tasks = {name: TASKS[name] for name in ('depth', 'edges')}
    frames = drawn(tasks, range(1, 41))
    alone, total = scored(tasks, frames, 50), TruthScores(tasks)
    total.merge(alone)
    total.merge(scored({'depth': tasks['depth']}, drawn({'depth': tasks['depth']}, range(9)), 9))
    assert (total.jackknife()['edges'], alone.jackknife()['edges'].unit) == (
        alone.jackknife()['edges'], 'stretch'
    )  # fmt: skip
    assert (total.jackknife()['depth'].unit, total.jackknife()['depth'].units) == ('recording', 2)


def test_merging_leaves_the_parts_as_they_are():
    frames = drawn(SEMSEG, range(1, 20))
    one, other = (scored(SEMSEG, frames, 20) for _ in range(2))
    for _ in range(2):
        total = TruthScores(SEMSEG)
        total.merge(one)
        total.merge(other)
        total.jackknife()
    assert one.jackknife() == other.jackknife() == scored(SEMSEG, frames, 20).jackknife()


def test_leaving_out_the_only_segment_with_a_class_keeps_the_class_mean():
    """Three stretches know only the first class, the last one both, with 4 of 8 pixels right.

    Without the last one the first class is all right, and the second keeps what it was; as a
    mean over other classes the value would jump to 1.
    """
    scores = TruthScores(SEMSEG)
    same = np.zeros((1, 4), np.uint8)
    for place in (0.0, 0.3, 0.6):
        scores.add(place, {'semseg': same}, {'semseg': same})
    label = np.uint8([[0, 0, 0, 0, 1, 1, 1, 1]])
    result = np.uint8([[0, 0, 1, 1, 1, 1, 0, 0]])
    scores.add(0.9, {'semseg': result}, {'semseg': label})
    # Class 0: 14 right, 2 missed, 2 too many; class 1: 2 right, 2 missed, 2 too many.
    assert scores.compute()['semseg']['miou'] == pytest.approx((14 / 18 + 2 / 6) / 2)
    left_out = scores.jackknife()['semseg'].left_out['miou']
    without_one = (10 / 14 + 2 / 6) / 2
    assert left_out == pytest.approx([*[without_one] * 3, (1 + 2 / 6) / 2])


def test_a_class_that_is_only_found_by_mistake_stays_a_class():
    """In one stretch of two the second class is found where it is not: its IoU is 0."""
    scores = TruthScores(SEMSEG)
    label = np.zeros((1, 4), np.uint8)
    for place, result in ((0.0, [[0, 0, 0, 1]]), (0.6, [[0, 0, 0, 0]])):
        scores.add(place, {'semseg': np.uint8(result)}, {'semseg': label})
    assert scores.jackknife()['semseg'].left_out['miou'] == pytest.approx([1 / 2, (3 / 4) / 2])


def test_the_checksum_tells_which_frames_were_scored():
    frames = drawn({'depth': TASKS['depth']}, range(1, 40))
    tasks = {'depth': TASKS['depth']}
    other = [(n, {'depth': 2 * results['depth']}, labels) for n, results, labels in frames]

    def checksum(some, count=40):
        return scored(tasks, some, count).jackknife()['depth'].frames_crc32

    assert checksum(frames) == checksum(other)
    assert checksum(frames) != checksum(frames[1:])
    assert checksum(frames) != checksum(frames, 41)


def test_the_order_of_frames_does_not_matter():
    frames = drawn(TASKS, range(20))
    forth, back = scored(TASKS, frames, 20), scored(TASKS, frames[::-1], 20)
    for name in TASKS:
        assert forth.jackknife()[name].errors == pytest.approx(
            back.jackknife()[name].errors, rel=1e-9
        )


def hits(draw, probability, frames, pixels):
    """Return frames with an independent share of pixels right."""
    right = draw.random((frames, 1, pixels)) < probability
    truth = {'semseg': np.zeros((1, pixels), np.uint8)}
    return right, [(n, {'semseg': (~one).astype(np.uint8)}, truth) for n, one in enumerate(right)]


def test_the_jackknife_by_hand():
    """For a mean over stretches of one size it is the usual standard error of the mean."""
    right, frames = hits(np.random.default_rng(3), 0.7, 4 * SEGMENTS, 25)
    error = scored(SEMSEG, frames, 4 * SEGMENTS).jackknife()['semseg'].errors['pixel_accuracy']
    means = right.reshape(SEGMENTS, -1).mean(1)
    assert error == pytest.approx(means.std(ddof=1) / math.sqrt(SEGMENTS))


@pytest.mark.parametrize('count', [5, 37])
def test_the_jackknife_against_leaving_frames_out(count):
    """With stretches of unequal size, some of them empty, and a value that is no mean."""
    frames = [one for one in drawn(TASKS, range(count)) if one[0] % 3 or one[0] < 4]
    spread = scored(TASKS, frames, count).jackknife()
    stretches = sorted({number * SEGMENTS // count for number, _, labels in frames if labels})
    for name, task in TASKS.items():
        values = []
        for left_out in stretches:
            metric = metric_for(task)
            for number, results, labels in frames:
                if number * SEGMENTS // count != left_out and name in labels:
                    metric.update(results[name], labels[name])
            values.append(metric.compute()[task.metric])
        squares = np.square(np.array(values) - np.mean(values)).sum()
        expected = math.sqrt((len(values) - 1) / len(values) * squares)
        assert spread[name].left_out[task.metric] == pytest.approx(values, rel=1e-9)
        assert spread[name].errors[task.metric] == pytest.approx(expected, rel=1e-9)


def test_errors_of_independent_frames_are_those_of_a_coin():
    """On average over many recordings, where each pixel is right with probability p."""
    draw, probability, count, pixels = np.random.default_rng(1), 0.8, 64, 20
    found = []
    for _ in range(40):
        _, frames = hits(draw, probability, count, pixels)
        found.append(scored(SEMSEG, frames, count).jackknife()['semseg'].errors['pixel_accuracy'])
    expected = math.sqrt(probability * (1 - probability) / (count * pixels))
    assert np.sqrt(np.mean(np.square(found))) == pytest.approx(expected, rel=0.1)


def test_alike_frames_side_by_side_do_not_make_an_error_small():
    """A scene of 8 frames that are all right or all wrong says as much as one frame."""
    draw = np.random.default_rng(5)
    scenes = draw.permutation([True] * (SEGMENTS // 2) + [False] * (SEGMENTS // 2))
    truth = {'semseg': np.zeros(SHAPE, np.uint8)}
    frames = [
        (number, {'semseg': np.full(SHAPE, not scenes[number // 8], np.uint8)}, truth)
        for number in range(8 * SEGMENTS)
    ]
    error = scored(SEMSEG, frames, 8 * SEGMENTS).jackknife()['semseg'].errors['pixel_accuracy']
    assert error == pytest.approx(math.sqrt(0.25 / (SEGMENTS - 1)))


@pytest.mark.parametrize('numbers', [[], [0], [0, 1, 2]])
def test_a_single_segment_has_no_standard_error(numbers):
    frames = drawn(TASKS, [number + 1 for number in numbers])
    scores = scored(TASKS, frames, 1000)
    for name, task in TASKS.items():
        errors = scores.jackknife()[name].errors
        assert set(errors) == set(metric_for(task).compute())
        assert all(math.isnan(error) for error in errors.values())
        assert math.isnan(scores.compute()[name][task.metric]) == (not numbers)


def test_a_segment_of_unknown_labels_is_skipped():
    right, frames = hits(np.random.default_rng(3), 0.7, SEGMENTS, 25)
    unknown = {'semseg': np.full((1, 25), UNLABELLED, np.uint8)}
    some = [(n, results, truth if n % 2 else unknown) for n, results, truth in frames]
    error = scored(SEMSEG, some, SEGMENTS).jackknife()['semseg'].errors['pixel_accuracy']
    assert error == pytest.approx(right[1::2].mean((1, 2)).std(ddof=1) / math.sqrt(SEGMENTS / 2))


def test_segments_without_true_edges_count_in_the_error():
    """What is found there is wrong, so the value leans on them."""
    scores = TruthScores({'edges': TASKS['edges']})
    line = np.zeros((32, 32), np.uint8)
    line[16] = 255
    for place in range(SEGMENTS):
        truth = (line > 0).astype(np.uint8) * (place % 2)
        scores.add(place / SEGMENTS, {'edges': line}, {'edges': truth})
    assert scores.compute()['edges']['ods_f'] == pytest.approx(2 / 3)
    assert scores.jackknife()['edges'].errors['ods_f'] > 0.05


def test_a_task_may_be_missing_from_one_frame_to_the_next():
    tasks = {name: TASKS[name] for name in ('depth', 'edges')}
    scorer = Scorer(Scores(tasks, {}))
    both = results(2)
    for some in (both, {'depth': both['depth']}, both):
        scorer.add(0.0, some, None, {})
    assert scorer.scores.flips.compute()['depth'] == {'pixels': 0, 'frames': 0}
    assert math.isnan(scorer.scores.flips.compute()['edges']['pixels'])


def test_the_last_frame_is_in_the_last_segment():
    scores = TruthScores(SEMSEG)
    truth = {'semseg': np.zeros(SHAPE, np.uint8)}
    for place in (0.0, 1.0):
        scores.add(place, truth, truth)
    assert scores.jackknife()['semseg'].errors['pixel_accuracy'] == 0


def results(value):
    return {'depth': np.full((8, 8), value, np.float32), 'edges': np.zeros((8, 8), np.uint8)}


def test_a_scorer_compares_with_full_budget_and_with_the_frame_before():
    tasks = {name: TASKS[name] for name in ('depth', 'edges')}
    scores = Scores(tasks, {'depth': tasks['depth']})
    scorer = Scorer(scores)
    for number, value in enumerate((2, 2, 4, 4)):
        truth = {'depth': results(4)['depth']}
        scorer.add(0.1 * number, results(value), subsample(results(2)), truth)
    assert scores.against_full.compute() == {
        'depth': {'pixels': 0.5, 'frames': 0.5}, 'edges': {'pixels': 0, 'frames': 0}
    }  # fmt: skip
    flips = scores.flips.compute()['depth']
    assert flips == {'pixels': pytest.approx(1 / 3), 'frames': pytest.approx(1 / 3)}
    assert scores.truth.compute()['depth']['rmse'] == pytest.approx(math.sqrt(2))
    assert scores.truth.labelled == {'depth': 4}


def test_scoring_works_without_the_full_budget():
    tasks = {'depth': TASKS['depth']}
    scores = Scores(tasks, {})
    scorer = Scorer(scores)
    for value in (1, 2):
        scorer.add(0.0, {'depth': results(value)['depth']}, None, {})
    assert math.isnan(scores.against_full.compute()['depth']['pixels'])
    assert scores.flips.compute()['depth']['pixels'] == 1


def test_a_frame_of_another_size_is_no_flip():
    tasks = {'depth': TASKS['depth']}
    scores = Scores(tasks, {})
    scorer = Scorer(scores)
    for size in (8, 8, 16, 16):
        one = {'depth': np.full((size, size), size, np.float32)}
        scorer.add(0.0, one, subsample(one), {})
    assert scores.flips.compute()['depth'] == {'pixels': 0, 'frames': 0}
    assert scores.flips._frames == {'depth': 2}


def test_two_recordings_do_not_flip_into_each_other():
    tasks = {'depth': TASKS['depth']}
    scores = Scores(tasks, {})
    for value in (1, 5):
        part = Scores(tasks, {})
        scorer = Scorer(part)
        for _ in range(2):
            one = {'depth': np.full((8, 8), value, np.float32)}
            scorer.add(0.0, one, subsample(one), {})
        scores.merge(part)
    assert scores.flips.compute()['depth']['pixels'] == 0
    assert scores.flips._frames == {'depth': 2}
