# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The table: means over seeds, relative gains worked by hand."""

import pytest
from comparison_table import Entry, markdown, rows

from adamtl_ros.tasks import TASKS

ENTRIES = (
    Entry('single', 'a network for each task', single_task=True),
    Entry('static', 'static'),
    Entry('absent', 'never trained'),
    Entry('lora', 'adapters for each task', single_task=True),
    Entry('ours', 'ours', adaptive=True),
)


def scored(tasks=TASKS, factor=1.0, macs=1e6):
    """Return scores in which every metric is better by a factor than 0.5, or 10 degrees."""
    metrics = {}
    for name in tasks:
        task = TASKS[name]
        value = 0.5 * factor if task.higher_is_better else 10 * (2 - factor)
        metrics[name] = {task.metric: value}
    return {
        'metrics': metrics, 'macs': macs, 'infer_ms': 2.0, 'budget': 0.57,
        'shares': [0.5, 0.6, 0.7], 'difficulty': [0.1, 0.2, 0.9],
    }  # fmt: skip


@pytest.fixture
def scores():
    single = {f'single_{name}_0': {'1.0': scored([name])} for name in TASKS}
    return {
        **single,
        'static_0': {'1.0': scored(factor=1.05, macs=2e6)},
        'ours_0': {'1.0': scored(factor=1.1), '0.57': scored(factor=1.04), 'random': scored()},
        'ours_1': {'1.0': scored(factor=1.2), '0.57': scored(factor=1.02), 'random': scored()},
    }


def test_gain_over_single_task_networks(scores):
    found = {(row.label, row.budget): row for row in rows(scores, ENTRIES)}
    assert found['a network for each task', ''].macs == 6e6
    assert found['static', ''].delta == pytest.approx([5])
    assert found['ours', '0.57'].delta == pytest.approx([4, 2])
    assert found['ours', '1.0'].values['semseg'] == pytest.approx([0.55, 0.6])
    assert found['ours, random blocks instead', '0.57'].delta == pytest.approx([0, 0])


def test_table_shows_mean_and_spread(scores):
    lines = markdown(scores, ENTRIES).splitlines()
    assert len({line.count('|') for line in lines}) == 1
    ours = next(line for line in lines if line.startswith('| ours | 0.57'))
    assert '+3.00 ± 1.41' in ours
    assert '0.515 ± 0.007' in ours
    assert '+5.00 |' in next(line for line in lines if line.startswith('| static'))


def test_missing_single_task_networks_are_named(scores):
    del scores['single_depth_0']
    with pytest.raises(ValueError, match=r'single-task networks for depth'):
        rows(scores, ENTRIES)


def test_networks_for_one_task_each_add_up(scores):
    own = {f'lora_{name}_0': {'1.0': {**scored([name], 1.1), 'trained': 7}} for name in TASKS}
    (found,) = (row for row in rows({**scores, **own}, ENTRIES) if row.label.startswith('adapt'))
    assert (found.macs, found.milliseconds, found.trained) == (6e6, 12, 42)
    assert found.delta == pytest.approx([10])


def test_a_row_without_scores_is_left_out(scores):
    assert not any(row.label in ('never trained', 'adapters for each task')
                   for row in rows(scores, ENTRIES))  # fmt: skip


def test_trained_parameters_are_shown_where_all_rows_know_them(scores):
    assert 'trained' not in markdown(scores, ENTRIES)
    counted = {
        key: {budget: {**one, 'trained': 1234} for budget, one in some.items()}
        for key, some in scores.items()
    }
    lines = markdown(counted, ENTRIES).splitlines()
    assert len({line.count('|') for line in lines}) == 1
    assert '| ours | 1.0 | 1,234 |' in lines[4]
    assert f'| a network for each task |  | {6 * 1234:,} |' in lines[2]
