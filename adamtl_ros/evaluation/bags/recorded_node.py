# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Evaluation of a live node from the recording of its results, while a bag was played to it."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from rosbags.image import message_to_cvimage

from adamtl_ros.bags.reader import BagError, IssueLog, StampIndex, bag_name, open_bag
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
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from rosbags.highlevel import AnyReader

    from adamtl_ros.evaluation.bags.recording import Frame
    from adamtl_ros.evaluation.bags.result import EvaluationSettings
    from adamtl_ros.nn.architecture import Architecture
    from adamtl_ros.tasks import Task

    Results = dict[str, NDArray[Any]]


def evaluate_recorded_node(
    path: Path,
    recorded: Path,
    settings: EvaluationSettings,
    tasks: Mapping[str, Task],
    arch: Architecture,
    progress: Callable[[], object] | None = None,
) -> BagResult:
    """Score the results that a node published while a bag was played to it.

    Results belong to the image with the same header stamp; images without results were dropped.
    The result has one row, at the mean budget of the node.

    Args:
        path: Bag that was played.
        recorded: Bag with the results of the node and its `compute_stats`.
        settings: Topics and classes.
        tasks: Tasks of the model that ran, by name.
        arch: Architecture of that model.
        progress: Callback after each frame.

    Raises:
        BagError: A bag cannot be read, or has no results of a node.
        ValueError: Classes that the model does not have.

    """
    started = time.perf_counter()
    issues = IssueLog()
    with open_bag(recorded) as reader:
        outputs = _NodeOutputs(recorded, reader)
        tasks = {name: task for name, task in tasks.items() if name in outputs.tasks}
        recording = Recording(path, tasks, settings.truth_config, issues)
        result = BagResult(bag_name(path), bag_digest(path), issues, recording.camera)
        result.expected = recording.expected
        result.origins = {task: s.origin for task, s in recording.truth.sources.items()}
        with_truth = {name: tasks[name] for name in recording.truth.sources}
        scorer = _NodeScorer(tasks, with_truth, arch, issues)
        for frame in prefetch(recording.frames()):
            position = frame.index / max(recording.expected, 1)
            scorer.add(frame, position, outputs.read(reader, frame.stamp))
            if progress:
                progress()
    result.frames = len(scorer.result.costs)
    result.budgets = [scorer.result] if result.frames else []
    result.labelled = dict(scorer.result.scores.truth.labelled)
    result.wall_s = time.perf_counter() - started
    if not result.frames:
        result.failure = f'{recorded} has no results with the header stamp of any image of {path}'
    return result


class _NodeOutputs:
    """Recorded results and statistics of a node, by header stamp."""

    def __init__(self, path: Path, reader: AnyReader) -> None:
        topics = sorted(c.topic for c in reader.connections if c.msgtype == STATS and c.msgcount)
        if not topics:
            raise BagError(f'{path} has no {STATS}: record ~/compute_stats and ~/<task>/image')
        prefix = topics[0].removesuffix('/compute_stats')
        recorded = {c.topic for c in reader.connections}
        names = [topic.split('/')[-2] for topic in recorded if topic.startswith(f'{prefix}/')]
        self._stats = topics[0]
        self.tasks = {task: f'{prefix}/{task}/image' for task in names}
        self.tasks = {task: topic for task, topic in self.tasks.items() if topic in recorded}
        self._messages = StampIndex(reader, [self._stats, *self.tasks.values()])

    def read(self, reader: AnyReader, stamp: int) -> tuple[Any, Results] | None:
        """Return the statistics and results of the image with a stamp; None if it was dropped."""
        stats = self._messages.read(reader, self._stats, stamp)
        if stats is None or not stats.tasks:
            return None
        messages = {t: self._messages.read(reader, topic, stamp) for t, topic in self.tasks.items()}
        known = {task: message for task, message in messages.items() if message is not None}
        return stats, {task: message_to_cvimage(message) for task, message in known.items()}


class _NodeScorer:
    """Scores the results of each image, and those that were known when it arrived."""

    def __init__(
        self,
        tasks: Mapping[str, Task],
        with_truth: Mapping[str, Task],
        arch: Architecture,
        issues: IssueLog,
    ) -> None:
        self._issues = issues
        scores, streaming = Scores(tasks, with_truth), Streaming(Scores(tasks, with_truth))
        self.result = BudgetResult(
            math.nan, scores, [], UsageMap(arch), streaming, from_recorded_node=True
        )
        self._scorer, self._known = Scorer(self.result.scores), Scorer(streaming.scores)
        self._streaming = streaming
        self._pending: list[tuple[int, Results]] = []
        self._newest: Results | None = None
        self._budgets: list[float] = []

    def add(self, frame: Frame, position: float, outputs: tuple[Any, Results] | None) -> None:
        """Score a frame.

        Args:
            frame: Frame of the recording.
            position: Position in the recording, 0..1.
            outputs: Statistics and results of the frame; None if the node dropped it.

        """
        if outputs is None:
            self._streaming.dropped += 1
        else:
            stats, results = outputs
            age_ms = stats.age_ms if math.isfinite(stats.age_ms) else stats.latency_ms
            self._streaming.ages_ms.append(age_ms)
            self._pending.append((frame.recorded + round(age_ms * 1e6), results))
            self._scorer.add(position, results, None, self._matching_labels(frame, results))
            self._budgets.append(stats.effective_budget)
            self.result.budget = float(np.mean(self._budgets))
            cost = FrameCost.from_records(stats, stats, frame.stamp, stats.decode_ms, stats.energy)
            self.result.costs.append(cost)
        ready = [results for time, results in self._pending if time <= frame.recorded]
        self._pending = [entry for entry in self._pending if entry[0] > frame.recorded]
        self._newest = ready[-1] if ready else self._newest
        if self._newest is None:
            self._streaming.blind += 1
        else:
            labels = self._matching_labels(frame, self._newest)
            self._known.add(position, self._newest, None, labels)

    def _matching_labels(self, frame: Frame, results: Results) -> dict[str, NDArray[Any]]:
        """Return the labels of the size of their results."""
        labels = {task: truth for task, truth in frame.labels.items() if task in results}
        for task in [t for t, truth in labels.items() if results[t].shape != truth.shape]:
            sizes = f'{results[task].shape[:2]} and {labels.pop(task).shape[:2]}'
            example = f'{sizes} at {frame.stamp} ns; run the node with output_size: input'
            self._issues.add(f'results of {task} are not of the size of the image', example)
        return labels
