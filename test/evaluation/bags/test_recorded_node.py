# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Evaluation of a recorded node against the offline evaluation with the same engine."""

from pathlib import Path

import pytest
from rosbags.rosbag2 import StoragePlugin, Writer

from adamtl_ros.bags.reader import BagError, header_stamp, open_bag
from adamtl_ros.bags.writer import STATS, own_typestore
from adamtl_ros.commands.main import main
from adamtl_ros.data.synthetic import write_synthetic_bag
from adamtl_ros.evaluation.bags.compare import read_summary
from adamtl_ros.evaluation.bags.evaluate import evaluate_bag
from adamtl_ros.evaluation.bags.recorded_node import evaluate_recorded_node
from adamtl_ros.evaluation.bags.result import EvaluationSettings
from adamtl_ros.nn.io.checkpoint import load_model
from adamtl_ros.runtime.engine import Engine

FRAMES = 12
PERIOD_MS = 1000 / 15
ENGINE = Engine(load_model('scenes_nano'))
NETWORK = ENGINE.model.network


@pytest.fixture(scope='module')
def played(tmp_path_factory):
    bag = tmp_path_factory.mktemp('played') / 'room'
    write_synthetic_bag(bag, frames=FRAMES, size=(96, 128), truth=True)
    return bag


@pytest.fixture(scope='module')
def offline(played):
    """Give what the node would have published, had it had all the time of the world."""
    settings = EvaluationSettings(budgets=(1.0, 0.5), shown=0.5, out=played.parent / 'out')
    return evaluate_bag(played, ENGINE, settings)


@pytest.fixture(scope='module')
def predictions(played, offline):
    return played.parent / 'out' / offline.name / 'predictions'


def live(played, recorded):
    return evaluate_recorded_node(
        played, recorded, EvaluationSettings(), NETWORK.tasks, NETWORK.arch
    )


def copy(source, target, keep, change=lambda stats: stats):
    """Copy the messages whose frame is kept, with other statistics."""
    store = own_typestore()
    with (
        open_bag(source) as reader,
        Writer(target, version=9, storage_plugin=StoragePlugin.MCAP) as writer,
    ):
        topics = {c.topic: writer.add_connection(c.topic, c.msgtype, typestore=store)
                  for c in reader.connections}  # fmt: skip
        stamps = sorted({header_stamp(raw) for _, _, raw in reader.messages()})
        for connection, time, raw in reader.messages():
            if not keep(stamps.index(header_stamp(raw))):
                continue
            data = raw
            if connection.msgtype == STATS:
                data = store.serialize_cdr(change(reader.deserialize(raw, STATS)), STATS)
            writer.write(topics[connection.topic], time, bytes(data))


def with_age(age_ms):
    def change(stats):
        stats.age_ms = age_ms
        return stats

    return change


def test_scores_equal_those_of_the_offline_evaluation(played, offline, predictions):
    found = live(played, predictions)
    expected = offline.budgets[1]
    assert found.frames == len(expected.costs) == FRAMES
    row = found.budgets[0]
    assert row.budget == pytest.approx(0.5)
    assert row.streaming.dropped == 0
    assert row.scores.truth.compute() == expected.scores.truth.compute()
    assert [c.macs for c in row.costs] == [c.macs for c in expected.costs]


def test_images_without_results_count_as_dropped(played, predictions, tmp_path):
    copy(predictions, tmp_path / 'some', lambda index: index % 3 == 0)
    found = live(played, tmp_path / 'some')
    row = found.budgets[0]
    assert row.streaming.dropped == FRAMES - 4
    assert len(row.costs) == len(row.streaming.ages_ms) == 4
    assert found.labelled['semseg'] == 4


def test_results_are_known_from_their_publication(played, predictions, tmp_path):
    """Ready two and a half periods after their image, answers are first known to the fourth."""
    copy(predictions, tmp_path / 'old', lambda _: True, with_age(2.5 * PERIOD_MS))
    streaming = live(played, tmp_path / 'old').budgets[0].streaming
    assert streaming.blind == 3
    assert streaming.ages_ms == [pytest.approx(2.5 * PERIOD_MS)] * FRAMES
    assert streaming.scores.truth.labelled['depth'] == FRAMES - 3
    copy(predictions, tmp_path / 'at_once', lambda _: True, with_age(0.0))
    at_once = live(played, tmp_path / 'at_once').budgets[0]
    assert at_once.streaming.blind == 0
    # Each image knows its own answer.
    assert at_once.streaming.scores.truth.compute() == at_once.scores.truth.compute()


def test_a_bag_without_a_node_is_refused(played):
    with pytest.raises(BagError, match='has no adamtl_ros/msg/ComputeStats: record'):
        live(played, played)


def test_results_of_another_bag_are_a_failure(played, predictions, tmp_path, capsys):
    write_synthetic_bag(tmp_path / 'other', frames=2, size=(96, 128))
    bag = tmp_path / 'shifted'
    with open_bag(tmp_path / 'other') as reader, Writer(bag, version=9) as writer:
        topics = {c.topic: writer.add_connection(c.topic, c.msgtype, typestore=own_typestore())
                  for c in reader.connections}  # fmt: skip
        for connection, time, raw in reader.messages():
            message = reader.deserialize(raw, connection.msgtype)
            message.header.stamp.sec += 1000
            data = own_typestore().serialize_cdr(message, connection.msgtype)
            writer.write(topics[connection.topic], time, data)
    found = live(bag, predictions)
    assert 'has no results with the header stamp of any image' in found.failure
    assert found.frames == 0
    assert found.budgets == []
    arguments = [str(bag), '--recorded', str(predictions), '--out', str(tmp_path / 'out')]
    assert main(['evaluate-bag', *arguments]) == 2
    assert 'has no results with the header stamp of any image' in capsys.readouterr().err


def test_the_command_writes_the_same_report(played, predictions, tmp_path, capsys):
    arguments = [str(played), '--recorded', str(predictions), '--out', str(tmp_path / 'out')]
    assert main(['evaluate-bag', *arguments]) == 0
    assert 'semseg miou' in capsys.readouterr().out
    made = {path.name for path in Path(tmp_path / 'out').iterdir()}
    assert made == {'report.html', 'metrics.json'}
    streaming = read_summary(tmp_path / 'out' / 'metrics.json')['timing']['results'][0]['streaming']
    assert streaming['dropped'] == 0
    assert streaming['answers'] == FRAMES


def test_recorded_takes_one_bag(played, predictions, capsys):
    arguments = [str(played), str(predictions), '--recorded', str(predictions)]
    assert main(['evaluate-bag', *arguments]) == 2
    assert '--recorded belongs to one bag, got 2' in capsys.readouterr().err
