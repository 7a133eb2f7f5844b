# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Counters and latencies of the frames of a camera."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import asdict, dataclass

import numpy as np


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
