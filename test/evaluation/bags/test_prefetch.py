# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Prefetching and background calls: in order, bounded, and exceptions are raised."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamtl_ros.evaluation.bags.process import BackgroundWriter, prefetch

DEPTHS = st.integers(1, 5)
TIMEOUT = 60  # seconds until a test that hangs fails


class Counted:
    """Iterable of numbers that counts them; one may be an error."""

    def __init__(self, count, error_at=None):
        self.made, self._count, self._error_at = 0, count, error_at
        self.threads = set()

    def __iter__(self):
        for number in range(self._count):
            if number == self._error_at:
                raise ValueError(f'item {number}')
            self.made += 1
            self.threads.add(threading.get_ident())
            yield number


@settings(deadline=None)
@given(st.integers(0, 20), DEPTHS)
def test_items_come_in_order(count, depth):
    items = Counted(count)
    assert list(prefetch(items, depth)) == list(range(count))
    assert items.threads.isdisjoint({threading.get_ident()})


@settings(deadline=None)
@given(st.integers(0, 20), DEPTHS)
def test_at_most_depth_items_are_computed_in_advance(count, depth):
    """While an item is processed, `depth` more may be computed, and no others."""
    items = Counted(count)
    for number in prefetch(items, depth):
        assert number + 1 <= items.made <= number + 1 + depth


def test_the_next_item_is_computed_while_one_is_processed():
    made = [threading.Event() for _ in range(3)]

    def items():
        for event in made:
            event.set()
            yield None

    found = prefetch(items(), 1)
    next(found)
    assert made[1].wait(TIMEOUT)
    assert not made[2].is_set()
    next(found)
    assert made[2].wait(TIMEOUT)


def test_an_exception_comes_after_the_items_before_it():
    items = prefetch(Counted(9, error_at=3), 2)
    assert [next(items), next(items), next(items)] == [0, 1, 2]
    with pytest.raises(ValueError, match='item 3'):
        next(items)


def test_stopping_early_ends_the_thread():
    before = threading.active_count()
    items = Counted(100)
    found = prefetch(items, 2)
    assert next(found) == 0
    found.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
    assert items.made <= 3


def test_nothing_is_computed_before_the_first_next():
    items = Counted(5)
    found = prefetch(items)
    assert items.made == 0
    assert list(found) == [0, 1, 2, 3, 4]


@settings(deadline=None)
@given(st.integers(0, 20), DEPTHS)
def test_calls_are_made_in_order_by_one_thread(count, depth):
    calls, threads = [], set()

    def call(number, text):
        threads.add(threading.get_ident())
        calls.append((number, text))

    with BackgroundWriter(call, depth) as writer:
        for number in range(count):
            writer.put(number, str(number))
    assert calls == [(number, str(number)) for number in range(count)]
    assert threads.isdisjoint({threading.get_ident()})
    assert len(threads) <= 1


@pytest.mark.parametrize('depth', [1, 3])
def test_put_blocks_while_the_queue_is_full(depth):
    """While a call runs, at most `depth` calls are pending."""
    full, put, seen = threading.Event(), [], []

    def call(number):
        assert full.wait(TIMEOUT)
        seen.append((number, len(put)))

    with BackgroundWriter(call, depth) as writer:
        for number in range(30):
            writer.put(number)
            put.append(number)
            if len(put) == depth:
                full.set()
    assert [number for number, _ in seen] == list(range(30))
    assert all(count <= number + depth for number, count in seen)


def test_leaving_waits_for_the_last_call():
    release, calls = threading.Event(), []

    def call():
        assert release.wait(TIMEOUT)
        calls.append(None)

    with BackgroundWriter(call) as writer:
        writer.put()
        release.set()
    assert calls == [None]


def test_an_exception_of_a_call_is_raised_by_a_later_put():
    def call(number):
        if number == 1:
            raise ValueError(f'call {number}')

    accepted = []

    def feed():
        with BackgroundWriter(call, 2) as writer:
            for number in range(100):
                writer.put(number)
                accepted.append(number)

    with pytest.raises(ValueError, match='call 1'):
        feed()
    assert accepted == [0, 1, 2]


@pytest.mark.parametrize('failing', [0, 1])
def test_an_exception_of_the_last_calls_is_raised_at_the_end(failing):
    def call(number):
        if number == failing:
            raise ValueError(f'call {number}')

    def feed():
        with BackgroundWriter(call, 3) as writer:
            writer.put(0)
            writer.put(1)

    with pytest.raises(ValueError, match=f'call {failing}'):
        feed()


def test_an_exception_in_the_block_takes_precedence_and_cancels_pending_calls():
    entered, release, calls = threading.Event(), threading.Event(), []

    def call(number):
        calls.append(number)
        entered.set()
        assert release.wait(TIMEOUT)
        raise ValueError('of a call')

    def feed():
        with BackgroundWriter(call, 5) as writer:
            for number in range(4):
                writer.put(number)
            assert entered.wait(TIMEOUT)
            writer._pending[-1].add_done_callback(lambda _: release.set())  # as it is dropped
            raise KeyError('of the block')

    with pytest.raises(KeyError, match='of the block'):
        feed()
    assert calls == [0]
