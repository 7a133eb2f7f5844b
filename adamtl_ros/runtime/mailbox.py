# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A mailbox with one slot: the newest frame wins."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar('T')


class Mailbox(Generic[T]):
    """Hands the newest item from one thread to another and tells of what it replaced.

    A queue would give the worker frames that are already old: at 30 Hz with 80 ms of work, a
    queue of ten makes results 404 ms old, one slot 96 ms.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._item: T | None = None
        self._closed = False

    def put(self, item: T) -> bool:
        """Leave an item in place of one that still waits.

        Returns:
            Whether an item was dropped: the one that waited, or this one if the mailbox is
            closed.

        """
        with self._condition:
            drops = self._closed or self._item is not None
            if not self._closed:
                self._item = item
                self._condition.notify()
            return drops

    def take(self, timeout: float | None = None) -> T | None:
        """Wait for an item and take it.

        Args:
            timeout: Seconds to wait; for ever if not given.

        Returns:
            The newest item; None after the timeout or once the mailbox is closed.

        """
        with self._condition:
            self._condition.wait_for(lambda: self._item is not None or self._closed, timeout)
            item, self._item = self._item, None
            return item

    def close(self) -> bool:
        """Wake whoever waits; from now on nothing can be put or taken.

        Returns:
            Whether an item still waited and was dropped.

        """
        with self._condition:
            dropped = self._item is not None
            self._item = None
            self._closed = True
            self._condition.notify_all()
            return dropped
