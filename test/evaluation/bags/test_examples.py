# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The frames on which the network spent most and least."""

import cv2
import numpy as np
import pytest
from helpers.bag_files import cost, plain, seen, stamp
from hypothesis import given, settings
from hypothesis import strategies as st

from adamtl_ros.evaluation.bags import result as examples
from adamtl_ros.evaluation.bags.result import (
    EXAMPLES,
    MIN_GAP_NS,
    Example,
    Examples,
    select_examples,
)
from adamtl_ros.tasks import TASKS

CHOSEN = {'edges': TASKS['edges']}
SECOND = 10  # frames


def chosen(shares):
    """Return shares and numbers of the frames that are kept, by the share of each frame."""
    kept = Examples('bag', CHOSEN)
    for number, share in shares:
        kept.add(seen(number), {'edges': plain(0)}, cost(share, number))
    assert all(one.bag == 'bag' for one in kept.chosen)
    return [(one.mac_fraction, (one.stamp - stamp(0)) * SECOND // 10**9) for one in kept.chosen]


def test_the_hardest_and_the_easiest():
    shares = [0.5, 0.9, 0.2, 0.4, 0.8, 0.3]
    found = chosen((SECOND * number, share) for number, share in enumerate(shares))
    assert found == [(0.9, 10), (0.8, 40), (0.2, 20), (0.3, 50)]


def test_frames_near_to_each_other_show_the_same():
    found = chosen([(0, 0.8), (5, 0.9), (9, 0.95), (19, 0.7), (40, 0.6)])
    assert found == [(0.95, 9), (0.7, 19), (0.6, 40)]


def test_each_is_shown_once():
    assert chosen([(0, 0.5)]) == [(0.5, 0)]
    assert chosen([(0, 0.5), (50, 0.7)]) == [(0.7, 50), (0.5, 0)]
    assert chosen([]) == []


def test_of_equal_ones_the_first_stay():
    assert chosen([(20 * n, 0.5) for n in range(6)]) == [(0.5, 0), (0.5, 20)]


def test_the_picture_shows_the_frame_and_its_results():
    kept = Examples('bag', CHOSEN)
    kept.add(seen(0, plain(60)[..., None].repeat(3, 2)), {'edges': plain(200)}, cost(0.5))
    (one,) = kept.chosen
    image = cv2.imdecode(np.frombuffer(one.picture, np.uint8), cv2.IMREAD_COLOR)
    height, width = image.shape[:2]
    assert width == 2 * 192
    assert abs(int(image[height // 2, width // 4].mean()) - 60) < 4
    assert abs(int(image[height // 2, 3 * width // 4].mean()) - 200) < 4


def test_the_best_of_several_recordings():
    """The same moment of two recordings is not the same."""
    found = (('a', 0, 0.5), ('a', 3, 0.9), ('b', 3, 0.8), ('b', 4, 0.7))
    every = [Example(bag, stamp(number), share, b'') for bag, number, share in found]
    assert [(one.bag, one.mac_fraction) for one in select_examples(every, sign=1)] == [
        ('a', 0.9),
        ('b', 0.8),
    ]
    assert [(one.bag, one.mac_fraction) for one in select_examples(every, sign=-1)] == [
        ('a', 0.5),
        ('b', 0.7),
    ]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 80), st.integers(1, 99)), max_size=25))
def test_the_extremes_are_kept_and_lie_apart(frames):
    """The extremes are there, and those of one end lie apart."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(examples, '_draw', lambda *_: b'')
        kept = Examples('bag', CHOSEN)
        for number, share in frames:
            kept.add(seen(number, plain(0)), {}, cost(share / 100, number))
    shares = [share / 100 for _, share in frames]
    assert [one.mac_fraction for one in kept._hard[:1]] == sorted(shares)[-1:]
    assert [one.mac_fraction for one in kept._easy[:1]] == sorted(shares)[:1]
    for end in (kept._hard, kept._easy):
        assert len(end) <= EXAMPLES
        assert all(abs(end[0].stamp - one.stamp) >= MIN_GAP_NS for one in end[1:])


def test_only_kept_frames_are_drawn(monkeypatch):
    drawn = []
    monkeypatch.setattr(examples, '_draw', lambda frame, *_: drawn.append(frame.index) or b'')
    kept = Examples('bag', CHOSEN)
    for number, share in enumerate([0.9, 0.8, 0.1, 0.2, 0.5, 0.5, 0.85]):
        kept.add(seen(20 * number), {}, cost(share, 20 * number))
    assert drawn == [0, 20, 40, 60, 120]


def test_no_picture_is_drawn_beside_a_better_one(monkeypatch):
    drawn = []
    monkeypatch.setattr(examples, '_draw', lambda frame, *_: drawn.append(frame.index) or b'')
    kept = Examples('bag', CHOSEN)
    for number, share in ((0, 0.9), (20, 0.1), (40, 0.2), (5, 0.7)):
        kept.add(seen(number), {}, cost(share, number))
    assert drawn == [0, 20, 40]
