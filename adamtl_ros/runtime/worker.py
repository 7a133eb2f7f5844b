# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A thread that runs what takes long, so that nothing else ever waits for it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Generic, TypeVar

from adamtl_ros.runtime.mailbox import Mailbox

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar('T')

SLICE_S = 0.1


class Worker(Generic[T]):
    """Takes the newest item of its mailbox, handles it, and again, on a thread of its own."""

    def __init__(
        self,
        handle: Callable[[T], None],
        min_period: Callable[[], float],
        name: str = 'adamtl-worker',
    ) -> None:
        """Prepare; `start()` starts it.

        Args:
            handle: Called with each item taken. An exception ends the worker, so it must
                deal with its own.
            min_period: Gives the seconds from one start of work to the next; it may change at
                any time.
            name: Of the thread.

        """
        self.mailbox: Mailbox[T] = Mailbox()
        self._handle = handle
        self._min_period = min_period
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> list[T]:
        """Let the item in work finish, drop those that wait, and end the thread.

        Returns:
            The items that waited.

        """
        self._stopping.set()
        dropped = self.mailbox.close()
        self._thread.join()
        return dropped

    def _run(self) -> None:
        started = float('-inf')
        while not self._stopping.is_set():
            early = started + self._min_period() - time.monotonic()
            if early > 0:
                # In slices, so that a shorter period takes effect while a long one runs.
                self._stopping.wait(min(early, SLICE_S))
                continue
            item = self.mailbox.take()
            if item is not None:
                started = time.monotonic()
                self._handle(item)
