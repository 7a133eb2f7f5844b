# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Emulation of a live node in the time of a recording: dropped frames, ages, and stale answers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from adamtl_ros.evaluation.bags.scores import Scorer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from adamtl_ros.bags.reader import IssueLog
    from adamtl_ros.evaluation.bags.recording import Frame
    from adamtl_ros.evaluation.bags.result import Streaming

    Results = dict[str, NDArray[Any]]

MIN_LATENCY_MS = 0.05
"""Lower bound of an emulated latency; below any real one, but not zero."""


@dataclass(frozen=True)
class TimedResults:
    """Results of a frame with the times at which a node would have them.

    Attributes:
        arrived: Arrival of the frame [ns].
        latency: Processing time without waiting [ns].
        results: Results by task.

    """

    arrived: int
    latency: int
    results: Results


@dataclass
class EmulatedNode:
    """Emulation of the node's worker with its one-slot mailbox, in the time of the recording.

    Attributes:
        dropped: Frames that a newer one replaced before they were processed.
        ages_ms: Age of each result when it was ready, from the arrival of its frame.
        newest: Newest results that are ready; None before the first.

    """

    dropped: int = 0
    ages_ms: list[float] = field(default_factory=list)
    newest: Results | None = None
    _running: tuple[int, TimedResults] | None = None
    _waiting: TimedResults | None = None
    _last: int = -(2**63)

    def arrive(self, frame: TimedResults) -> Results | None:
        """Let a frame arrive, with the results that it will give if it is processed.

        Frames arrive in order; one stamped before its predecessor arrives together with it.

        Returns:
            Newest results that are ready at that moment.

        """
        now = self._last = max(frame.arrived, self._last)
        frame = replace(frame, arrived=now)
        self._advance(now)
        if self._running is None:
            self._running = (now + frame.latency, frame)
            self._advance(now)
        else:
            self.dropped += self._waiting is not None
            self._waiting = frame
        return self.newest

    def finish(self) -> None:
        """Process the remaining frames after the last arrival."""
        while self._running:
            self._advance(self._running[0])

    def _advance(self, now: int) -> None:
        while self._running and self._running[0] <= now:
            ready, frame = self._running
            self.ages_ms.append((ready - frame.arrived) / 1e6)
            self.newest = frame.results
            self._running = None
            if self._waiting:
                following, self._waiting = self._waiting, None
                self._running = (max(ready, following.arrived) + following.latency, following)


class StreamingScorer:
    """Emulated node at one budget; scores the newest finished results at each arrival."""

    def __init__(self, streaming: Streaming, issues: IssueLog) -> None:
        """Start before the first frame.

        Args:
            streaming: Performance to fill.
            issues: Log of what cannot be scored.

        """
        self._streaming, self._node, self._issues = streaming, EmulatedNode(), issues
        self._scorer = Scorer(streaming.scores)

    def add(
        self, frame: Frame, latency_ms: float, results: Results, position: float, full: Results
    ) -> None:
        """Let a frame arrive.

        Args:
            frame: Frame of the recording.
            latency_ms: Time in which its results are computed [ms].
            results: Its results by task.
            position: Position in the recording, 0..1.
            full: Results at full budget by task, subsampled.

        """
        latency = round(max(latency_ms, MIN_LATENCY_MS) * 1e6)
        known = self._node.arrive(TimedResults(frame.recorded, latency, results))
        if known is None:
            self._streaming.blind += 1
        elif all(known[task].shape[:2] == frame.image.shape[:2] for task in known):
            self._scorer.add(position, known, full, frame.labels)
        else:
            example = f'image {frame.index}; the last result has another size and is not scored'
            self._issues.add('frame size changes under the emulated node', example)

    def finish(self) -> None:
        """Complete the performance after the last frame."""
        self._node.finish()
        self._streaming.dropped = self._node.dropped
        self._streaming.ages_ms = self._node.ages_ms
