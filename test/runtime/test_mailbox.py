# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Mailbox with one slot for each sender."""

import threading

from hypothesis import given
from hypothesis import strategies as st

from adamtl_ros.runtime.worker import Mailbox


def test_a_newer_item_replaces_a_waiting_one():
    box = Mailbox()
    assert not box.put('old')
    assert box.put('new')
    assert box.take() == 'new'
    assert box.take(timeout=0) is None


def test_taker_wakes_on_put():
    box, taken = Mailbox(), []
    thread = threading.Thread(target=lambda: taken.append(box.take(timeout=10)))
    thread.start()
    box.put(7)
    thread.join(10)
    assert taken == [7]


def test_taker_wakes_on_close():
    box, taken = Mailbox(), []
    thread = threading.Thread(target=lambda: taken.append(box.take()))
    thread.start()
    assert not box.close()
    thread.join(10)
    assert taken == [None]


def test_a_closed_mailbox_accepts_nothing():
    box = Mailbox()
    box.put(1)
    assert box.close() == [1]
    assert box.put(2)
    assert box.take() is None


@given(st.lists(st.sampled_from(['put', 'take'])))
def test_every_item_is_taken_or_dropped(actions):
    box, taken, dropped = Mailbox(), [], 0
    for number, action in enumerate(actions):
        if action == 'put':
            dropped += box.put(number)
        elif (item := box.take(timeout=0)) is not None:
            taken.append(item)
    dropped += len(box.close())
    assert len(taken) + dropped == actions.count('put')
    assert taken == sorted(taken)


def test_a_fast_sender_does_not_starve_a_slow_one():
    box = Mailbox()
    box.put('fast 0', 'fast')
    assert box.take() == 'fast 0'
    box.put('fast 1', 'fast')
    assert not box.put('slow 0', 'slow')
    assert box.put('fast 2', 'fast')
    assert [box.take(), box.take()] == ['slow 0', 'fast 2']
    assert box.take(timeout=0) is None


@given(st.lists(st.sampled_from(['front', 'left', 'rear']), min_size=1))
def test_senders_take_turns(senders):
    """Among senders with waiting items, none is served twice before the others."""
    box = Mailbox()
    names = sorted(set(senders))
    served = []
    for _ in range(3 * len(names)):
        for name in names:
            box.put(name, name)
        served.append(box.take())
    for begin in range(0, len(served), len(names)):
        assert sorted(served[begin : begin + len(names)]) == names
