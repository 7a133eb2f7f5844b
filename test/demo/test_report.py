# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The summary of a demo run, by hand."""

import csv
import math

import pytest
from adamtl_ros.msg import ComputeStats

from adamtl_ros.demo.report import summarize_run, work_ms, write_plot, write_table
from adamtl_ros.demo.session import DemoRun
from adamtl_ros.tasks import TASKS

MS = 1_000_000


def stats(second, latency):
    message = ComputeStats(tasks=list(TASKS), macs=50, macs_full=200, latency_ms=latency)
    message.header.stamp.sec = second
    message.decode_ms, message.infer_ms, message.publish_ms = 1.0, 10.0, 2.0
    message.frames_received, message.frames_processed, message.frames_dropped = 9, 3, 6
    return message


@pytest.fixture
def run():
    """Three processed frames of ten sent, of which one lacks its edges."""
    second = 1_000_000_000
    arrivals = {f'/demo/adamtl/{name}/image': {} for name in TASKS}
    for index, stamp in enumerate((1, 2, 3)):
        for order, by_stamp in enumerate(arrivals.values()):
            by_stamp[stamp * second] = stamp * second + (20 + 10 * index + order) * MS
    del arrivals['/demo/adamtl/edges/image'][3 * second]
    arrivals['/demo/adamtl/compute_stats'] = {
        0: 0, 1 * second: 1 * second, 2 * second: 2 * second, 3 * second: 5 * second,
    }  # fmt: skip
    sent = {stamp * second: stamp * second for stamp in range(1, 11)}
    return DemoRun(sent, arrivals, [ComputeStats(), *(stats(n, 20.0 * n) for n in (1, 2, 3))])


def test_summary_by_hand(run):
    summary = summarize_run(run)
    assert (summary.sent, summary.received, summary.processed, summary.dropped) == (10, 9, 3, 6)
    assert summary.complete == 2
    assert summary.rate_hz == pytest.approx(2 / 4)
    assert summary.age_ms[0] == pytest.approx((25 + 35) / 2)
    assert summary.latency_ms == pytest.approx((40, 58))
    assert summary.work_ms == pytest.approx((13, 13))
    assert summary.mac_fraction == 0.25
    text = str(summary)
    assert '10 sent, 9 received (1 lost on the way), 3 processed, 6 dropped' in text
    assert '2 of 3 processed frames' in text


def test_summary_of_nothing(run):
    empty = summarize_run(DemoRun(run.sent, {}, [ComputeStats()]))
    assert empty.complete == empty.processed == 0
    assert math.isnan(empty.macs)
    assert math.isnan(empty.age_ms[0])


def test_table_has_a_line_per_message(run, tmp_path):
    write_table(run, tmp_path / 'stats.csv')
    with (tmp_path / 'stats.csv').open(newline='') as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3
    assert rows[0]['stamp'] == '1.000000000'
    assert rows[0]['macs'] == '50'
    assert rows[0]['limit_reason'] == 'USER'
    assert rows[0]['tasks'].split() == list(TASKS)
    fields = set(ComputeStats.get_fields_and_field_types()) - {
        'header',
        'sequence',
        'model',
        'device',
    }
    assert fields <= set(rows[0])


def test_plot_is_a_picture(run, tmp_path):
    write_plot(run, tmp_path / 'plot.png')
    assert (tmp_path / 'plot.png').stat().st_size > 10_000


def test_work_is_without_waiting():
    assert work_ms(stats(1, 99.0)) == pytest.approx(13)
