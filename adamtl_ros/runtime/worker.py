# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Hand-over of frames to the worker thread: mailbox, worker, and counters."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar('T')


class Mailbox(Generic[T]):
    """Thread-safe mailbox with one slot per sender; a newer item replaces a waiting one.

    A queue would give the worker frames that are already old: at 30 Hz with 80 ms of work, a
    queue of ten makes results 404 ms old, one slot 96 ms. Senders are served in turn, the least
    recently served first, so that a fast sender cannot starve a slow one.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._waiting: dict[str, T] = {}
        self._served: dict[str, int] = {}
        self._closed = False

    def put(self, item: T, sender: str = '') -> bool:
        """Put an item into the slot of its sender.

        Args:
            item: Item to deliver.
            sender: Name of the sender.

        Returns:
            Whether an item was dropped: the replaced one, or this one if the mailbox is closed.

        """
        with self._condition:
            dropped = self._closed or sender in self._waiting
            if not self._closed:
                self._waiting[sender] = item
                self._condition.notify()
            return dropped

    def take(self, timeout: float | None = None) -> T | None:
        """Wait for an item and remove it.

        Args:
            timeout: Longest time to wait [s]; no limit if not given.

        Returns:
            Item of the least recently served sender; None after the timeout or once the
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
        """Drop the waiting items and wake the waiting thread; the mailbox accepts nothing more.

        Returns:
            Dropped items.

        """
        with self._condition:
            dropped = list(self._waiting.values())
            self._waiting = {}
            self._closed = True
            self._condition.notify_all()
            return dropped


SLICE_S = 0.1
"""Longest wait before the period is read again [s]."""


class Worker(Generic[T]):
    """Thread that takes items from its mailbox and handles them one at a time."""

    def __init__(
        self,
        handle: Callable[[T], None],
        min_period: Callable[[], float],
        name: str = 'adamtl-worker',
        on_failure: Callable[[Exception], None] | None = None,
    ) -> None:
        """Create the thread; `start()` starts it.

        Args:
            handle: Function called with each item.
            min_period: Function that returns the shortest time between two calls of `handle`
                [s]; evaluated before every call.
            name: Name of the thread.
            on_failure: Function called with an exception of `handle`, after which the thread
                goes on; by default it is logged.

        """
        self._on_failure = on_failure or _log_failure
        self.mailbox: Mailbox[T] = Mailbox()
        self._handle = handle
        self._min_period = min_period
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> list[T]:
        """Finish the current item, drop the waiting ones and end the thread.

        Returns:
            Dropped items.

        """
        self._stopping.set()
        dropped = self.mailbox.close()
        self._thread.join()
        return dropped

    def _run(self) -> None:
        started = float('-inf')
        while not self._stopping.is_set():
            remaining = started + self._min_period() - time.monotonic()
            if remaining > 0:
                # In slices, so that a shorter period takes effect while a long one runs.
                self._stopping.wait(min(remaining, SLICE_S))
                continue
            item = self.mailbox.take()
            if item is not None:
                started = time.monotonic()
                self._handle_safely(item)

    def _handle_safely(self, item: T) -> None:
        try:
            self._handle(item)
        except Exception as error:  # noqa: BLE001  without its thread the process does nothing
            self._on_failure(error)


def _log_failure(error: Exception) -> None:
    logging.getLogger(__name__).error('A frame failed', exc_info=error)


@dataclass(frozen=True)
class FrameCounts:
    """Numbers of frames since activation.

    Attributes:
        received: Frames that arrived.
        processed: Frames whose results were published.
        dropped: Frames replaced by a newer one before they were processed.
        idle: Frames ignored because no task had a subscriber.
        refused: Frames that could not be decoded, or failed in the engine.
        late: Processed frames with a latency above the deadline.

    """

    received: int = 0
    processed: int = 0
    dropped: int = 0
    idle: int = 0
    refused: int = 0
    late: int = 0


class FrameCounters:
    """Counters of frames and a window of latencies; thread-safe."""

    def __init__(self, window: int = 100) -> None:
        """Start at zero; `window` is the number of latencies kept."""
        self._lock = threading.Lock()
        self._counts = asdict(FrameCounts())
        self._latencies: deque[float] = deque(maxlen=window)

    @property
    def counts(self) -> FrameCounts:
        """Current numbers."""
        with self._lock:
            return FrameCounts(**self._counts)

    def count(self, name: str) -> None:
        """Increment a counter of `FrameCounts`.

        Raises:
            ValueError: Unknown counter.

        """
        with self._lock:
            if name not in self._counts:
                names = ', '.join(self._counts)
                raise ValueError(f"unknown counter '{name}', choose from: {names}")
            self._counts[name] += 1

    def count_processed(self, latency_ms: float, deadline_ms: float) -> None:
        """Count a processed frame, also as late if it missed the deadline; 0: no deadline."""
        with self._lock:
            self._counts['processed'] += 1
            self._counts['late'] += 0 < deadline_ms < latency_ms
            self._latencies.append(latency_ms)

    def latency_percentiles(self) -> tuple[float, float]:
        """Return the median and the 95th percentile of the kept latencies [ms]; NaN if none."""
        with self._lock:
            recent = list(self._latencies)
        if not recent:
            return float('nan'), float('nan')
        median, high = np.percentile(recent, [50, 95])
        return float(median), float(high)
