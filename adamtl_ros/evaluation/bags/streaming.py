# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What a live node would have known of each frame when it arrived.

Streaming accuracy after Li, Wang and Ramanan, "Towards streaming perception", 2020, section 3.1:
each frame's truth is compared with the newest answer that is ready at that time.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Results = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Answer:
    """What is made of a frame, and when.

    Attributes:
        arrived: When the frame arrived [ns].
        latency: How long it takes to make [ns], without waiting.
        results: By task.

    """

    arrived: int
    latency: int
    results: Results


@dataclass
class EmulatedNode:
    """A worker with a one-slot mailbox, as in the node, in the time of the recording.

    Attributes:
        dropped: Frames that a newer one replaced before they were processed.
        ages_ms: Of each answer when it was ready, from the arrival of its frame.
        newest: Results of the newest answer that is ready; None before the first.

    """

    dropped: int = 0
    ages_ms: list[float] = field(default_factory=list)
    newest: Results | None = None
    _working: tuple[int, Answer] | None = None
    _waiting: Answer | None = None
    _last: int = -(2**63)

    def arrive(self, answer: Answer) -> Results | None:
        """Let a frame arrive, with the answer that will be made of it if there is time.

        Frames arrive in order; one that seems to come before the last one comes with it.

        Returns:
            The results that are known at that moment.

        """
        now = self._last = max(answer.arrived, self._last)
        answer = replace(answer, arrived=now)
        self._work_until(now)
        if self._working is None:
            self._working = (now + answer.latency, answer)
            self._work_until(now)
        else:
            self.dropped += self._waiting is not None
            self._waiting = answer
        return self.newest

    def finish(self) -> None:
        """Let the node finish what it has, after the last frame."""
        while self._working:
            self._work_until(self._working[0])

    def _work_until(self, now: int) -> None:
        while self._working and self._working[0] <= now:
            ready, answer = self._working
            self.ages_ms.append((ready - answer.arrived) / 1e6)
            self.newest = answer.results
            self._working = None
            if self._waiting:
                following, self._waiting = self._waiting, None
                self._working = (max(ready, following.arrived) + following.latency, following)
