# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What results are worth against labels, added up image by image.

Results and labels have the form of `adamtl_ros.sample.Sample`. Where the label is unknown,
the result is not looked at; where the result is missing although the label is known, it counts
as wrong.
"""

from __future__ import annotations

from math import hypot, isnan, nan, pi, sqrt
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np

from adamtl_ros.tasks import TASKS, UNLABELLED, select

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.generic]
    from collections.abc import Callable, Iterable, Mapping

    from adamtl_ros.tasks import Task


def check_shapes(result: NDArray[np.generic], label: NDArray[np.generic]) -> None:
    """Refuse a result and a label that do not lie on each other.

    Raises:
        ValueError: Shapes that differ; numpy would stretch some of them.

    """
    if result.shape != label.shape:
        raise ValueError(
            f'result {result.shape} and label {label.shape} differ in shape; resize the result'
        )


def share(part: ArrayLike, whole: ArrayLike) -> NDArray[Any]:
    """Return part / whole, NaN where there is no whole."""
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    nothing = np.full(np.broadcast_shapes(part.shape, whole.shape), np.nan)
    return np.divide(part, whole, out=nothing, where=whole > 0)


def best_f(precision: NDArray[Any], recall: NDArray[Any]) -> float:
    """Return the best 2PR / (P + R) over thresholds, 0 where both are 0."""
    both = precision + recall
    return float((2 * precision * recall / np.where(both > 0, both, 1)).max())


def rank_correlation(one: ArrayLike, other: ArrayLike) -> float:
    """Return Spearman's rank correlation; equal values share their mean rank.

    Pairs in which a value is NaN do not count. NaN where fewer than two pairs are left, or
    where all values of one side are equal.
    """
    pairs = np.stack([np.asarray(one, float), np.asarray(other, float)])
    pairs = pairs[:, np.isfinite(pairs).all(0)]
    if pairs.shape[1] < 2 or (pairs.max(1) == pairs.min(1)).any():
        return float('nan')
    return float(np.corrcoef([_ranks(values) for values in pairs])[0, 1])


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    return np.asarray((last - (counts - 1) / 2)[inverse.ravel()])


BIN = 0.01  # degrees
CLOSE = (11.25, 22.5, 30.0)  # degrees
PIECE = 1 << 15  # pixels
NEAREST = 1e-3  # metres; the least that the network can say


class AngularError:
    """Angles between normals, in degrees, over all known pixels of the data set.

    Lengths do not matter. A result without a direction (NaN, infinite or zero) counts as 180.
    Published tables call the mean 'rmse'.
    """

    def __init__(self) -> None:
        self._sum = 0.0
        self._close = np.zeros(len(CLOSE), np.int64)
        self._histogram = np.zeros(round(180 / BIN) + 1, np.int64)

    def update(self, result: Array, label: Array) -> None:
        """Add an image; both (H, W, 3) float32, a label that is not finite is unknown.

        Raises:
            ValueError: Shapes that differ.

        """
        check_shapes(result, label)
        for guess, truth in _pieces(result.reshape(-1, 3), label.reshape(-1, 3)):
            angles = _angles(guess, truth)
            self._sum += float(angles.sum(dtype=np.float64))
            self._close += [np.count_nonzero(angles < limit) for limit in CLOSE]
            bins = (angles / BIN).astype(np.intp)
            self._histogram += np.bincount(bins, minlength=len(self._histogram))

    def merge(self, other: Self) -> None:
        """Add the sums of another one."""
        self._sum += other._sum
        self._close += other._close
        self._histogram += other._histogram

    def compute(self) -> dict[str, float]:
        """Return 'mean_angle', 'median_angle' (to 0.01 degrees), 'within_11.25' and so on."""
        count = int(self._histogram.sum())
        shares = share(self._close, np.full(len(CLOSE), count))
        return {
            'mean_angle': self._sum / count if count else nan,
            'median_angle': self._median(count),
            **{f'within_{limit:g}': float(x) for limit, x in zip(CLOSE, shares, strict=True)},
        }

    def _median(self, count: int) -> float:
        if not count:
            return nan
        middle = [(count - 1) // 2, count // 2]
        return float(np.searchsorted(self._histogram.cumsum(), middle, 'right').mean() * BIN)


class DepthError:
    """Errors of depth over all known pixels of the data set (as in Eigen et al., 2014).

    A label is known where it is finite and positive. A result that is neither, or nearer than a
    millimetre, counts as a millimetre.
    """

    def __init__(self) -> None:
        # Pixels; sums of squared, squared logarithmic, relative errors; pixels within 1.25.
        self._sums = np.zeros(5)

    def update(self, result: Array, label: Array) -> None:
        """Add an image; both (H, W) float32 metres, NaN = unknown.

        Raises:
            ValueError: Shapes that differ.

        """
        check_shapes(result, label)
        for guess, truth in _pieces(result.ravel(), label.ravel()):
            self._sums += _depth_sums(guess, truth)

    def merge(self, other: Self) -> None:
        """Add the sums of another one."""
        self._sums += other._sums

    def compute(self) -> dict[str, float]:
        """Return 'rmse' in metres, 'log_rmse' (natural), 'abs_rel' and 'delta_1'."""
        square, log, relative, close = share(self._sums[1:], np.full(4, self._sums[0]))
        return {
            'rmse': sqrt(square),
            'log_rmse': sqrt(log),
            'abs_rel': float(relative),
            'delta_1': float(close),
        }


def _pieces(result: Array, label: Array) -> Iterator[tuple[Array, Array]]:
    """Cut both into pieces; what is computed from one stays in the cache of a core."""
    for start in range(0, len(label), PIECE):
        piece = slice(start, start + PIECE)
        yield result[piece], label[piece]


def _depth_sums(result: Array, label: Array) -> list[float]:
    metres = label.astype(np.float64)
    known = (metres > 0) & (metres < np.inf)
    truth, guess = metres[known], result[known].astype(np.float64)
    guess[~(guess >= NEAREST) | (guess == np.inf)] = NEAREST
    error, log = guess - truth, np.log(guess / truth)
    close = np.count_nonzero(np.abs(log) < np.log(1.25))
    relative = (np.abs(error) / truth).sum()
    return [len(truth), _squares(error), _squares(log), relative, close]


def _angles(result: Array, label: Array) -> NDArray[np.float32]:
    guess, truth = _planes(result), _planes(label)
    known = _directed(truth)
    with np.errstate(invalid='ignore', over='ignore'):
        angles = _between(guess, truth)
    angles[~_directed(guess)] = 180
    return angles if known.all() else angles[known]


def _between(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the angles between vectors, both (3, n), in degrees."""
    (a, b, c), (x, y, z) = one, other
    # Unlike the arc cosine of the product, this is exact at 0 and for vectors of any length.
    sine = np.sqrt((b * z - c * y) ** 2 + (c * x - a * z) ** 2 + (a * y - b * x) ** 2)
    angles: NDArray[np.float32] = np.arctan2(sine, a * x + b * y + c * z)
    angles *= np.float32(180 / pi)
    return angles


def _squares(values: NDArray[np.float64]) -> float:
    return float(np.einsum('i,i', values, values))


def _directed(planes: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return where vectors are finite and not zero."""
    # Much faster than reducing along the short axis.
    x, y, z = planes
    finite = np.isfinite(x) & np.isfinite(y) & np.isfinite(z)
    return finite & ((x != 0) | (y != 0) | (z != 0))


def _planes(vectors: Array) -> NDArray[np.float32]:
    # Sums over three neighbouring numbers take numpy ten times longer than over three planes.
    planes: NDArray[np.float32] = np.empty((3, vectors.size // 3), np.float32)
    planes[:] = vectors.reshape(-1, 3).T
    return planes


TOLERANCE = 0.0075
"""How far from the truth an edge may lie, as a share of the image's diagonal (BSDS)."""
LEVELS = 256
SLACK = 1e-4  # of the strength; more than the rounding of the blur over a flat part


class EdgeOds:
    """Best F measure of thinned edges with one threshold for the whole data set (ODS).

    After Martin, Fowlkes and Malik, "Learning to detect natural image boundaries", 2004: a pixel
    of the thinned result is right if a true edge lies within 0.0075 of the image's diagonal, a
    true edge is found if a pixel of the result lies as near, and the counts of all images are
    added up before F = 2PR/(P+R) is taken. All 255 thresholds of a uint8 result are tried.

    Unlike there, several pixels may share a partner (BSDS assigns them one to one), so doubled
    edges cost nothing, true edges need not be thin, and values are somewhat higher: they compare
    among themselves, not with tables that were made with the BSDS code.
    """

    def __init__(self) -> None:
        # Rows: result, result near truth, truth, truth near result; columns: strength.
        self._counts = np.zeros((4, LEVELS), np.int64)

    def update(self, result: NDArray[np.generic], label: NDArray[np.generic]) -> None:
        """Count an image.

        Args:
            result: (H, W) uint8, probability times 255; need not be thin.
            label: (H, W) uint8, 0 or 1, 255 = unknown. The result is not looked at there.

        Raises:
            ValueError: Shapes that differ.

        """
        check_shapes(result, label)
        known = label != UNLABELLED
        truth = known & (label != 0)
        thin = thinned(np.where(known, result, 0).astype(np.uint8))
        thin[~known] = 0
        reach = _disc(TOLERANCE * hypot(*label.shape))
        near_truth = cv2.dilate(truth.astype(np.uint8), reach).view(np.bool_)
        near_result = cv2.dilate(thin, reach)
        # A true edge is there at every threshold, as if it were of the largest strength.
        strengths = (thin, thin[near_truth], truth[truth] * np.uint8(255), near_result[truth])
        self._counts += [np.bincount(values.ravel(), minlength=LEVELS) for values in strengths]

    def merge(self, other: Self) -> None:
        """Add what another one has counted."""
        self._counts += other._counts

    def compute(self) -> dict[str, float]:
        """Return 'ods_f', 0..1; NaN without any true edge, 0 where none is found."""
        # Nothing is an edge at strength 0; every other strength is a threshold.
        found, right, truth, recalled = self._counts[:, ::-1].cumsum(axis=1)[:, :-1]
        if not truth[-1]:
            return {'ods_f': nan}
        return {'ods_f': best_f(right / np.maximum(found, 1), recalled / truth)}


def thinned(result: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return edge strengths on the ridges of a result, 0 elsewhere (non-maximum suppression).

    A pixel stays if the blurred result (Gaussian, 1 pixel) bends downwards and is no smaller than
    one pixel further on either side, across the ridge: along the direction of the most negative
    curvature. Flat tops that are wider than the blur stay whole, so a flooded result keeps its
    false edges. The strength is the largest of the result within a pixel, since the ridge of a
    double line lies between the two.

    Args:
        result: (H, W) uint8.

    """
    height, width = result.shape
    smooth = cv2.GaussianBlur(result.astype(np.float32), (0, 0), 1)
    across_x, across_y, bend = _curvature(smooth)
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    # On a flank the most negative curvature lies along the edge, where nothing would beat it.
    ridge = bend <= SLACK * smooth
    for sign in (-1, 1):
        side = cv2.remap(
            smooth, x + sign * across_x, y + sign * across_y, cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        ridge &= side - smooth <= SLACK * smooth
    strength = cv2.dilate(result, np.ones((3, 3), np.uint8))
    return strength * ridge


def _curvature(smooth: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
    """Return the direction of the most negative curvature, x and y, and the mean curvature."""
    xx, yy, xy = (
        cv2.Sobel(smooth, cv2.CV_32F, *order, ksize=5, scale=1 / 64)
        for order in ((2, 0), (0, 2), (1, 1))
    )
    angle = np.arctan2(-2 * xy, yy - xx) / 2
    return np.cos(angle), np.sin(angle), (xx + yy) / 2


def _disc(radius: float) -> NDArray[np.uint8]:
    steps = np.arange(-int(radius), int(radius) + 1)
    return (steps**2 + steps[:, None] ** 2 <= radius**2).astype(np.uint8)


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
