# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Settings, frame costs, and sums over recordings."""

import pickle

import numpy as np
import pytest
from helpers.bag_files import cost, frames, write

from adamtl_ros.bags.ground_truth import ClassMap
from adamtl_ros.bags.reader import IssueLog
from adamtl_ros.evaluation.bags.result import (
    BagResult,
    BudgetResult,
    EvaluationSettings,
    Streaming,
    UsageMap,
    add_up,
    bag_digest,
    mac_fractions,
)
from adamtl_ros.evaluation.bags.scores import Scores
from adamtl_ros.nn.architecture import architecture
from adamtl_ros.nn.gating.plan import OFF, uniform_plan
from adamtl_ros.tasks import TASKS

PICO = architecture('pico')
CHOSEN = {name: TASKS[name] for name in ('depth', 'edges')}
BUDGETS = (1.0, 0.5)


@pytest.mark.parametrize(
    ('budgets', 'reason'),
    [
        ((1.0, 0.0), r'must lie in \(0, 1\], got 0.0'),
        ((1.5, 1.0), r'must lie in \(0, 1\], got 1.5'),
        ((1.0, float('nan')), 'must lie in'),
        ((0.5,), 'must begin with 1.0 and fall'),
        ((), 'must begin with 1.0 and fall'),
        ((1.0, 0.5, 0.7), 'must begin with 1.0 and fall'),
        ((1.0, 0.5, 0.5), 'must begin with 1.0 and fall'),
        ((1.0, 0.7), r'budget 0.5 is not evaluated, choose from: \(1.0, 0.7\)'),
    ],
)
def test_budgets_that_cannot_be(budgets, reason):
    with pytest.raises(ValueError, match=reason):
        EvaluationSettings(budgets=budgets, shown=0.5)


def test_settings_travel_to_other_processes(tmp_path):
    settings = EvaluationSettings(
        budgets=BUDGETS, shown=0.5, out=tmp_path, classes=ClassMap({'semseg': {3: 'person'}})
    )
    there = pickle.loads(pickle.dumps(settings))  # noqa: S301
    assert there.classes.names == settings.classes.names
    assert (there.budgets, there.out) == (settings.budgets, tmp_path)


def test_shares_and_latency_of_a_frame():
    one = cost(0.25, latency_ms=12.5)
    assert (one.mac_fraction, one.latency_ms) == (0.25, 12.5)
    assert mac_fractions([one, cost(0.75)]).tolist() == [0.25, 0.75]
    assert mac_fractions([]).shape == (0,)


def recording(error, spent, known=('depth',), plan=None, realtime=True):
    """Return the result of a recording whose depth is off by so many meters."""
    result = BagResult(f'off by {error}', '', IssueLog(), frames=len(spent))
    for budget in BUDGETS:
        truth = {name: CHOSEN[name] for name in known}
        scores, late = Scores(CHOSEN, truth), Scores(CHOSEN, truth)
        for number in range(len(spent)):
            for each in (scores, late):
                labels = {name: np.ones((4, 4), np.float32) for name in known}
                results = {'depth': np.full((4, 4), 1 + error, np.float32)}
                each.truth.add(number / len(spent), results, labels)
        scores.against_full.add('depth', error / 10)
        usage = UsageMap(PICO)
        for _ in spent:
            usage.add(plan or uniform_plan(PICO.depths), (192, 256))
        streaming = Streaming(late, 1, 2, [float(error)]) if realtime else None
        costs = [cost(share * budget) for share in spent]
        result.budgets.append(BudgetResult(budget, scores, costs, usage, streaming))
    return result


def test_recordings_add_up():
    results = [
        recording(1, [0.9, 0.8]),
        recording(3, [0.4, 0.4], known=()),
        recording(2, [0.1, 0.3], plan=uniform_plan(PICO.depths, OFF)),
    ]
    totals = add_up(results, CHOSEN)
    assert [total.budget for total in totals] == list(BUDGETS)
    total = totals[1]
    assert mac_fractions(total.costs) == pytest.approx([0.45, 0.4, 0.2, 0.2, 0.05, 0.15])
    assert total.scores.truth.labelled == {'depth': 4, 'edges': 0}
    assert total.scores.truth.compute()['depth']['rmse'] == pytest.approx(np.sqrt((1 + 4) / 2))
    assert total.scores.against_full.compute()['depth']['pixels'] == pytest.approx(0.2)
    assert total.usage.frames == 6
    assert total.usage.blocks == pytest.approx([4 / 6] * PICO.block_count)
    assert (total.streaming.dropped, total.streaming.blind) == (3, 6)
    assert total.streaming.ages_ms == [1.0, 3.0, 2.0]
    assert total.streaming.scores.truth.labelled['depth'] == 4


def test_parts_are_left_as_they_are():
    results = [recording(1, [0.9]), recording(2, [0.5])]
    first = add_up(results, CHOSEN)
    again = add_up(results, CHOSEN)
    assert len(results[0].budgets[0].costs) == 1
    assert results[0].budgets[0].streaming.ages_ms == [1.0]
    for one, other in zip(first, again, strict=True):
        assert one.scores.truth.compute()['depth'] == other.scores.truth.compute()['depth']
        assert mac_fractions(one.costs).tolist() == mac_fractions(other.costs).tolist()
    assert first[0].costs is not again[0].costs


def test_recordings_that_failed_add_nothing():
    failed = BagResult('gone', '', IssueLog(), failure='no such file')
    alone, beside = (add_up(results, CHOSEN) for results in (
        [recording(1, [0.9])], [failed, recording(1, [0.9]), failed]
    ))  # fmt: skip
    assert len(alone) == len(beside) == 2
    assert alone[0].scores.truth.compute()['depth'] == beside[0].scores.truth.compute()['depth']
    assert add_up([failed], CHOSEN) == []
    assert add_up([], CHOSEN) == []


def test_totals_without_streaming():
    assert add_up([recording(1, [0.9], realtime=False)], CHOSEN)[0].streaming is None


def test_a_digest_is_that_of_names_and_contents(tmp_path):
    path = write(tmp_path / 'bag', frames(range(2)))
    digest = bag_digest(path)
    assert len(digest) == 64
    assert digest == bag_digest(path)
    moved = path.rename(tmp_path / 'elsewhere')
    assert digest == bag_digest(moved)
    metadata = moved / 'metadata.yaml'
    metadata.write_bytes(metadata.read_bytes() + b'\n')
    assert digest != bag_digest(moved)
    renamed = write(tmp_path / 'bag', frames(range(2)))
    assert digest == bag_digest(renamed)
    (renamed / 'bag.mcap').rename(renamed / 'bah.mcap')
    assert digest != bag_digest(renamed)


def test_a_digest_of_a_single_file(tmp_path):
    for name, text in (('a', 'one'), ('b', 'one'), ('c', 'two')):
        (tmp_path / name).write_text(text)
    one, same, other = (bag_digest(tmp_path / name) for name in 'abc')
    assert one == same != other
