# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Counters and latencies."""

import math
import threading

import pytest

from adamtl_ros.runtime.counters import FrameCounters, FrameCounts


def test_counts_by_hand():
    counters = FrameCounters()
    for name in ('received', 'received', 'dropped', 'refused', 'idle'):
        counters.count(name)
    for latency in (10.0, 50.0, 50.1):
        counters.count_processed(latency, deadline_ms=50.0)
    counters.count_processed(1e9, deadline_ms=0.0)
    assert counters.counts == FrameCounts(
        received=2, processed=4, dropped=1, idle=1, refused=1, late=1
    )
    with pytest.raises(ValueError, match="unknown counter 'lost', choose from: received"):
        counters.count('lost')


def test_percentiles_of_recent_latencies():
    counters = FrameCounters(window=4)
    assert all(math.isnan(value) for value in counters.latency_percentiles())
    for latency in (1000.0, 10.0, 20.0, 30.0, 40.0):
        counters.count_processed(latency, 0.0)
    median, high = counters.latency_percentiles()
    assert median == 25.0
    assert high == pytest.approx(38.5)


def test_no_count_is_lost_between_threads():
    counters = FrameCounters()
    threads = [
        threading.Thread(target=lambda: [counters.count('received') for _ in range(2000)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counters.counts.received == 8000
