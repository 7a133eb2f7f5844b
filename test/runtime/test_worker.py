# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The worker thread."""

import threading
import time

from adamtl_ros.runtime.worker import Worker

PATIENCE = 60  # seconds until a test that hangs fails


def test_slow_work_gets_the_newest_item():
    """Each of a hundred items is handled or dropped by slow work, and the last is handled."""
    handled, last = [], threading.Event()
    busy, released = threading.Event(), threading.Event()

    def handle(item):
        handled.append(item)
        busy.set()
        released.wait(PATIENCE)
        if item == 99:
            last.set()

    worker = Worker(handle, lambda: 0.0)
    worker.start()
    dropped = worker.mailbox.put(0)
    assert busy.wait(PATIENCE)
    for item in range(1, 100):
        dropped += worker.mailbox.put(item)
    released.set()
    assert last.wait(PATIENCE)
    assert not worker.stop()
    assert handled == [0, 99]
    assert dropped == 98


def test_period_is_kept_and_may_change():
    starts, enough = [], threading.Event()
    period = [0.05]

    def handle(_item):
        starts.append(time.monotonic())
        if len(starts) == 4:
            enough.set()

    worker = Worker(handle, lambda: period[0])
    worker.start()
    began = time.monotonic()
    while not enough.wait(0.001):
        worker.mailbox.put(1)
    worker.stop()
    # From before the first: a start itself may be seen late, which makes the next seem early.
    assert all(start - began >= 0.05 * number for number, start in enumerate(starts))


def test_a_shorter_period_takes_effect_at_once():
    """A rate limit of one frame per hour, or in 300 years, can be lifted at once."""
    period, handled = [1e10], threading.Semaphore(0)
    worker = Worker(lambda _item: handled.release(), lambda: period[0])
    worker.start()
    worker.mailbox.put(1)
    assert handled.acquire(timeout=PATIENCE)
    worker.mailbox.put(2)
    assert not handled.acquire(timeout=0.3)
    period[0] = 0.0
    assert handled.acquire(timeout=PATIENCE)
    worker.stop()


def test_stop_ends_a_waiting_worker_and_returns_waiting_items():
    worker = Worker(lambda _item: None, lambda: 1e9)
    worker.start()
    worker.mailbox.put(1)
    while worker.mailbox.put(2):  # until the first is taken; then the worker waits for years
        pass
    assert worker.stop() == [2]


def test_a_failure_does_not_end_the_thread():
    failures, done = [], threading.Event()

    def handle(item):
        if item == 'bad':
            raise MemoryError
        done.set()

    worker = Worker(handle, lambda: 0.0, on_failure=failures.append)
    worker.start()
    worker.mailbox.put('bad', 'one')
    worker.mailbox.put('good', 'two')
    assert done.wait(PATIENCE)
    worker.stop()
    assert [type(failure) for failure in failures] == [MemoryError]
