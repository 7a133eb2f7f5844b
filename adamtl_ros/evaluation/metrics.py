# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What results are worth against labels, added up image by image.

Results and labels have the form of `adamtl_ros.sample.Sample`. Where the label is unknown,
the result is not looked at; where the result is missing although the label is known, it counts
as wrong.
"""

from __future__ import annotations

from math import isnan, nan
from typing import TYPE_CHECKING, Protocol

import numpy as np

from adamtl_ros.evaluation.counting import best_f, check_shapes, share
from adamtl_ros.evaluation.edges import EdgeOds
from adamtl_ros.evaluation.geometry import AngularError, DepthError
from adamtl_ros.tasks import TASKS, UNLABELLED, select

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Self

    from numpy.typing import NDArray

    from adamtl_ros.tasks import Task

    Array = NDArray[np.generic]

SALIENT = -(-255 * np.arange(20, 95, 5) // 100)  # thresholds 0.20 to 0.90 of a uint8 result


class Metric(Protocol):
    """Sums over images, from which values can be taken at any time."""

    def update(self, result: Array, label: Array) -> None:
        """Add one image.

        Raises:
            ValueError: Shapes that differ, or values that cannot be.

        """

    def merge(self, other: Self) -> None:
        """Add the sums of another one, say of another process."""

    def compute(self) -> dict[str, float]:
        """Return values by name, NaN where nothing is known."""


class MeanIou:
    """Intersection over union of classes, from the confusion matrix of the whole data set.

    The background counts like any class. Classes that are neither in the labels nor in the
    results are left out of the mean; published code counts them as 0.

    Args:
        classes: Class names by id.

    """

    def __init__(self, classes: Iterable[str]) -> None:
        self.classes = tuple(classes)
        count = len(self.classes)
        # Rows: truth; columns: result, the last of them unlabelled.
        self._confusion = np.zeros((count, count + 1), np.int64)

    def update(self, result: Array, label: Array) -> None:
        """Count an image; both (H, W) uint8 class ids, 255 = unlabelled.

        Raises:
            ValueError: Shapes that differ, or an id that is no class.

        """
        check_shapes(result, label)
        # All pairs of bytes are counted and then looked at, not all pixels.
        pairs = np.left_shift(label, 8, dtype=np.intp).ravel()
        pairs += result.ravel()
        counts = np.bincount(pairs, minlength=1 << 16).reshape(256, 256)
        counts[UNLABELLED] = 0
        ids = [*range(len(self.classes)), UNLABELLED]
        self._check('label', counts.sum(1), ids)
        self._check('result', counts.sum(0), ids)
        self._confusion += counts[np.ix_(ids[:-1], ids)]

    def merge(self, other: Self) -> None:
        """Add what another one has counted.

        Raises:
            ValueError: Another list of classes.

        """
        if self.classes != other.classes:
            raise ValueError(f'classes {other.classes} cannot be added to {self.classes}')
        self._confusion += other._confusion

    def per_class(self) -> dict[str, float]:
        """Return the intersection over union by class name, NaN for classes never seen."""
        right = self._confusion.diagonal()
        union = self._confusion.sum(1) + self._confusion[:, :-1].sum(0) - right
        return dict(zip(self.classes, share(right, union).tolist(), strict=True))

    def compute(self, whole: MeanIou | None = None) -> dict[str, float]:
        """Return 'miou' and 'pixel_accuracy', 0..1.

        Args:
            whole: Of all data that these are a part of, for values that compare with those of
                the whole. The mean is then over the classes of the whole, and a class of which no
                label is in the part keeps the value it has in the whole: the part cannot say how
                good it is, and neither 0 nor another set of classes would be an answer.

        """
        found = self.per_class()
        if whole is not None:
            lost = dict(zip(self.classes, self._confusion.sum(1) == 0, strict=True))
            found |= {name: one for name, one in whole.per_class().items() if lost[name]}
        seen = [value for value in found.values() if not isnan(value)]
        accuracy = share(self._confusion.trace(), self._confusion.sum())
        return {'miou': sum(seen) / len(seen) if seen else nan, 'pixel_accuracy': float(accuracy)}

    def _check(self, what: str, seen: NDArray[np.int64], ids: list[int]) -> None:
        wrong = np.setdiff1d(seen.nonzero(), ids)
        if len(wrong):
            raise ValueError(
                f'{what} has class id {wrong[0]}, expected 0 to {len(ids) - 2} or {UNLABELLED}; '
                'take the class names of this data'
            )


class MaxF:
    """F measure and intersection over union of salient things, at the best threshold.

    As multi-task networks are published (after Maninis et al., "Attentive single-tasking of
    multiple tasks", 2019): precision, recall and intersection over union of each image at the
    thresholds 0.20, 0.25 to 0.90, each averaged over images; then the best F1 = 2PR/(P+R) of the
    averages, and the best average intersection over union. (The saliency literature weights
    precision more, with beta squared 0.3.) An image where nothing is salient and nothing is found
    counts as 1 in all three; any other ratio without a denominator counts as 0.
    """

    def __init__(self) -> None:
        self._images = 0
        # Rows: precision, recall, intersection over union.
        self._sums = np.zeros((3, len(SALIENT)))

    def update(self, result: Array, label: Array) -> None:
        """Add an image, unless all of it is unknown.

        Args:
            result: (H, W) uint8, probability times 255.
            label: (H, W) uint8, 0 or 1, 255 = unknown.

        Raises:
            ValueError: Shapes that differ.

        """
        check_shapes(result, label)
        known = label != UNLABELLED
        if not known.any():
            return
        right, found = _at_least(result[known & (label != 0)]), _at_least(result[known])
        truth = np.full_like(found, np.count_nonzero(label[known]))
        neither = (found + truth == 0).astype(np.float64)
        for row, whole in enumerate((found, truth, found + truth - right)):
            self._sums[row] += np.divide(right, whole, out=neither.copy(), where=whole > 0)
        self._images += 1

    def merge(self, other: Self) -> None:
        """Add the sums of another one."""
        self._images += other._images
        self._sums += other._sums

    def compute(self) -> dict[str, float]:
        """Return 'max_f' and 'miou', 0..1."""
        if not self._images:
            return {'max_f': nan, 'miou': nan}
        precision, recall, iou = self._sums / self._images
        return {'max_f': best_f(precision, recall), 'miou': float(iou.max())}


METRICS: dict[str, Callable[[Task], Metric]] = {
    'miou': lambda task: MeanIou(task.classes),
    'mean_angle': lambda _: AngularError(),
    'max_f': lambda _: MaxF(),
    'rmse': lambda _: DepthError(),
    'ods_f': lambda _: EdgeOds(),
}
"""What makes an accumulator, by the name of the value that stands for the task."""


def metric_for(task: Task) -> Metric:
    """Return an empty accumulator whose values include `task.metric`.

    Raises:
        ValueError: A metric that nothing here computes.

    """
    if task.metric not in METRICS:
        allowed = ', '.join(METRICS)
        raise ValueError(
            f"task '{task.name}' asks for metric '{task.metric}', choose from: {allowed}"
        )
    return METRICS[task.metric](task)


def delta_m(
    values: Mapping[str, float], baseline: Mapping[str, float], tasks: Iterable[str]
) -> float:
    """Return how much better values are than a baseline, averaged over tasks, in per cent.

    Delta-m = 100/T * sum of (-1)^l (M - B) / B with l = 1 where lower is better (Maninis et al.,
    "Attentive single-tasking of multiple tasks", 2019). The baseline is usually one network per
    task with the same backbone.

    Args:
        values: Metric that stands for each task (`Task.metric`), by task name.
        baseline: The same of the baseline.
        tasks: Names of the tasks to average over.

    Returns:
        Per cent, NaN if a value is.

    Raises:
        ValueError: No task, an unknown one, one without value, or a baseline of 0.

    """
    names = select(tasks)
    if not names:
        raise ValueError('delta_m of no tasks; name at least one')
    for what, given in (('values', values), ('baseline', baseline)):
        for name in names:
            if name not in given:
                raise ValueError(f"{what} lack task '{name}', have: {', '.join(given) or 'none'}")
    gains = [_gain(name, values[name], baseline[name]) for name in names]
    return 100 * sum(gains) / len(gains)


def _gain(name: str, value: float, base: float) -> float:
    if base == 0:
        raise ValueError(
            f"baseline of task '{name}' is 0; delta_m needs another one, or no '{name}'"
        )
    return (value - base) / base * (1 if TASKS[name].higher_is_better else -1)


def _at_least(values: Array) -> NDArray[np.int64]:
    return np.bincount(values, minlength=256)[::-1].cumsum()[::-1][SALIENT]
