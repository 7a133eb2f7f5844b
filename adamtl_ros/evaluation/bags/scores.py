# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Scores of the results at one budget, as sums over frames that merge exactly.

`Scores` holds them; a `Scorer` adds the frames of a recording. Three comparisons: with ground
truth (`TruthScores`), and with the results at full budget and those of the frame before
(`DifferenceRates`).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from math import cos, isnan, nan, radians
from struct import pack
from typing import TYPE_CHECKING, Any

import numpy as np

from adamtl_ros.evaluation.bags.confidence import JackknifeSamples
from adamtl_ros.evaluation.metrics import MeanIoU, metric_for
from adamtl_ros.tasks import TASKS, UNLABELLED, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Self

    from numpy.typing import NDArray

    from adamtl_ros.evaluation.metrics import Metric
    from adamtl_ros.tasks import Task

    Array = NDArray[Any]

STRIDE = 4
"""Stride of the compared pixels in both directions; that of the network's output."""
MAX_ANGLE = 11.25
"""Normals differ above this angle [degrees]; the strictest of the published thresholds."""
MAX_RATIO = 1.25
"""Depths differ above this ratio; the threshold of delta-1."""
MAX_STEP = 64
"""Probabilities differ above this difference, of 255."""
VISIBLE = 0.05
"""A frame differs visibly if more than this fraction of its pixels does."""
SEGMENTS = 16
"""Segments of a recording for the jackknife; consecutive frames are not independent."""


def subsample(results: Mapping[str, Array]) -> dict[str, Array]:
    """Return every `STRIDE`-th pixel of results in both directions, the ones compared."""
    return {task: np.ascontiguousarray(one[::STRIDE, ::STRIDE]) for task, one in results.items()}


def differing_fraction(task: str, one: Array, other: Array) -> float:
    """Return the fraction of pixels that differ visibly.

    Args:
        task: Name of the task.
        one: Result of the engine, (h, w) or (h, w, 3).
        other: Result to compare with; pixels unknown in both agree.

    Returns:
        Fraction in 0..1; NaN for results of different shapes.

    """
    if one.shape != other.shape:
        return nan
    kind = TASKS[task].kind
    if kind is Kind.LABELS:
        return float(np.mean(one != other))
    if kind is Kind.PROBABILITY:
        return float(np.mean(np.abs(one.astype(np.int16) - other.astype(np.int16)) > MAX_STEP))
    if kind is Kind.NORMALS:
        # By component: sums along a short axis take numpy ten times longer.
        (a, b, c), (x, y, z) = (np.moveaxis(normals, -1, 0) for normals in (one, other))
        same = a * x + b * y + c * z >= cos(radians(MAX_ANGLE))
        unknown = np.isnan(a + b + c) & np.isnan(x + y + z)
    else:
        with np.errstate(invalid='ignore', divide='ignore'):
            same = np.maximum(one / other, other / one) <= MAX_RATIO
        unknown = np.isnan(one) & np.isnan(other)
    return float(np.mean(~(same | unknown)))


class DifferenceRates:
    """How far results differ from other results, by task."""

    def __init__(self, tasks: Iterable[str]) -> None:
        """Start without frames.

        Args:
            tasks: Names of the tasks.

        """
        self._frames = dict.fromkeys(tasks, 0)
        self._sums = dict.fromkeys(self._frames, 0.0)
        self._visible = dict.fromkeys(self._frames, 0)

    def add(self, task: str, fraction: float) -> None:
        """Add a frame.

        Args:
            task: Name of the task.
            fraction: Fraction of the pixels that differ, 0..1; NaN is skipped.

        """
        if not isnan(fraction):
            self._frames[task] += 1
            self._sums[task] += fraction
            self._visible[task] += fraction > VISIBLE

    def merge(self, other: Self) -> None:
        """Add the sums of another object."""
        for task in other._frames:
            self._frames[task] += other._frames[task]
            self._sums[task] += other._sums[task]
            self._visible[task] += other._visible[task]

    def compute(self) -> dict[str, dict[str, float]]:
        """Return the fractions of 'pixels' and 'frames' that differ by task; NaN without frames."""
        return {
            task: {
                'pixels': self._sums[task] / count if count else nan,
                'frames': self._visible[task] / count if count else nan,
            }
            for task, count in self._frames.items()
        }


@dataclass
class MetricSums:
    """Sums of a metric over labelled frames of a task.

    Attributes:
        metric: Metric with the sums.
        frames: Number of frames.
        crc32: Checksum of the positions of the frames in the recording.

    """

    metric: Metric
    frames: int = 0
    crc32: int = 0

    def add(self, position: float, result: Array, label: Array) -> None:
        """Add a frame at a position in the recording, 0..1."""
        self.metric.update(result, label)
        self.frames += 1
        self.crc32 = zlib.crc32(pack('<d', position), self.crc32)

    def merge(self, other: Self) -> None:
        """Add the sums of another object, which is not changed."""
        self.metric.merge(other.metric)
        self.frames += other.frames
        self.crc32 = zlib.crc32(pack('<I', other.crc32), self.crc32)


class TruthScores:
    """Metrics against ground truth of one recording, by segment, or of several recordings."""

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        """Start without frames.

        Args:
            tasks: Tasks with ground truth, by name.

        """
        self._tasks = dict(tasks)
        # For each recording by task and segment number; only segments with labels.
        self._recordings: list[dict[str, dict[int, MetricSums]]] = [{}]

    def add(
        self, position: float, results: Mapping[str, Array], labels: Mapping[str, Array]
    ) -> None:
        """Add a frame.

        Args:
            position: Position in the recording, 0..1.
            results: Results by task.
            labels: Ground truth by task, at the size of the results; labels without a known
                pixel are skipped.

        """
        number = min(int(position * SEGMENTS), SEGMENTS - 1)
        for task, truth in labels.items():
            if _has_known_pixel(truth):
                segments = self._recordings[0].setdefault(task, {})
                if number not in segments:
                    segments[number] = self._sum([], task)
                segments[number].add(position, results[task], truth)

    def merge(self, other: Self) -> None:
        """Add other recordings as separate units."""
        self._recordings += [recording for recording in other._recordings if recording]

    @property
    def labelled(self) -> dict[str, int]:
        """Numbers of labelled frames by task."""
        return {task: self._sum(self._units(task), task).frames for task in self._tasks}

    def compute(self) -> dict[str, dict[str, float]]:
        """Return metrics by task and name; NaN without labelled frames."""
        return {task: self._sum(self._units(task), task).metric.compute() for task in self._tasks}

    def jackknife(self) -> dict[str, JackknifeSamples]:
        """Return the metrics by task without each unit in turn.

        The units are recordings, since frames of a recording are not independent. If only one
        recording has labels of a task, the units are its segments; errors from those do not cover
        the variation between recordings.
        """
        return {task: self._jackknife(task) for task in self._tasks}

    def _jackknife(self, task: str) -> JackknifeSamples:
        units = self._units(task)
        whole = self._sum(units, task)
        values = [
            _without_unit(rest.metric, whole.metric) for rest in self._leave_one_out(units, task)
        ]
        left_out = {name: [value[name] for value in values] for name in whole.metric.compute()}
        unit = 'stretch' if len(self._labelled_recordings(task)) == 1 else 'recording'
        return JackknifeSamples(unit, left_out, whole.crc32)

    def _labelled_recordings(self, task: str) -> list[dict[int, MetricSums]]:
        """Return the segments of each recording with labels."""
        return [recording[task] for recording in self._recordings if task in recording]

    def _units(self, task: str) -> list[MetricSums]:
        recordings = [
            [segments[number] for number in sorted(segments)]
            for segments in self._labelled_recordings(task)
        ]
        if len(recordings) == 1:
            return recordings[0]
        return [self._sum(segments, task) for segments in recordings]

    def _leave_one_out(self, units: Sequence[MetricSums], task: str) -> Iterator[MetricSums]:
        """Yield the sums without each unit, from prefix and suffix sums."""
        after = [self._sum([], task)]
        for unit in units[:0:-1]:
            after.append(self._sum([unit, after[-1]], task))
        before = self._sum([], task)
        for unit in units:
            yield self._sum([before, after.pop()], task)
            before.merge(unit)

    def _sum(self, parts: Sequence[MetricSums], task: str) -> MetricSums:
        total = MetricSums(metric_for(self._tasks[task]))
        for part in parts:
            total.merge(part)
        return total


class Scores:
    """Scores of the results at one budget.

    Attributes:
        truth: Metrics against ground truth.
        against_full: Fractions that differ from the results at full budget.
        flips: Fractions that differ from the results of the frame before.

    """

    def __init__(self, tasks: Mapping[str, Task], with_truth: Mapping[str, Task]) -> None:
        """Start without frames.

        Args:
            tasks: All tasks that run, by name.
            with_truth: Tasks that the recording has ground truth for.

        """
        self.truth = TruthScores(with_truth)
        self.against_full = DifferenceRates(tasks)
        self.flips = DifferenceRates(tasks)

    def merge(self, other: Self) -> None:
        """Add the scores of another recording."""
        self.truth.merge(other.truth)
        self.against_full.merge(other.against_full)
        self.flips.merge(other.flips)


class Scorer:
    """Scores the frames of one recording, in order, at one budget."""

    def __init__(self, scores: Scores) -> None:
        """Start before the first frame.

        Args:
            scores: Scores to add to.

        """
        self.scores = scores
        self._previous: dict[str, Array] = {}

    def add(
        self,
        position: float,
        results: Mapping[str, Array],
        full: Mapping[str, Array] | None,
        labels: Mapping[str, Array],
    ) -> None:
        """Score a frame.

        Args:
            position: Position in the recording, 0..1.
            results: Results at this budget by task.
            full: Results at full budget by task, subsampled; None if not known.
            labels: Ground truth by task.

        """
        self.scores.truth.add(position, results, labels)
        current = subsample(results)
        for task, one in (full or {}).items():
            self.scores.against_full.add(task, differing_fraction(task, current[task], one))
        for task in current.keys() & self._previous.keys():
            fraction = differing_fraction(task, current[task], self._previous[task])
            self.scores.flips.add(task, fraction)
        self._previous = current


def _has_known_pixel(label: Array) -> bool:
    # The subsampled pixels nearly always contain a known one, which saves reading all of them.
    return any(bool(_known(pixels).any()) for pixels in (label[::STRIDE, ::STRIDE], label))


def _known(label: Array) -> NDArray[np.bool_]:
    return label != UNLABELLED if label.dtype == np.uint8 else np.isfinite(label)


def _without_unit(rest: Metric, whole: Metric) -> dict[str, float]:
    """Return the values of the rest of a whole; class means use the classes of the whole."""
    if isinstance(rest, MeanIoU) and isinstance(whole, MeanIoU):
        return rest.compute(whole)
    return rest.compute()
