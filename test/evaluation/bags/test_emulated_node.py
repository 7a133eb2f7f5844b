# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Emulated node: dropped frames, and known results at each arrival."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adamtl_ros.evaluation.bags.emulated_node import EmulatedNode, TimedResults

MS = 1_000_000


def played(arrivals, latencies):
    """Return the number of the frame whose answer is known at each arrival, and the node."""
    node = EmulatedNode()
    known = []
    for number, (arrived, latency) in enumerate(zip(arrivals, latencies, strict=True)):
        results = node.arrive(TimedResults(arrived * MS, latency * MS, {'frame': number}))
        known.append(None if results is None else results['frame'])
    node.finish()
    return known, node


def test_without_latency_each_answer_is_there_at_once():
    known, node = played([0, 100, 200], [0, 0, 0])
    assert (known, node.dropped, node.ages_ms) == ([0, 1, 2], 0, [0, 0, 0])


def test_a_node_that_keeps_up_is_one_frame_behind():
    known, node = played([0, 100, 200, 300], [40, 60, 99, 40])
    assert (known, node.dropped, node.ages_ms) == ([None, 0, 1, 2], 0, [40, 60, 99, 40])


def test_an_answer_that_is_ready_at_the_moment_of_an_arrival_is_known():
    known, node = played([0, 100, 200], [100, 100, 100])
    assert (known, node.dropped, node.ages_ms) == ([None, 0, 1], 0, [100, 100, 100])


def test_a_slow_node_drops_what_is_replaced():
    """Latency 250 at a period of 100.

    Frame 0 runs until 250 while 1 is replaced by 2, which runs until 500 while 3 is replaced
    by 4, which arrives at 400 and is ready at 750. 5 arrives at 500, when 4 has just begun.
    """
    known, node = played([0, 100, 200, 300, 400, 500], [250] * 6)
    assert known == [None, None, None, 0, 0, 2]
    assert node.dropped == 2
    assert node.ages_ms == [250, 300, 350, 500]


def test_waiting_counts_for_the_age():
    known, node = played([0, 10], [100, 30])
    assert (known, node.dropped, node.ages_ms) == ([None, None], 0, [100, 120])


def test_a_pause_lets_the_node_come_to_rest():
    known, node = played([0, 10, 500, 900], [100, 30, 50, 50])
    assert (known, node.dropped, node.ages_ms) == ([None, None, 1, 2], 0, [100, 120, 50, 50])


def test_a_frame_that_seems_to_come_before_the_last_one_comes_with_it():
    known, node = played([100, 50, 300], [20, 20, 20])
    assert (known, node.dropped) == ([None, None, 1], 0)
    assert node.ages_ms == [20, 40, 20]


def test_no_frames():
    node = EmulatedNode()
    node.finish()
    assert (node.newest, node.dropped, node.ages_ms) == (None, 0, [])


def reference(arrivals, latencies):
    """Go through time in steps of a millisecond, with a slot and a worker.

    At each moment the worker first finishes, then takes what waits; then frames arrive.
    """
    slot = None
    busy = None  # number of the frame, and when it is ready
    newest, dropped, ages, known = None, 0, [], []
    for now in range(max(arrivals) + sum(latencies) + 1):
        due = [number for number, arrived in enumerate(arrivals) if arrived == now]
        while True:
            if busy and busy[1] == now:
                newest = busy[0]
                ages.append(now - arrivals[newest])
                busy = None
            if busy is None and slot is not None:
                busy, slot = (slot, now + latencies[slot]), None
                continue
            if not due:
                break
            number = due.pop(0)
            if busy is None:
                busy = (number, now + latencies[number])
                if latencies[number] == 0:
                    newest, busy = number, None
                    ages.append(0)
            else:
                dropped += slot is not None
                slot = number
            known.append(newest)
    return known, dropped, ages


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 30)), min_size=1, max_size=12),
)
def test_it_does_what_a_clock_that_ticks_does(frames):
    gaps, latencies = zip(*frames, strict=True)
    arrivals = [sum(gaps[: number + 1]) for number in range(len(gaps))]
    known, node = played(arrivals, latencies)
    expected, dropped, ages = reference(arrivals, latencies)
    assert known == expected
    assert node.dropped == dropped
    assert node.ages_ms == pytest.approx(ages)
    assert len(node.ages_ms) + node.dropped == len(frames)
