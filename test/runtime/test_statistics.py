# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Counters and latencies."""

import math
import threading

import pytest

from adamtl_ros.runtime.statistics import Counts, Statistics


def test_counts_by_hand():
    statistics = Statistics()
    for name in ('received', 'received', 'dropped', 'refused', 'idle'):
        statistics.count(name)
    for latency in (10.0, 50.0, 50.1):
        statistics.processed(latency, deadline_ms=50.0)
    statistics.processed(1e9, deadline_ms=0.0)
    assert statistics.counts == Counts(
        received=2, processed=4, dropped=1, idle=1, refused=1, late=1
    )
    with pytest.raises(ValueError, match="unknown counter 'lost', choose from: received"):
        statistics.count('lost')


def test_percentiles_of_recent_latencies():
    statistics = Statistics(window=4)
    assert all(math.isnan(value) for value in statistics.latency_percentiles())
    for latency in (1000.0, 10.0, 20.0, 30.0, 40.0):
        statistics.processed(latency, 0.0)
    median, high = statistics.latency_percentiles()
    assert median == 25.0
    assert high == pytest.approx(38.5)


def test_no_count_is_lost_between_threads():
    statistics = Statistics()
    threads = [
        threading.Thread(target=lambda: [statistics.count('received') for _ in range(2000)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statistics.counts.received == 8000
