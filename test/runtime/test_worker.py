# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The worker thread."""

import itertools
import threading
import time

from adamtl_ros.runtime.worker import Worker


def test_slow_work_gets_the_newest_item():
    """Hundred items against slow work: each is handled or dropped, and the last is handled."""
    handled, last = [], threading.Event()
    busy = threading.Event()

    def handle(item):
        handled.append(item)
        busy.set()
        time.sleep(0.01)
        if item == 99:
            last.set()

    worker = Worker(handle, lambda: 0.0)
    worker.start()
    dropped = worker.mailbox.put(0)
    assert busy.wait(5)
    for item in range(1, 100):
        dropped += worker.mailbox.put(item)
    assert last.wait(5)
    assert not worker.stop()
    assert handled[0] == 0
    assert handled[-1] == 99
    assert len(handled) + dropped == 100
    assert len(handled) < 100


def test_period_is_kept_and_may_change():
    starts, enough = [], threading.Event()
    period = [0.05]

    def handle(_item):
        starts.append(time.monotonic())
        if len(starts) == 4:
            enough.set()

    worker = Worker(handle, lambda: period[0])
    worker.start()
    while not enough.wait(0.001):
        worker.mailbox.put(1)
    worker.stop()
    assert min(b - a for a, b in itertools.pairwise(starts)) >= 0.049


def test_a_shorter_period_takes_effect_at_once():
    """As when somebody lifts a rate limit of one frame an hour, or of one in 300 years."""
    period, handled = [1e10], threading.Semaphore(0)
    worker = Worker(lambda _item: handled.release(), lambda: period[0])
    worker.start()
    worker.mailbox.put(1)
    assert handled.acquire(timeout=5)
    worker.mailbox.put(2)
    assert not handled.acquire(timeout=0.3)
    period[0] = 0.0
    assert handled.acquire(timeout=5)
    worker.stop()


def test_stop_ends_a_waiting_worker_and_counts_what_waits():
    worker = Worker(lambda _item: None, lambda: 60.0)
    worker.start()
    worker.mailbox.put(1)
    while worker.mailbox.put(2):  # until the first is taken; then the worker waits a minute
        pass
    began = time.monotonic()
    assert worker.stop()
    assert time.monotonic() - began < 5
