# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Counters and times of the frames that went through the node."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import asdict, dataclass

import numpy as np


@dataclass(frozen=True)
class Counts:
    """What became of the frames since activation.

    Attributes:
        received: Arrived.
        processed: Results were published.
        dropped: Replaced by a newer frame before they were processed.
        idle: Left alone, since nobody subscribed to any task.
        refused: Could not be read, or failed in the engine.
        late: Processed, but slower than the deadline.

    """

    received: int = 0
    processed: int = 0
    dropped: int = 0
    idle: int = 0
    refused: int = 0
    late: int = 0


class Statistics:
    """Counts frames and keeps the latest latencies; for several threads."""

    def __init__(self, window: int = 100) -> None:
        """Start at zero, keeping the latencies of the last `window` frames."""
        self._lock = threading.Lock()
        self._counts = asdict(Counts())
        self._latencies: deque[float] = deque(maxlen=window)

    @property
    def counts(self) -> Counts:
        """The counters at this moment."""
        with self._lock:
            return Counts(**self._counts)

    def count(self, name: str) -> None:
        """Add one to a counter of `Counts`.

        Raises:
            ValueError: An unknown counter.

        """
        with self._lock:
            if name not in self._counts:
                names = ', '.join(self._counts)
                raise ValueError(f"unknown counter '{name}', choose from: {names}")
            self._counts[name] += 1

    def processed(self, latency_ms: float, deadline_ms: float) -> None:
        """Count a processed frame, and whether it was late; a deadline of 0 is none."""
        with self._lock:
            self._counts['processed'] += 1
            self._counts['late'] += 0 < deadline_ms < latency_ms
            self._latencies.append(latency_ms)

    def latency_percentiles(self) -> tuple[float, float]:
        """Return the median and the 95th percentile of recent latencies [ms]; NaN before any."""
        with self._lock:
            recent = list(self._latencies)
        if not recent:
            return float('nan'), float('nan')
        median, high = np.percentile(recent, [50, 95])
        return float(median), float(high)
