# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the results of one budget are worth: sums over frames that add up exactly."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from math import cos, nan, radians
from struct import pack
from typing import TYPE_CHECKING, Any

import numpy as np

from adamtl_ros.evaluation.bags.confidence import JackknifeSamples
from adamtl_ros.evaluation.metrics import MeanIoU, metric_for
from adamtl_ros.tasks import TASKS, UNLABELLED, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Self

    from numpy.typing import NDArray

    Array = NDArray[Any]
    from collections.abc import Iterator, Sequence

    from adamtl_ros.evaluation.metrics import Metric
    from adamtl_ros.tasks import Task

    Array = NDArray[np.generic]

STEP = 4
"""Every so many pixels are compared, in both directions: as many as the network puts out."""
ANGLE = 11.25
"""Normals differ above this angle [degrees]; the strictest of the published thresholds."""
RATIO = 1.25
"""Depths differ above this ratio; delta-1's threshold."""
STRENGTH = 64
"""Probabilities differ above this, of 255."""
VISIBLE = 0.05
"""A frame differs visibly if more than this share of its pixels does."""


def subsample(results: Mapping[str, Array]) -> dict[str, Array]:
    """Return the pixels of results that are compared."""
    return {task: np.ascontiguousarray(one[::STEP, ::STEP]) for task, one in results.items()}


def differing(task: str, one: Array, other: Array) -> float:
    """Return the share of pixels that differ visibly, 0..1; NaN for other shapes.

    Args:
        task: Name of the task.
        one: A result, as the engine gives it.
        other: Another one; where both are unknown they agree.

    """
    if one.shape != other.shape:
        return nan
    kind = TASKS[task].kind
    if kind is Kind.LABELS:
        return float(np.mean(one != other))
    if kind is Kind.PROBABILITY:
        return float(np.mean(np.abs(one.astype(np.int16) - other.astype(np.int16)) > STRENGTH))
    if kind is Kind.NORMALS:
        # Plane by plane: sums along a short axis take numpy ten times longer.
        (a, b, c), (x, y, z) = (np.moveaxis(normals, -1, 0) for normals in (one, other))
        same = a * x + b * y + c * z >= cos(radians(ANGLE))
        unknown = np.isnan(a + b + c) & np.isnan(x + y + z)
    else:
        with np.errstate(invalid='ignore', divide='ignore'):
            same = np.maximum(one / other, other / one) <= RATIO
        unknown = np.isnan(one) & np.isnan(other)
    return float(np.mean(~(same | unknown)))


class Agreement:
    """Adds up, by task, how much results differ from others."""

    def __init__(self, tasks: Iterable[str]) -> None:
        """Begin with nothing for some tasks."""
        self._frames = dict.fromkeys(tasks, 0)
        self._sums = dict.fromkeys(self._frames, 0.0)
        self._visible = dict.fromkeys(self._frames, 0)

    def add(self, task: str, share: float) -> None:
        """Add a frame of which such a share of the pixels differs; NaN is left out."""
        if share == share:  # noqa: PLR0124  false for NaN
            self._frames[task] += 1
            self._sums[task] += share
            self._visible[task] += share > VISIBLE

    def merge(self, other: Self) -> None:
        """Add the sums of another one."""
        for task in other._frames:
            self._frames[task] += other._frames[task]
            self._sums[task] += other._sums[task]
            self._visible[task] += other._visible[task]

    def compute(self) -> dict[str, dict[str, float]]:
        """Return by task 'pixels' and 'frames' that differ, shares 0..1; NaN for none at all."""
        return {
            task: {
                'pixels': self._sums[task] / count if count else nan,
                'frames': self._visible[task] / count if count else nan,
            }
            for task, count in self._frames.items()
        }


BLOCKS = 16
"""Stretches of a recording whose scores tell how far chance goes; frames side by side are alike."""


@dataclass
class Sums:
    """What is known of some labelled frames of a task.

    Attributes:
        metric: Sums over them.
        frames: How many they are.
        crc32: Checksum of their places in the recording.

    """

    metric: Metric
    frames: int = 0
    crc32: int = 0

    def add(self, place: float, result: Array, label: Array) -> None:
        """Add a frame, by its place in the recording."""
        self.metric.update(result, label)
        self.frames += 1
        self.crc32 = zlib.crc32(pack('<d', place), self.crc32)

    def merge(self, other: Self) -> None:
        """Add the sums of another one, which stays as it is."""
        self.metric.merge(other.metric)
        self.frames += other.frames
        self.crc32 = zlib.crc32(pack('<I', other.crc32), self.crc32)


class TruthScores:
    """Metrics against the truth: of a recording in stretches, or of several recordings."""

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        """Begin with nothing for some tasks."""
        self._tasks = dict(tasks)
        # Of each recording, by task and number of the stretch; only where there are labels.
        self._recordings: list[dict[str, dict[int, Sums]]] = [{}]

    def add(self, place: float, results: Mapping[str, Array], labels: Mapping[str, Array]) -> None:
        """Add a frame.

        Args:
            place: Where in the recording it is, 0..1.
            results: By task.
            labels: By task, of the same size; one of which nothing is known does not count.

        """
        stretch = min(int(place * BLOCKS), BLOCKS - 1)
        for task, truth in labels.items():
            if _says_something(truth):
                stretches = self._recordings[0].setdefault(task, {})
                if stretch not in stretches:
                    stretches[stretch] = self._sum([], task)
                stretches[stretch].add(place, results[task], truth)

    def merge(self, other: Self) -> None:
        """Add other recordings, which stay apart from those that are there."""
        self._recordings += [recording for recording in other._recordings if recording]

    @property
    def labelled(self) -> dict[str, int]:
        """Frames with a label, by task."""
        return {task: self._sum(self._units(task), task).frames for task in self._tasks}

    def compute(self) -> dict[str, dict[str, float]]:
        """Return values by task and name; NaN where nothing is known."""
        return {task: self._sum(self._units(task), task).metric.compute() for task in self._tasks}

    def spread(self) -> dict[str, JackknifeSamples]:
        """Return by task how far chance goes, by leaving out one unit after another.

        Frames of a recording are alike, so recordings are the units. Where only one has labels of
        a task, its stretches are; they say nothing of how far other recordings would be off.
        """
        return {task: self._spread(task) for task in self._tasks}

    def _spread(self, task: str) -> JackknifeSamples:
        units = self._units(task)
        whole = self._sum(units, task)
        values = [_as_part(rest.metric, whole.metric) for rest in self._rests(units, task)]
        left_out = {name: [value[name] for value in values] for name in whole.metric.compute()}
        unit = 'stretch' if len(self._told(task)) == 1 else 'recording'
        return JackknifeSamples(unit, left_out, whole.crc32)

    def _told(self, task: str) -> list[dict[int, Sums]]:
        """Return the stretches of each recording with labels."""
        return [recording[task] for recording in self._recordings if task in recording]

    def _units(self, task: str) -> list[Sums]:
        told = [[stretches[i] for i in sorted(stretches)] for stretches in self._told(task)]
        return told[0] if len(told) == 1 else [self._sum(stretches, task) for stretches in told]

    def _rests(self, units: Sequence[Sums], task: str) -> Iterator[Sums]:
        """Yield the sums without each unit: of those before it and those after it."""
        after = [self._sum([], task)]
        for unit in units[:0:-1]:
            after.append(self._sum([unit, after[-1]], task))
        before = self._sum([], task)
        for unit in units:
            yield self._sum([before, after.pop()], task)
            before.merge(unit)

    def _sum(self, some: Sequence[Sums], task: str) -> Sums:
        total = Sums(metric_for(self._tasks[task]))
        for one in some:
            total.merge(one)
        return total


class Scores:
    """All that is said of the results of one budget.

    Attributes:
        truth: Against the truth of the recording.
        against_full: Against the results at full budget.
        flips: Against those of the frame before.

    """

    def __init__(self, tasks: Mapping[str, Task], with_truth: Mapping[str, Task]) -> None:
        """Begin with nothing.

        Args:
            tasks: All that run.
            with_truth: Those that the recording has truth for.

        """
        self.truth = TruthScores(with_truth)
        self.against_full = Agreement(tasks)
        self.flips = Agreement(tasks)

    def merge(self, other: Self) -> None:
        """Add the sums of another recording."""
        self.truth.merge(other.truth)
        self.against_full.merge(other.against_full)
        self.flips.merge(other.flips)


class Scorer:
    """Scores the frames of one recording, in order, at one budget."""

    def __init__(self, scores: Scores) -> None:
        """Add to some scores."""
        self.scores = scores
        self._before: dict[str, Array] = {}

    def add(
        self,
        place: float,
        results: Mapping[str, Array],
        full: Mapping[str, Array] | None,
        labels: Mapping[str, Array],
    ) -> None:
        """Score a frame.

        Args:
            place: Where in the recording it is, 0..1.
            results: By task, at this budget.
            full: The same at full budget, `subsample()`; None if nobody knows.
            labels: Truth by task.

        """
        self.scores.truth.add(place, results, labels)
        now = subsample(results)
        for task, one in (full or {}).items():
            self.scores.against_full.add(task, differing(task, now[task], one))
        for task in now.keys() & self._before.keys():
            self.scores.flips.add(task, differing(task, now[task], self._before[task]))
        self._before = now


def _says_something(label: Array) -> bool:
    # Mostly a glance is enough.
    return any(bool(_known(pixels).any()) for pixels in (label[::STEP, ::STEP], label))


def _known(label: Array) -> NDArray[np.bool_]:
    return label != UNLABELLED if label.dtype == np.uint8 else np.isfinite(label)


def _as_part(rest: Metric, whole: Metric) -> dict[str, float]:
    """Return the values of what is left of a whole; a mean over classes is over the same ones."""
    if isinstance(rest, MeanIoU) and isinstance(whole, MeanIoU):
        return rest.compute(whole)
    return rest.compute()
