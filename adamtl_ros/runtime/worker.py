# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A thread that runs what takes long, so that nothing else ever waits for it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar('T')


class Mailbox(Generic[T]):
    """Hands the newest items from some threads to another and tells of what they replaced.

    A queue would give the worker frames that are already old: at 30 Hz with 80 ms of work, a
    queue of ten makes results 404 ms old, one slot 96 ms. Whoever was served longest ago comes
    first, so that a fast sender cannot starve a slow one.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._waiting: dict[str, T] = {}
        self._served: dict[str, int] = {}
        self._closed = False

    def put(self, item: T, sender: str = '') -> bool:
        """Leave an item in place of one of the same sender that still waits.

        Returns:
            Whether an item was dropped: the one that waited, or this one if the mailbox is
            closed.

        """
        with self._condition:
            drops = self._closed or sender in self._waiting
            if not self._closed:
                self._waiting[sender] = item
                self._condition.notify()
            return drops

    def take(self, timeout: float | None = None) -> T | None:
        """Wait for an item and take it.

        Args:
            timeout: Seconds to wait; for ever if not given.

        Returns:
            The newest item of the sender whose turn it is; None after the timeout or once the
            mailbox is closed.

        """
        with self._condition:
            self._condition.wait_for(lambda: self._waiting or self._closed, timeout)
            if not self._waiting:
                return None
            sender = min(self._waiting, key=lambda name: self._served.get(name, -1))
            self._served[sender] = 1 + max(self._served.values(), default=0)
            return self._waiting.pop(sender)

    def close(self) -> list[T]:
        """Wake whoever waits; from now on nothing can be put or taken.

        Returns:
            The items that still waited and were dropped.

        """
        with self._condition:
            dropped = list(self._waiting.values())
            self._waiting = {}
            self._closed = True
            self._condition.notify_all()
            return dropped


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
