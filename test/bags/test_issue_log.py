# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What was wrong, counted by kind."""

import json

from hypothesis import given
from hypothesis import strategies as st

from adamtl_ros.bags.reader import IssueLog


def test_a_kind_is_told_once_with_its_first_example():
    notes = IssueLog()
    for number in range(3):
        notes.add('image cannot be read', f'image {number}')
    notes.add('bag is damaged', 'at the end')
    assert list(notes) == ['image cannot be read (3x): image 0', 'bag is damaged: at the end']
    assert len(notes) == 2
    assert (notes.count('image cannot be read'), notes.count('something else')) == (3, 0)


@given(st.lists(st.tuples(st.sampled_from('abc'), st.text(max_size=3))))
def test_nothing_is_lost_in_json(said):
    notes = IssueLog()
    for kind, example in said:
        notes.add(kind, example)
    there = json.loads(json.dumps(notes.to_list()))
    assert sum(entry['count'] for entry in there) == len(said)
    first = {}
    for kind, example in said:
        first.setdefault(kind, example)
    assert {entry['what']: entry['example'] for entry in there} == first
    assert len(list(notes)) == len(notes) == len(first)
