# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Reading, scoring and drawing, with the engine in the same process."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from helpers.bag_files import (
    CAMERA,
    SECOND,
    STORAGES,
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
from helpers.scoring import (
    BUDGETS,
    COUNT,
    DEPTH,
    EDGES,
    ENGINE,
    EngineConnection,
    chosen,
    score_with_engine,
)

from adamtl_ros.bags.ground_truth import ClassMap
from adamtl_ros.bags.reader import open_bag
from adamtl_ros.evaluation.bags import evaluate as pipeline
from adamtl_ros.evaluation.bags.evaluate import IN_FLIGHT
from adamtl_ros.evaluation.bags.process import BUFFERS
from adamtl_ros.evaluation.bags.scores import differing_fraction, subsample
from adamtl_ros.evaluation.bags.summary import build_summary
from adamtl_ros.evaluation.metrics import metric_for
from adamtl_ros.tasks import TASKS

FRAME_COST = pipeline._frame_cost


@pytest.fixture(scope='module')
def result(bag):
    return score_with_engine(bag, chosen(realtime=True))[0]


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
        thin = [subsample(one) for one in answers[part.budget]]
        full = [subsample(one) for one in answers[1.0]]
        for task in TASKS:
            apart = np.mean([differing_fraction(task, a[task], b[task])
                             for a, b in zip(thin, full, strict=True)])  # fmt: skip
            flips = np.mean([differing_fraction(task, a[task], b[task])
                             for a, b in zip(thin[1:], thin[:-1], strict=True)])  # fmt: skip
            assert part.scores.against_full.compute()[task]['pixels'] == pytest.approx(apart)
            assert part.scores.flips.compute()[task]['pixels'] == pytest.approx(flips)


def test_full_budget_does_not_differ_from_itself(result):
    assert all(
        value == {'pixels': 0, 'frames': 0}
        for value in result.budgets[0].scores.against_full.compute().values()
    )


@pytest.mark.parametrize(
    ('latency_ms', 'dropped', 'blind'), [(1, 0, 1), (99, 0, 1), (250, 2, 3), (10_000, 4, 6)]
)
def test_emulated_node_with_known_latency(bag, monkeypatch, latency_ms, dropped, blind):
    """Images come every 100 ms; decoding takes some time besides."""
    monkeypatch.setattr(
        pipeline, '_frame_cost', lambda *arguments: replace(FRAME_COST(*arguments), decode_ms=0,
            preprocess_ms=0, infer_ms=latency_ms, postprocess_ms=0),
    )  # fmt: skip
    found = score_with_engine(bag, chosen(realtime=True, tasks=('depth',)))[0]
    for part in found.budgets:
        streaming = part.streaming
        assert (streaming.dropped, streaming.blind) == (dropped, blind)
        assert len(streaming.ages_ms) == COUNT - dropped
        assert min(streaming.ages_ms) == pytest.approx(latency_ms)
        assert streaming.scores.truth.labelled['depth'] == COUNT - blind
    # Full budget differs from itself by what has changed since the frame that it saw.
    stale = found.budgets[0].streaming.scores.against_full.compute()['depth']['pixels']
    answers = [subsample(ENGINE.run(picture(n), 1.0, ['depth']).results) for n in range(COUNT)]
    known = {1: [0, 1, 2, 3, 4], 99: [0, 1, 2, 3, 4], 250: [0, 0, 2], 10_000: []}[latency_ms]
    apart = [differing_fraction('depth', answers[old]['depth'], answers[new]['depth'])
             for old, new in zip(known, range(blind, COUNT), strict=True)]  # fmt: skip
    assert stale == pytest.approx(np.mean(apart) if apart else np.nan, nan_ok=True)


def test_realtime_counts_add_up(result):
    for part in result.budgets:
        assert len(part.streaming.ages_ms) + part.streaming.dropped == COUNT
        assert 1 <= part.streaming.blind <= COUNT
        assert min(part.streaming.ages_ms) > 0


def test_no_node_is_emulated_without_realtime(bag):
    found = score_with_engine(bag, chosen(tasks=('depth',)))[0]
    assert [part.streaming for part in found.budgets] == [None] * len(BUDGETS)


def test_frames_of_changing_size(tmp_path):
    sizes = [(48, 64), (24, 32), (24, 32), (64, 48)]
    entries = [
        (stamp(n), CAMERA, image(stamp(n), picture(n, *size))) for n, size in enumerate(sizes)
    ]
    deep = [(stamp(n), truth('depth'), image(stamp(n), plain(2, np.float32, *size)))
            for n, size in enumerate(sizes)]  # fmt: skip
    settings = chosen(tasks=('depth',), realtime=True, out=tmp_path / 'out')
    found = score_with_engine(write(tmp_path / 'bag', entries + deep), settings)[0]
    assert (found.frames, found.labelled) == (4, {'depth': 4})
    changes = counts(found.issues)
    assert changes['frame size changes'] == 2
    assert found.budgets[0].scores.flips._frames == {'depth': 1}
    assert (tmp_path / 'out' / 'bag' / 'video.mp4').stat().st_size > 0


def test_a_camera_nothing_of_which_can_be_read(tmp_path):
    messages = [image(stamp(n), picture(n)) for n in range(3)]
    for _, message in messages:
        message.data = message.data[:-1]
    entries = [(stamp(n), CAMERA, one) for n, one in enumerate(messages)]
    found = score_with_engine(write(tmp_path / 'bag', entries), chosen(out=tmp_path / 'out'))[0]
    assert found.failure == f'none of 3 images on {CAMERA} can be read'
    assert counts(found.issues) == {'image cannot be read': 3}
    assert build_summary([found], chosen(), TASKS, 1.0)['frames'] == 0


@pytest.mark.parametrize('storage', STORAGES)
@pytest.mark.parametrize('share', [0, 0.1, 0.6])
def test_a_file_that_was_cut_off_is_a_failure(tmp_path, storage, share):
    path = write(tmp_path / 'bag', frames(range(4)), storage)
    file = storage_file(path)
    whole = file.read_bytes()
    file.write_bytes(whole[: round(share * len(whole))])
    found = score_with_engine(path, chosen())[0]
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
    found = score_with_engine(bag, chosen(**others))[0]
    assert reason in found.failure
    assert found.frames == 0


def test_exceptions_of_the_scoring_are_raised(bag, monkeypatch):
    def fail(*_):
        raise RuntimeError('no pictures today')

    monkeypatch.setattr(pipeline.Examples, 'add', fail)
    with pytest.raises(RuntimeError, match='no pictures today'):
        score_with_engine(bag, chosen())


class EndingConnection(EngineConnection):
    """Connection that ends after two inferences."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self._left = 2

    def recv(self):  # noqa: D102
        if not self._left:
            raise EOFError
        self._left -= 1
        return super().recv()


def test_outputs_are_closed_when_the_engine_is_gone(bag, tmp_path):
    with pytest.raises(EOFError):
        score_with_engine(bag, chosen(out=tmp_path), EndingConnection)
    with open_bag(tmp_path / 'run' / 'predictions') as reader:
        assert 0 <= reader.message_count <= 2 * 9


@pytest.mark.parametrize('count', [1, IN_FLIGHT, IN_FLIGHT + 1, 3 * IN_FLIGHT])
def test_the_number_of_images_in_flight_is_bounded(tmp_path, count):
    """The one that the network is busy with, and those ahead."""
    path = write(tmp_path / 'bag', frames(range(count)))
    found, answering = score_with_engine(path, chosen(tasks=('edges',)))
    assert found.frames == count
    assert answering.most == min(count, IN_FLIGHT + 1)
    assert answering.most <= BUFFERS  # else both could wait for each other


@pytest.mark.parametrize('cores', [1, 3])
def test_threads_where_there_are_cores_for_them_change_nothing(
    bag, result, tmp_path, monkeypatch, cores
):
    """Cores beside the network's."""
    threads = set()
    add = pipeline.Predictions.add

    def noted(*arguments):
        threads.add(threading.get_ident())
        add(*arguments)

    monkeypatch.setattr(pipeline, 'default_threads', lambda: cores)
    monkeypatch.setattr(pipeline.Predictions, 'add', noted)
    found = score_with_engine(bag, chosen(out=tmp_path))[0]
    assert (threads == {threading.get_ident()}) == (cores == 1)
    for part, expected in zip(found.budgets, result.budgets, strict=True):
        # As text, in which NaN is NaN.
        assert repr(part.scores.truth.compute()) == repr(expected.scores.truth.compute())
        assert [cost.macs for cost in part.costs] == [cost.macs for cost in expected.costs]
    with open_bag(tmp_path / 'run' / 'predictions') as reader:
        counts = {c.topic: c.msgcount for c in reader.connections}
    assert counts['/adamtl/compute_stats'] == COUNT


def test_the_energy_is_that_of_the_answer(result):
    spent = [{one.energy_j for one in part.costs} for part in result.budgets]
    assert spent == [{1.0}, {2.0}, {3.0}]


def test_predictions_and_video_of_the_shown_budget(bag, tmp_path):
    settings = chosen(out=tmp_path, shown=0.7, tasks=('depth', 'semseg'))
    score_with_engine(bag, settings, name='mine')
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
    shares = {one.stamp: one.mac_fraction for one in at.costs}
    assert result.examples
    assert all(one.mac_fraction == shares[one.stamp] for one in result.examples)
    assert result.examples[0].mac_fraction == max(shares.values())
