# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the results of one budget are worth: sums over frames that add up exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from adamtl_ros.evaluation.bags.difference import Differences, differing, thinned_out
from adamtl_ros.evaluation.metrics import metric_for
from adamtl_ros.tasks import UNLABELLED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    from numpy.typing import NDArray

    from adamtl_ros.evaluation.metrics import Metric
    from adamtl_ros.tasks import Task

    Array = NDArray[np.generic]

BLOCKS = 16
"""Stretches of a recording whose scores tell how far chance goes; frames side by side are alike."""


class TruthScores:
    """Metrics against the truth, in stretches of the recording."""

    def __init__(self, tasks: Mapping[str, Task], blocks: int = BLOCKS) -> None:
        """Begin with nothing for some tasks."""
        self._tasks = dict(tasks)
        self._blocks: list[dict[str, Metric]] = [self._empty() for _ in range(blocks)]
        self._counts = [dict.fromkeys(tasks, 0) for _ in range(blocks)]

    def add(self, place: float, results: Mapping[str, Array], labels: Mapping[str, Array]) -> None:
        """Add a frame.

        Args:
            place: Where in the recording it is, 0..1.
            results: By task.
            labels: By task, of the same size; one of which nothing is known does not count.

        """
        block = min(int(place * len(self._blocks)), len(self._blocks) - 1)
        for task, truth in labels.items():
            if _says_something(truth):
                self._blocks[block][task].update(results[task], truth)
                self._counts[block][task] += 1

    def merge(self, other: Self) -> None:
        """Add the sums of another recording."""
        for mine, others in zip(self._blocks, other._blocks, strict=True):
            for task, metric in others.items():
                mine[task].merge(metric)
        for counts, others_counts in zip(self._counts, other._counts, strict=True):
            for task, count in others_counts.items():
                counts[task] += count

    @property
    def labelled(self) -> dict[str, int]:
        """Frames with a label, by task."""
        return {task: sum(counts[task] for counts in self._counts) for task in self._tasks}

    def compute(self) -> dict[str, dict[str, float]]:
        """Return values by task and name; NaN where nothing is known."""
        return {task: metric.compute() for task, metric in self._total(self._blocks).items()}

    def errors(self) -> dict[str, dict[str, float]]:
        """Return the standard error of each value, by leaving out one stretch after another.

        The delete-one jackknife over stretches (Efron and Stein, 1981); NaN for fewer than two
        stretches with labels.
        """
        found: dict[str, list[dict[str, float]]] = {}
        for task in self._tasks:
            pairs = zip(self._blocks, self._counts, strict=True)
            told = [block for block, counts in pairs if counts[task]]
            rests = [told[:one] + told[one + 1 :] for one in range(len(told))] or [[]]
            found[task] = [self._sum(rest, task).compute() for rest in rests]
        return {task: _jackknife(values) for task, values in found.items()}

    def _empty(self) -> dict[str, Metric]:
        return {name: metric_for(task) for name, task in self._tasks.items()}

    def _total(self, blocks: Sequence[dict[str, Metric]]) -> dict[str, Metric]:
        return {task: self._sum(blocks, task) for task in self._tasks}

    def _sum(self, blocks: Sequence[dict[str, Metric]], task: str) -> Metric:
        total = metric_for(self._tasks[task])
        for block in blocks:
            total.merge(block[task])
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
        self.against_full = Differences(tasks)
        self.flips = Differences(tasks)

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
            full: The same at full budget, `thinned_out()`; None if nobody knows.
            labels: Truth by task.

        """
        self.scores.truth.add(place, results, labels)
        now = thinned_out(results)
        for task, one in (full or {}).items():
            self.scores.against_full.add(task, differing(task, now[task], one))
        for task in now.keys() & self._before.keys():
            self.scores.flips.add(task, differing(task, now[task], self._before[task]))
        self._before = now


def _says_something(label: Array) -> bool:
    known = label != UNLABELLED if label.dtype == np.uint8 else np.isfinite(label)
    return bool(known.any())


def _jackknife(values: list[dict[str, float]]) -> dict[str, Any]:
    count = len(values)
    if count < 2:
        return dict.fromkeys(values[0], float('nan'))
    columns = {name: np.array([value[name] for value in values]) for name in values[0]}
    scale = (count - 1) / count
    return {
        name: float(np.sqrt(scale * ((column - column.mean()) ** 2).sum()))
        for name, column in columns.items()
    }
