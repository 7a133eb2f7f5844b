# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What a live node answered to a recording that was played to it, from what was recorded then."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from rosbags.image import message_to_cvimage

from adamtl_ros.bags.ground_truth import TruthConfig
from adamtl_ros.bags.reader import BagError, IssueLog, bag_name, open_bag
from adamtl_ros.bags.stamp_index import StampIndex
from adamtl_ros.bags.writer import STATS
from adamtl_ros.evaluation.bags.process import prefetch
from adamtl_ros.evaluation.bags.recording import Recording
from adamtl_ros.evaluation.bags.result import (
    BagResult,
    BudgetResult,
    FrameCost,
    Streaming,
    UsageMap,
    bag_digest,
)
from adamtl_ros.evaluation.bags.scores import Scorer, Scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Results = dict[str, NDArray[np.generic]]
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from rosbags.highlevel import AnyReader

    from adamtl_ros.evaluation.bags.recording import Frame
    from adamtl_ros.evaluation.bags.result import EvaluationSettings
    from adamtl_ros.nn.swin.architecture import Architecture
    from adamtl_ros.tasks import Task

    Results = dict[str, NDArray[Any]]


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


def evaluate_live(
    path: Path,
    recorded: Path,
    settings: EvaluationSettings,
    tasks: Mapping[str, Task],
    arch: Architecture,
    progress: Callable[[], object] | None = None,
) -> BagResult:
    """Score what a node published while a bag was played to it.

    Answers belong to the image with the same header stamp. Images without one were dropped. The
    one row of the result has the mean budget of the answers.

    Args:
        path: The bag that was played.
        recorded: A bag with the node's results and `compute_stats`.
        settings: Topics and classes.
        tasks: Tasks with the classes of the model that ran.
        arch: Its architecture.
        progress: Called after each frame.

    Raises:
        BagError: A bag that cannot be read, or without results of a node.
        ValueError: Classes that the model does not have.

    """
    begun = time.perf_counter()
    notes = IssueLog()
    wanted = TruthConfig(settings.camera, settings.truth, settings.classes)
    with open_bag(recorded) as reader:
        answers = _Answers(recorded, reader)
        tasks = {name: task for name, task in tasks.items() if name in answers.tasks}
        recording = Recording(path, tasks, wanted, notes)
        result = BagResult(bag_name(path), bag_digest(path), notes, recording.camera)
        result.expected = recording.expected
        result.origins = {task: s.origin for task, s in recording.truth.sources.items()}
        truth = {name: tasks[name] for name in recording.truth.sources}
        scored = _Live(tasks, truth, arch, notes)
        for frame in prefetch(recording.frames()):
            scored.take(frame, frame.index / max(recording.expected, 1), answers, reader)
            if progress:
                progress()
    result.frames = len(scored.result.costs)
    result.budgets = [scored.result] if result.frames else []
    result.labelled = dict(scored.result.scores.truth.labelled)
    result.wall_s = time.perf_counter() - begun
    if not result.frames:
        result.failure = f'{recorded} has no answer with the stamp of an image of {path}'
    return result


class _Answers:
    """Results and statistics of a node, by stamp."""

    def __init__(self, path: Path, reader: AnyReader) -> None:
        topics = sorted(c.topic for c in reader.connections if c.msgtype == STATS and c.msgcount)
        if not topics:
            raise BagError(f'{path} has no {STATS}: record ~/compute_stats and ~/<task>/image')
        prefix = topics[0].removesuffix('/compute_stats')
        there = {c.topic for c in reader.connections}
        found = [topic.split('/')[-2] for topic in there if topic.startswith(f'{prefix}/')]
        self._stats = topics[0]
        self.tasks = {task: f'{prefix}/{task}/image' for task in found}
        self.tasks = {task: topic for task, topic in self.tasks.items() if topic in there}
        self._messages = StampIndex(reader, [self._stats, *self.tasks.values()])

    def of(self, reader: AnyReader, stamp: int) -> tuple[Any, Results] | None:
        """Return the statistics and the results that belong to an image."""
        stats = self._messages.read(reader, self._stats, stamp)
        if stats is None or not stats.tasks:
            return None
        messages = {t: self._messages.read(reader, topic, stamp) for t, topic in self.tasks.items()}
        known = {task: message for task, message in messages.items() if message is not None}
        return stats, {task: message_to_cvimage(message) for task, message in known.items()}


class _Live:
    """Scores answers, and what was known when each image came."""

    def __init__(
        self,
        tasks: Mapping[str, Task],
        truth: Mapping[str, Task],
        arch: Architecture,
        notes: IssueLog,
    ) -> None:
        self._notes = notes
        streaming = Streaming(Scores(tasks, truth))
        self.result = BudgetResult(
            math.nan, Scores(tasks, truth), [], UsageMap(arch), streaming, live=True
        )
        self._scorer, self._known = Scorer(self.result.scores), Scorer(streaming.scores)
        self._streaming = streaming
        self._pending: list[tuple[int, Results]] = []
        self._newest: Results | None = None
        self._budgets: list[float] = []

    def take(self, frame: Frame, place: float, answers: _Answers, reader: AnyReader) -> None:
        """Score the answer to an image, if there is one, and what was known when it came."""
        found = answers.of(reader, frame.stamp)
        if found is None:
            self._streaming.dropped += 1
        else:
            stats, results = found
            age_ms = stats.age_ms if math.isfinite(stats.age_ms) else stats.latency_ms
            self._streaming.ages_ms.append(age_ms)
            self._pending.append((frame.recorded + round(age_ms * 1e6), results))
            self._scorer.add(place, results, None, self._fitting(frame, results))
            self._budgets.append(stats.effective_budget)
            self.result.budget = float(np.mean(self._budgets))
            self.result.costs.append(_cost(stats, frame.stamp))
        ready = [results for time, results in self._pending if time <= frame.recorded]
        self._pending = [entry for entry in self._pending if entry[0] > frame.recorded]
        self._newest = ready[-1] if ready else self._newest
        if self._newest is None:
            self._streaming.blind += 1
        else:
            self._known.add(place, self._newest, None, self._fitting(frame, self._newest))

    def _fitting(self, frame: Frame, results: Results) -> dict[str, NDArray[Any]]:
        """Return the labels that lie on a result."""
        labels = {task: truth for task, truth in frame.labels.items() if task in results}
        for task in [t for t, truth in labels.items() if results[t].shape != truth.shape]:
            sizes = f'{results[task].shape[:2]} and {labels.pop(task).shape[:2]}'
            what = f'{sizes} at {frame.stamp} ns; run the node with output_size: input'
            self._notes.add(f'results of {task} are not of the size of the image', what)
        return labels


def _cost(stats: Any, stamp: int) -> FrameCost:  # noqa: ANN401
    return FrameCost(
        stamp=stamp,
        macs=stats.macs,
        macs_full=stats.macs_full,
        blocks_run=stats.blocks_run,
        windows_run=stats.windows_run,
        decode_ms=stats.decode_ms,
        preprocess_ms=stats.preprocess_ms,
        infer_ms=stats.infer_ms,
        postprocess_ms=stats.postprocess_ms,
        energy_j=stats.energy,
    )
