# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Comparison of the stream with every simple way to spend the same on the frames of a recording.

All ways see the same frames and share the answers of the network where they ask for the same. They
are scored like budgets: against ground truth, against the full network on every frame, and by their
flicker; moreover near people, where a memory leaves ghosts if it does.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from adamtl_ros.bags.reader import IssueLog
from adamtl_ros.evaluation.bags.emulated_node import StreamingScorer
from adamtl_ros.evaluation.bags.flicker import FLOW_SIZE, Flicker, backward_flow
from adamtl_ros.evaluation.bags.recording import Recording
from adamtl_ros.evaluation.bags.result import Streaming, WayResult
from adamtl_ros.evaluation.bags.scores import Scorer, Scores, TruthScores, subsample
from adamtl_ros.stream.stream import Stream, StreamSettings
from adamtl_ros.tasks import UNLABELLED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from adamtl_ros.evaluation.bags.recording import Frame
    from adamtl_ros.evaluation.bags.result import EvaluationSettings
    from adamtl_ros.runtime.engine import Engine, RawInference
    from adamtl_ros.tasks import Task

    Array = NDArray[Any]

GHOST_FRAMES = 8
"""Number of frames before in which a person counts as near."""
MEAN_WEIGHT = {1: 0.15}
"""Weight of a new answer in the plain running mean by the period of refreshes; 0.3 for others."""


@dataclass(frozen=True)
class Way:
    """Way to answer the frames of a stream.

    Attributes:
        name: Name in reports.
        budget: Mean share of the full MACs that it may spend.
        settings: Settings of a stream; None for the engine on every frame alone.

    """

    name: str
    budget: float
    settings: StreamSettings | None = None


def ways(budgets: Iterable[float]) -> list[Way]:
    """Return all ways to compare, the full network on every frame first."""
    made = [Way('full, every frame', 1.0), Way('running mean, every frame', 1.0, _plain(1))]
    for budget in budgets:
        period = max(1, round(1 / budget))
        made += [
            Way('largest rung, every frame', budget),
            Way(f'full, every {period}th held', budget, _plain(period, 1.0, warped=False)),
            Way(f'full, every {period}th warped', budget, _plain(period, 1.0)),
            Way(f'running mean, every {period}th', budget, _plain(period)),
            Way('stream', budget, StreamSettings()),
        ]
    return made


def _plain(period: int, weight: float | None = None, *, warped: bool = True) -> StreamSettings:
    """Return the settings of a way without variances and account."""
    weight = weight or MEAN_WEIGHT.get(period, 0.3)
    return StreamSettings(
        account=False, period=period, constant_weight=weight, warped=warped, mirror=False
    )


def evaluate_temporal(
    path: Path, engine: Engine, settings: EvaluationSettings, tasks: Mapping[str, Task]
) -> list[WayResult]:
    """Let all ways answer the frames of a recording.

    Args:
        path: Folder of the bag, or a single .mcap file.
        engine: Engine with the model.
        settings: Settings of the evaluation; `temporal` has the budgets.
        tasks: Tasks that run, by name.

    """
    recording = Recording(path, tasks, settings.truth_config, IssueLog())
    shared = _SharedEngine(engine)
    with_truth = {name: tasks[name] for name in recording.truth.sources}
    runs = [
        _Run(way, shared, tasks, with_truth, realtime=settings.realtime)
        for way in ways(settings.temporal)
    ]
    near = _NearPeople()
    last: Array | None = None
    for frame in recording.frames():
        gray = cv2.cvtColor(cv2.resize(frame.image, FLOW_SIZE), cv2.COLOR_RGB2GRAY)
        flow = None if last is None else backward_flow(last, gray)
        last = gray
        labels = near.add(frame.labels)
        shared.next_frame(frame.image)
        full: dict[str, Array] | None = None
        for run in runs:
            answer = run.step(frame)
            full = full or subsample(answer.results)
            position = frame.index / max(recording.expected, 1)
            run.score(frame, answer, position, full, flow)
            run.result.near_people.add(position, answer.results, labels)
    return [run.finish() for run in runs]


class _SharedEngine:
    """Engine that answers the same question about a frame once.

    Not an `Engine`, but what `Stream` needs of one.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.model, self.tasks, self.output = engine.model, engine.tasks, 'input'
        self.backend = engine.backend
        self.postprocess = engine.postprocess
        self._image: Array | None = None
        self._answers: dict[tuple[Any, ...], RawInference] = {}

    def next_frame(self, image: Array) -> None:
        self._image, self._answers = image, {}

    def infer(self, image: Array, budget: float, tasks: Iterable[str], focal: float | None) -> Any:
        key = (round(budget, 6), *tasks)
        if image is not self._image:  # mirrored
            return self._engine.infer(image, budget, tasks, focal)
        if key not in self._answers:
            self._answers[key] = self._engine.infer(image, budget, tasks, focal)
        return self._answers[key]


class _NearPeople:
    """Labels of the places where people are or were a moment ago."""

    def __init__(self) -> None:
        self._seen: deque[Array] = deque(maxlen=GHOST_FRAMES + 1)

    def add(self, labels: Mapping[str, Array]) -> dict[str, Array]:
        """Return the labels of a frame, unknown elsewhere; none without those of human parts."""
        if 'human_parts' not in labels:
            return {}
        parts = labels['human_parts']
        if self._seen and self._seen[-1].shape != parts.shape:
            self._seen.clear()
        self._seen.append((parts > 0) & (parts != UNLABELLED))
        near = np.logical_or.reduce(list(self._seen))
        return {name: _masked(label, near) for name, label in labels.items()}


def _masked(label: Array, kept: Array) -> Array:
    made = label.copy()
    made[~kept] = UNLABELLED if label.dtype == np.uint8 else np.nan
    return made


@dataclass(frozen=True)
class _Answer:
    results: dict[str, Array]
    share: float
    ms: float
    age: float
    action: str


class _Run:
    """A way under evaluation."""

    def __init__(
        self,
        way: Way,
        engine: Any,
        tasks: Mapping[str, Task],
        with_truth: Mapping[str, Task],
        *,
        realtime: bool,
    ) -> None:
        self._way, self._engine, self._tasks = way, engine, tuple(tasks)
        self._stream = None if way.settings is None else Stream(engine, way.settings)
        streaming = Streaming(Scores(tasks, with_truth)) if realtime else None
        scores = Scores(tasks, with_truth)
        self.result = WayResult(
            way.name, way.budget, scores, TruthScores(with_truth), streaming=streaming
        )
        self._scorer, self._flicker = Scorer(scores), Flicker(tasks)
        self._live = StreamingScorer(streaming, IssueLog()) if streaming else None

    def step(self, frame: Frame) -> _Answer:
        if self._stream:
            stamp = frame.stamp / 1e9
            one = self._stream.step(frame.image, stamp, self._way.budget, self._tasks, frame.focal)
            ms = one.preprocess_ms + one.infer_ms + one.postprocess_ms + one.flow_ms + one.warp_ms
            return _Answer(one.results, one.cost.fraction, ms, one.age, one.action)
        raw = self._engine.infer(frame.image, self._way.budget, self._tasks, frame.focal)
        begin = time.perf_counter()
        results = self._engine.postprocess(raw.maps, frame.image.shape[:2])
        ms = raw.preprocess_ms + raw.infer_ms + 1000 * (time.perf_counter() - begin)
        return _Answer(results, raw.cost.fraction, ms, 0.0, 'refreshed')

    def score(
        self,
        frame: Frame,
        answer: _Answer,
        position: float,
        full: dict[str, Array],
        flow: tuple[Array, Array] | None,
    ) -> None:
        result = self.result
        result.stamps.append(frame.stamp / 1e9)
        result.shares.append(answer.share)
        result.ms.append(answer.ms)
        result.ages.append(answer.age)
        result.actions[answer.action] += 1
        self._scorer.add(position, answer.results, full, frame.labels)
        self._flicker.add(answer.results, flow)
        if self._live:
            latency = answer.ms + frame.decode_ms
            self._live.add(frame, latency, answer.results, position, full)

    def finish(self) -> WayResult:
        self.result.flicker = self._flicker.compute()
        if self._live:
            self._live.finish()
        return self.result
