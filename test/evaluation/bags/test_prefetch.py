# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Work beside the network: in order, not too far ahead, and errors come out."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamtl_ros.evaluation.bags.process import BackgroundWriter, prefetch

DEPTHS = st.integers(1, 5)
PATIENCE = 60  # seconds until a test that hangs fails


class Counted:
    """Numbers from 0, of which one may be an error; says how many were made."""

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
def test_never_more_than_so_many_ahead(count, depth):
    """While somebody looks at an item, so many more may be made, and no others."""
    items = Counted(count)
    for number in prefetch(items, depth):
        assert number + 1 <= items.made <= number + 1 + depth


def test_the_next_item_is_made_while_one_is_looked_at():
    made = [threading.Event() for _ in range(3)]

    def items():
        for event in made:
            event.set()
            yield None

    found = prefetch(items(), 1)
    next(found)
    assert made[1].wait(PATIENCE)
    assert not made[2].is_set()
    next(found)
    assert made[2].wait(PATIENCE)


def test_an_error_of_the_maker_comes_after_the_items_before_it():
    items = prefetch(Counted(9, error_at=3), 2)
    assert [next(items), next(items), next(items)] == [0, 1, 2]
    with pytest.raises(ValueError, match='item 3'):
        next(items)


def test_who_stops_early_leaves_no_thread_behind():
    before = threading.active_count()
    items = Counted(100)
    found = prefetch(items, 2)
    assert next(found) == 0
    found.close()
    assert threading.active_count() == before
    assert items.made <= 3


def test_nothing_is_made_before_somebody_asks():
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

    with BackgroundWriter(call, depth) as behind:
        for number in range(count):
            behind.put(number, str(number))
    assert calls == [(number, str(number)) for number in range(count)]
    assert threads.isdisjoint({threading.get_ident()})
    assert len(threads) <= 1


@pytest.mark.parametrize('depth', [1, 3])
def test_who_is_too_far_behind_is_waited_for(depth):
    """While a call runs, no more than so many have been put that have not ended."""
    full, put, seen = threading.Event(), [], []

    def call(number):
        assert full.wait(PATIENCE)
        seen.append((number, len(put)))

    with BackgroundWriter(call, depth) as behind:
        for number in range(30):
            behind.put(number)
            put.append(number)
            if len(put) == depth:
                full.set()
    assert [number for number, _ in seen] == list(range(30))
    assert all(count <= number + depth for number, count in seen)


def test_leaving_waits_for_the_last_call():
    release, calls = threading.Event(), []

    def call():
        assert release.wait(PATIENCE)
        calls.append(None)

    with BackgroundWriter(call) as behind:
        behind.put()
        release.set()
    assert calls == [None]


def test_an_error_of_a_call_comes_out_of_a_later_one():
    def call(number):
        if number == 1:
            raise ValueError(f'call {number}')

    accepted = []

    def feed():
        with BackgroundWriter(call, 2) as behind:
            for number in range(100):
                behind.put(number)
                accepted.append(number)

    with pytest.raises(ValueError, match='call 1'):
        feed()
    assert accepted == [0, 1, 2]


@pytest.mark.parametrize('failing', [0, 1])
def test_an_error_of_the_last_calls_comes_out_at_the_end(failing):
    def call(number):
        if number == failing:
            raise ValueError(f'call {number}')

    def feed():
        with BackgroundWriter(call, 3) as behind:
            behind.put(0)
            behind.put(1)

    with pytest.raises(ValueError, match=f'call {failing}'):
        feed()


def test_an_error_in_the_block_goes_before_those_of_calls_and_drops_what_waits():
    entered, release, calls = threading.Event(), threading.Event(), []

    def call(number):
        calls.append(number)
        entered.set()
        assert release.wait(PATIENCE)
        raise ValueError('of a call')

    def feed():
        with BackgroundWriter(call, 5) as behind:
            for number in range(4):
                behind.put(number)
            assert entered.wait(PATIENCE)
            behind._pending[-1].add_done_callback(lambda _: release.set())  # as it is dropped
            raise KeyError('of the block')

    with pytest.raises(KeyError, match='of the block'):
        feed()
    assert calls == [0]
