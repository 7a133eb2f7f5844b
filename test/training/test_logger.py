# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""CSV log of a training, and its curves."""

import cv2
import numpy as np
import pytest

from adamtl_ros.training.logger import (
    COMMON_COLUMNS,
    CSVLogger,
    _value_range,
    plot_curves,
    read_log,
)


def row(step, stage='static', **more):
    return {
        'stage': stage,
        'step': step,
        'seconds': 0.5,
        'lr': 1e-3,
        'loss': 2.0 / (step + 1),
    } | more


def test_rows_come_back(tmp_path):
    logger = CSVLogger(tmp_path / 'journal.csv', ('depth', 'share'), 0)
    logger.log_metrics(row(0, depth=1 / 3))
    logger.log_metrics(row(10, share=0.5))
    first, second = read_log(tmp_path / 'journal.csv')
    assert tuple(first) == (*COMMON_COLUMNS, 'depth', 'share')
    assert (first['step'], first['lr'], first['depth'], first['share']) == (
        '0', '0.001', '0.333333', '',
    )  # fmt: skip
    assert (second['step'], second['depth'], second['share']) == ('10', '', '0.5')


@pytest.mark.parametrize(('done', 'kept'), [(0, []), (10, [0]), (11, [0, 10]), (99, [0, 10, 20])])
def test_rows_of_steps_that_will_be_done_again_are_dropped(tmp_path, done, kept):
    path = tmp_path / 'journal.csv'
    logger = CSVLogger(path, ('depth',), 0)
    for step in (0, 10, 20):
        logger.log_metrics(row(step, depth=0.25))
    before = read_log(path)
    logger = CSVLogger(path, ('depth',), done)
    assert read_log(path) == before[: len(kept)]
    logger.log_metrics(row(30))
    assert [int(one['step']) for one in read_log(path)] == [*kept, 30]


def test_a_missing_log_has_no_rows(tmp_path):
    assert read_log(tmp_path / 'journal.csv') == []


def test_the_first_loss_does_not_flatten_the_curve():
    values = np.array([1000.0, *np.linspace(2, 1, 99)])
    low, high = _value_range(values)
    assert 0.5 < low < 1
    assert 2 < high < 2.5
    assert _value_range(values[:1]) == _value_range(np.ones(5)) == (None, None)


@pytest.mark.parametrize('rows', [0, 1, 2, 60])
def test_curves_are_a_picture_however_few_rows_there_are(tmp_path, rows):
    path, out = tmp_path / 'journal.csv', tmp_path / 'curves.png'
    logger = CSVLogger(path, ('depth', 'share', 'never'), 0)
    for step in range(rows):
        logger.log_metrics(row(step, 'joint' if step > 1 else 'static', depth=0.5 + step))
    plot_curves(path, out)
    picture = cv2.imread(str(out))
    assert picture is not None
    assert min(picture.shape[:2]) > 100
