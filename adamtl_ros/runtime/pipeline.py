# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Work that goes on beside the network: what comes before it, and what comes after it."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType
    from typing import Self

Item = TypeVar('Item')


def ahead(items: Iterable[Item], depth: int = 2) -> Iterator[Item]:
    """Yield items in order, made by a thread of their own, so many of them ahead."""
    end: Any = object()
    iterator = iter(items)
    with ThreadPoolExecutor(1) as pool:
        coming = deque(pool.submit(next, iterator, end) for _ in range(depth))
        while (item := coming.popleft().result()) is not end:
            coming.append(pool.submit(next, iterator, end))
            yield item


class Behind:
    """Calls a function in order in a thread of its own, at most so many calls behind.

    Leaving the `with` block waits for the last call. An error of a call is raised by a later
    `put()`, or there.
    """

    def __init__(self, function: Callable[..., object], depth: int = 2) -> None:
        """Take the function; nobody else may call it meanwhile."""
        self._function, self._depth = function, depth
        self._pool = ThreadPoolExecutor(1)
        self._pending: deque[Future[object]] = deque()

    def put(self, *arguments: object) -> None:
        """Call it with these arguments; waits while it is too far behind."""
        while len(self._pending) >= self._depth:
            self._pending.popleft().result()
        self._pending.append(self._pool.submit(self._function, *arguments))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=kind is not None)
        if kind is None:
            for future in self._pending:
                future.result()
