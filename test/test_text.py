# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Text of unknown origin: whatever it is, one short line without control characters."""

from hypothesis import given
from hypothesis import strategies as st

from adamtl_ros.text import LINE_LIMIT, QUOTE_LIMIT, one_line, quote, reason

VALUES = st.recursive(
    st.none() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_a_quote_is_short_and_can_be_printed(value):
    quoted = quote(value)
    assert len(quoted) <= QUOTE_LIMIT
    assert quoted.isprintable()
    if isinstance(value, str) and len(repr(value)) <= QUOTE_LIMIT:
        assert quoted == repr(value)


@given(st.text(alphabet=st.characters()))
def test_a_line_is_one_line(text):
    line = one_line(text)
    assert len(line) <= LINE_LIMIT
    assert line.isprintable()
    if text.isprintable() and len(text) <= LINE_LIMIT:
        assert line == text


def test_by_hand():
    assert one_line('a\n\x1b[31mb\u202e') == r'a\n\x1b[31mb\u202e'
    assert quote('é"\n') == "'é\"\\n'"
    assert quote('a' * 100) == "'" + 'a' * 76 + '...'
    assert one_line('a' * 401) == 'a' * 397 + '...'


def test_nested_references_are_not_written_out():
    """Ten references to ten references, and so on: 10^30 entries."""
    value = [0] * 10
    for _ in range(30):
        value = [value] * 10
    assert len(quote(value)) <= QUOTE_LIMIT


def test_an_integer_that_python_does_not_write():
    assert quote(10**5000) == '<int>'


def test_reasons():
    assert reason(ValueError('a sentence')) == 'a sentence'
    assert reason(KeyError('name')) == "KeyError: 'name'"
    assert reason(MemoryError()) == 'MemoryError'
    assert reason(ValueError()) == 'ValueError'
    assert reason(RuntimeError('out of\nmemory')) == r'RuntimeError: out of\nmemory'
