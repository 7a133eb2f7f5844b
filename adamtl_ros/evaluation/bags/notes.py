# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What was wrong with a recording: each kind counted, with an example."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class Notes:
    """Messages by kind, how often each came, and what the first one said."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, str]] = {}

    def add(self, kind: str, example: str) -> None:
        """Count a message.

        Args:
            kind: What happened, the same words each time.
            example: Where, and what to do.

        """
        count, first = self._found.get(kind, (0, example))
        self._found[kind] = (count + 1, first)

    def count(self, kind: str) -> int:
        """Return how often a message came."""
        return self._found.get(kind, (0, ''))[0]

    def __iter__(self) -> Iterator[str]:
        """Give a line for each kind."""
        for kind, (count, first) in self._found.items():
            yield f'{kind} ({count}x): {first}' if count > 1 else f'{kind}: {first}'

    def __len__(self) -> int:
        return len(self._found)

    def to_list(self) -> list[dict[str, Any]]:
        """Return what JSON can hold."""
        return [
            {'what': kind, 'count': count, 'example': first}
            for kind, (count, first) in self._found.items()
        ]
