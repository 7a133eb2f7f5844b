# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""One recording through the engine at every budget."""

import json
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from bag_files import (
    CAMERA,
    HEIGHT,
    SECOND,
    STORAGES,
    WIDTH,
    counts,
    frames,
    image,
    picture,
    plain,
    stamp,
    storage_file,
    truth,
    write,
)

from adamtl_ros.data.bags import RAW, open_bag
from adamtl_ros.evaluation.bags import evaluate
from adamtl_ros.evaluation.bags.classes import ClassMap
from adamtl_ros.evaluation.bags.difference import differing, thinned_out
from adamtl_ros.evaluation.bags.evaluate import evaluate_bag
from adamtl_ros.evaluation.bags.result import Settings
from adamtl_ros.evaluation.bags.summary import summarise
from adamtl_ros.evaluation.metrics import metric_for
from adamtl_ros.nn.checkpoint import load_model
from adamtl_ros.runtime.engine import Engine
from adamtl_ros.tasks import TASKS

torch.set_num_threads(1)  # a busy machine makes more of them much slower
ENGINE = Engine(load_model('pico'), 'cpu')
TRAINED = Engine(load_model('scenes_nano'), 'cpu')
COUNT = 6
BUDGETS = (1.0, 0.7, 0.4)
DEPTH, EDGES = plain(2.5, np.float32), np.eye(HEIGHT, WIDTH, dtype=np.uint8)


def chosen(**others):
    return Settings(**{'model': 'pico', 'budgets': BUDGETS, 'shown': 0.4, **others})


def true(numbers=range(COUNT)):
    """Return entries for `write()`: depth for all frames, edges for every second one."""
    deep = [(stamp(n), truth('depth'), image(stamp(n), DEPTH)) for n in numbers]
    thin = [(stamp(n), truth('edges'), image(stamp(n), EDGES)) for n in numbers if n % 2]
    return deep + thin


@pytest.fixture(scope='module')
def answers():
    """Return what the engine makes of each picture, by budget."""
    return {b: [ENGINE.run(picture(n), b) for n in range(COUNT)] for b in BUDGETS}


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    return write(tmp_path_factory.mktemp('bags') / 'run', frames(range(COUNT)) + true())


@pytest.fixture(scope='module')
def result(bag):
    return evaluate_bag(bag, ENGINE, chosen(realtime=True))


def test_what_is_said_of_the_recording(bag, result):
    assert (result.name, result.camera, result.failure) == ('run', CAMERA, '')
    assert (result.expected, result.frames) == (COUNT, COUNT)
    assert result.origins == {'depth': truth('depth'), 'edges': truth('edges')}
    assert result.labelled == {'depth': COUNT, 'edges': COUNT // 2}
    assert counts(result.notes) == {
        'no ground truth of edges': COUNT // 2,
        'no normals from the depth camera': 1,
    }
    assert [part.budget for part in result.budgets] == list(BUDGETS)
    json.dumps(result.to_dict(), allow_nan=False)


def test_scores_are_those_of_the_frames_one_by_one(result, answers):
    answers = {b: [one.results for one in found] for b, found in answers.items()}
    for part in result.budgets:
        found = part.scores.truth.compute()
        for task, numbers in (('depth', range(COUNT)), ('edges', range(1, COUNT, 2))):
            metric = metric_for(TASKS[task])
            for n in numbers:
                label = {'depth': DEPTH, 'edges': EDGES}[task]
                metric.update(answers[part.budget][n][task], label)
            assert found[task] == pytest.approx(metric.compute())
        thin = [thinned_out(one) for one in answers[part.budget]]
        full = [thinned_out(one) for one in answers[1.0]]
        for task in TASKS:
            apart = np.mean([differing(task, a[task], b[task])
                             for a, b in zip(thin, full, strict=True)])  # fmt: skip
            flips = np.mean([differing(task, a[task], b[task])
                             for a, b in zip(thin[1:], thin[:-1], strict=True)])  # fmt: skip
            assert part.scores.against_full.compute()[task]['pixels'] == pytest.approx(apart)
            assert part.scores.flips.compute()[task]['pixels'] == pytest.approx(flips)


def test_full_budget_does_not_differ_from_itself(result):
    assert all(
        value == {'pixels': 0, 'frames': 0}
        for value in result.budgets[0].scores.against_full.compute().values()
    )


def test_costs_are_those_of_the_engine_and_fall_with_the_budget(result, answers):
    for part in result.budgets:
        for number, found in enumerate(part.costs):
            expected = answers[part.budget][number].cost
            assert found.stamp == stamp(number)
            assert (found.macs, found.macs_full) == (expected.macs, expected.macs_full)
            assert (found.blocks_run, found.windows_run) == (
                expected.blocks_run, expected.windows_run,
            )  # fmt: skip
            assert found.latency_ms > found.infer_ms > 0
    spent = [np.mean([one.macs for one in part.costs]) for part in result.budgets]
    assert spent == sorted(spent, reverse=True)
    assert spent[0] > 1.2 * spent[-1]
    assert (result.budgets[0].heat.map == 1).all()
    assert result.budgets[-1].heat.map.mean() < 1
    assert {part.heat.frames for part in result.budgets} == {COUNT}


def test_a_trained_network_keeps_its_budgets(bag):
    found = evaluate_bag(bag, TRAINED, chosen(budgets=(1.0, 0.5), shown=0.5, tasks=('depth',)))
    shares = [np.mean([one.share for one in part.costs]) for part in found.budgets]
    assert shares[0] == pytest.approx(1, abs=0.03)
    assert shares[1] < 0.6


def test_two_evaluations_give_the_same(bag, tmp_path):
    settings = chosen(realtime=True, tasks=('depth', 'edges', 'semseg'))
    tasks = {name: TASKS[name] for name in settings.tasks}
    told = []
    for number in range(2):
        found = evaluate_bag(bag, ENGINE, replace(settings, out=tmp_path / str(number)))
        summary = summarise([found], settings, tasks, wall_s=1 + number)
        del summary['timing']
        told.append((found.to_dict(), summary, [one.picture for one in found.examples]))
    assert told[0] == told[1]
    json.dumps(told[0][1], allow_nan=False)


def test_progress_is_told_frame_by_frame(bag):
    told = []
    main = threading.get_ident()
    settings = chosen(budgets=(1.0,), shown=1.0, tasks=('edges',))
    evaluate_bag(bag, ENGINE, settings, lambda: told.append(threading.get_ident()))
    assert told == [main] * COUNT


@pytest.mark.parametrize(
    ('latency_ms', 'dropped', 'blind'), [(1, 0, 1), (99, 0, 1), (250, 2, 3), (10_000, 4, 6)]
)
def test_a_live_node_of_known_speed(bag, monkeypatch, latency_ms, dropped, blind):
    """Images come every 100 ms; decoding takes some time besides."""
    monkeypatch.setattr(
        evaluate, '_cost', lambda *arguments: replace(COST(*arguments), decode_ms=0,
            preprocess_ms=0, infer_ms=latency_ms, postprocess_ms=0),
    )  # fmt: skip
    found = evaluate_bag(bag, ENGINE, chosen(realtime=True, tasks=('depth',)))
    for part in found.budgets:
        streaming = part.streaming
        assert (streaming.dropped, streaming.blind) == (dropped, blind)
        assert len(streaming.ages_ms) == COUNT - dropped
        assert min(streaming.ages_ms) == pytest.approx(latency_ms)
        assert streaming.scores.truth.labelled['depth'] == COUNT - blind
    # Full budget differs from itself by what has changed since the frame that it saw.
    stale = found.budgets[0].streaming.scores.against_full.compute()['depth']['pixels']
    answers = [thinned_out(ENGINE.run(picture(n), 1.0, ['depth']).results) for n in range(COUNT)]
    known = {1: [0, 1, 2, 3, 4], 99: [0, 1, 2, 3, 4], 250: [0, 0, 2], 10_000: []}[latency_ms]
    apart = [differing('depth', answers[old]['depth'], answers[new]['depth'])
             for old, new in zip(known, range(blind, COUNT), strict=True)]  # fmt: skip
    assert stale == pytest.approx(np.mean(apart) if apart else np.nan, nan_ok=True)


COST = evaluate._cost


def test_realtime_counts_add_up(result):
    for part in result.budgets:
        assert len(part.streaming.ages_ms) + part.streaming.dropped == COUNT
        assert 1 <= part.streaming.blind <= COUNT
        assert min(part.streaming.ages_ms) > 0


def test_nobody_emulates_a_node_unasked(bag):
    found = evaluate_bag(bag, ENGINE, chosen(tasks=('depth',)))
    assert [part.streaming for part in found.budgets] == [None] * len(BUDGETS)


def test_frames_of_changing_size(tmp_path):
    sizes = [(48, 64), (24, 32), (24, 32), (64, 48)]
    entries = [
        (stamp(n), CAMERA, image(stamp(n), picture(n, *size))) for n, size in enumerate(sizes)
    ]
    deep = [(stamp(n), truth('depth'), image(stamp(n), plain(2, np.float32, *size)))
            for n, size in enumerate(sizes)]  # fmt: skip
    settings = chosen(tasks=('depth',), realtime=True, out=tmp_path / 'out')
    found = evaluate_bag(write(tmp_path / 'bag', entries + deep), ENGINE, settings)
    assert (found.frames, found.labelled) == (4, {'depth': 4})
    changes = counts(found.notes)
    assert changes['frame size changes'] == 2
    assert found.budgets[0].scores.flips._frames == {'depth': 1}
    assert (tmp_path / 'out' / 'bag' / 'video.mp4').stat().st_size > 0


def test_rubbish_among_the_images(tmp_path):
    entries = [
        (stamp(n), CAMERA, (RAW, b'\0\1\0\0\1') if n in (2, 3) else image(stamp(n), picture(n)))
        for n in range(COUNT)
    ]
    told = []
    found = evaluate_bag(
        write(tmp_path / 'bag', entries), ENGINE, chosen(tasks=('depth',)), lambda: told.append(0)
    )
    assert (found.expected, found.frames, found.failure, len(told)) == (6, 4, '', 4)
    assert counts(found.notes) == {'image cannot be read': 2}
    assert [one.stamp for one in found.budgets[0].costs] == [stamp(n) for n in (0, 1, 4, 5)]


def test_a_camera_nothing_of_which_can_be_read(tmp_path):
    messages = [image(stamp(n), picture(n)) for n in range(3)]
    for _, message in messages:
        message.data = message.data[:-1]
    entries = [(stamp(n), CAMERA, one) for n, one in enumerate(messages)]
    found = evaluate_bag(write(tmp_path / 'bag', entries), ENGINE, chosen(out=tmp_path / 'out'))
    assert found.failure == f'none of 3 images on {CAMERA} can be read'
    assert counts(found.notes) == {'image cannot be read': 3}
    assert summarise([found], chosen(), TASKS, 1.0)['frames'] == 0


@pytest.mark.parametrize('storage', STORAGES)
@pytest.mark.parametrize('share', [0, 0.1, 0.6])
def test_a_file_that_was_cut_off_is_a_failure(tmp_path, storage, share):
    path = write(tmp_path / 'bag', frames(range(4)), storage)
    file = storage_file(path)
    whole = file.read_bytes()
    file.write_bytes(whole[: round(share * len(whole))])
    found = evaluate_bag(path, ENGINE, chosen())
    assert str(path) in found.failure
    assert "'mcap recover' or 'sqlite3 FILE .recover', then 'ros2 bag reindex'" in found.failure
    assert (found.frames, found.budgets, found.name) == (0, [], 'bag')
    assert found.to_dict()['failure'] == found.failure


@pytest.mark.parametrize(
    ('others', 'reason'),
    [({'camera': '/rear'}, 'no images on /rear; it holds: '),
     ({'truth': {'depth': '/rear'}}, 'no images on /rear for depth; it holds: '),
     ({'classes': ClassMap({'semseg': {1: 'kat'}}), 'truth': {'semseg': truth('edges')}},
      "semseg 1 is 'kat', which the model does not know")],
)  # fmt: skip
def test_what_is_not_there_is_a_failure(bag, others, reason):
    found = evaluate_bag(bag, ENGINE, chosen(**others))
    assert reason in found.failure
    assert found.frames == 0


def test_a_bag_that_is_not_there_is_a_failure(tmp_path):
    found = evaluate_bag(tmp_path / 'nowhere', ENGINE, chosen())
    assert found.failure == f'{tmp_path}/nowhere: no such file or folder'


def test_tasks_that_the_model_lacks_are_an_error(bag):
    with pytest.raises(ValueError, match="unknown task 'colour', choose from: semseg"):
        evaluate_bag(bag, ENGINE, chosen(tasks=('colour',)))


class Broken:
    """An engine that fails at the third frame."""

    def __init__(self):
        self.model, self._left = ENGINE.model, 2 * len(BUDGETS)

    def run(self, *arguments):  # noqa: D102
        if not self._left:
            raise RuntimeError('out of memory')
        self._left -= 1
        return ENGINE.run(*arguments)


def test_errors_of_the_engine_come_out(bag, tmp_path):
    before = threading.active_count()
    with pytest.raises(RuntimeError, match='out of memory'):
        evaluate_bag(bag, Broken(), chosen(out=tmp_path))
    assert threading.active_count() <= before + 1  # what reads ends with the error
    with open_bag(tmp_path / 'run' / 'predictions') as reader:
        assert reader.message_count <= 2 * 9


def test_errors_of_what_comes_after_the_engine_come_out(bag, monkeypatch):
    def fail(*_):
        raise RuntimeError('no pictures today')

    monkeypatch.setattr(evaluate.Examples, 'add', fail)
    with pytest.raises(RuntimeError, match='no pictures today'):
        evaluate_bag(bag, ENGINE, chosen())


def test_predictions_and_video_of_the_shown_budget(bag, tmp_path):
    settings = chosen(out=tmp_path, shown=0.7, tasks=('depth', 'semseg'))
    evaluate_bag(bag, ENGINE, settings, name='mine')
    assert sorted(one.name for one in (tmp_path / 'mine').iterdir()) == ['predictions', 'video.mp4']
    with open_bag(tmp_path / 'mine' / 'predictions') as reader:
        for connection, time, raw in reader.messages():
            if not connection.topic.endswith('depth/image'):
                continue
            message = reader.deserialize(raw, connection.msgtype)
            number = round((time - stamp(0)) / SECOND * 10)
            expected = ENGINE.run(picture(number), 0.7, settings.tasks).results['depth']
            assert message.data.tobytes() == expected.tobytes()


def test_examples_are_of_the_shown_budget(bag, result):
    at = result.budgets[BUDGETS.index(0.4)]
    shares = {one.stamp: one.share for one in at.costs}
    assert result.examples
    assert all(one.share == shares[one.stamp] for one in result.examples)
    assert result.examples[0].share == max(shares.values())
