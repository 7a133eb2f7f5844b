# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Text of unknown origin for logs, diagnostics and reports: short, and on one line.

A message, a file or another process may hold any text: megabytes, new lines that look like log
lines of their own, or control sequences of a terminal. It is never printed as it is.
"""

from __future__ import annotations

import reprlib

QUOTE_LIMIT = 80
"""Largest number of characters of a quoted text."""
LINE_LIMIT = 400
"""Largest number of characters of a message that may hold such text."""
CUT = '...'

_short = reprlib.Repr()
_short.maxlevel, _short.maxstring, _short.maxother, _short.maxlong = 3, 40, 40, 40


def quote(value: object, limit: int = QUOTE_LIMIT) -> str:
    r"""Return a value as Python writes it, cut at a number of characters.

    Containers are cut before they are written, since a few references of YAML make a text of
    gigabytes.

    Examples:
        >>> quote('rgb8'), quote('rgb8\n[ERROR] on fire')
        ("'rgb8'", "'rgb8\\n[ERROR] on fire'")

    """
    try:
        text = repr(value[: limit + 1]) if isinstance(value, (str, bytes)) else _short.repr(value)
    except ValueError:  # an integer of more digits than Python writes
        text = f'<{type(value).__name__}>'
    return text if len(text) <= limit else text[: limit - len(CUT)] + CUT


def one_line(text: object, limit: int = LINE_LIMIT) -> str:
    """Return a message with control characters escaped, cut at a number of characters."""
    start = str(text)[: limit + 1]
    line = ''.join(one if one.isprintable() else repr(one)[1:-1] for one in start)
    return line if len(line) <= limit else line[: limit - len(CUT)] + CUT


def reason(error: BaseException) -> str:
    """Return what an exception says as one line, with its type where its text needs it.

    The messages of this package are `ValueError`s and sentences.
    """
    said = str(error).strip()
    known = isinstance(error, (ValueError, OSError)) and said
    return one_line(said if known else f'{type(error).__name__}: {said}'.rstrip(': '))
