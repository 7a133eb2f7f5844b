# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Metrics of all tasks, accumulated image by image, and the comparison of networks.

Results and labels have the form of `adamtl_ros.sample.Sample`. Pixels with an unknown label are
ignored; an unknown result with a known label counts as wrong, which is why these are not the
metrics of a library.

===============  =================  ==============================
class            task               values
===============  =================  ==============================
`MeanIoU`        semseg, parts      miou, pixel_accuracy
`MaxF`           saliency           max_f, miou
`AngularError`   normals            mean_angle, median_angle, ...
`DepthError`     depth              rmse, log_rmse, abs_rel, delta_1
`EdgeODS`        edges              ods_f
===============  =================  ==============================
"""

from __future__ import annotations

from math import hypot, isnan, nan, pi, sqrt
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np

from adamtl_ros.labels import hard
from adamtl_ros.tasks import TASKS, UNLABELLED, select

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Self

    from numpy.typing import ArrayLike, NDArray

    from adamtl_ros.tasks import Task

    Array = NDArray[np.generic]


class Metric(Protocol):
    """Accumulator of a metric over images."""

    def update(self, result: Array, label: Array) -> None:
        """Add an image.

        Raises:
            ValueError: Shapes that differ, or invalid values.

        """

    def merge(self, other: Self) -> None:
        """Add the images of another accumulator, of another process for example."""

    def compute(self) -> dict[str, float]:
        """Return values by name, NaN where nothing is known."""


def _check_shapes(result: Array, label: Array) -> None:
    # Without the check numpy would broadcast some of them.
    if result.shape != label.shape:
        raise ValueError(
            f'result {result.shape} and label {label.shape} differ in shape; resize the result'
        )


def _ratio(numerator: ArrayLike, denominator: ArrayLike) -> NDArray[Any]:
    """Return numerator / denominator, NaN where the denominator is 0."""
    a, b = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    undefined = np.full(np.broadcast_shapes(a.shape, b.shape), np.nan)
    return np.divide(a, b, out=undefined, where=b > 0)


def _best_f1(precision: NDArray[Any], recall: NDArray[Any]) -> float:
    """Return the maximum of F1 = 2PR / (P + R) over thresholds; F1 is 0 where P = R = 0."""
    total = precision + recall
    return float((2 * precision * recall / np.where(total > 0, total, 1)).max())


# Semantic segmentation and human parts


class MeanIoU:
    """Intersection over union of classes, from the confusion matrix of the whole data set.

    The background counts like any class. Classes that occur neither in labels nor in results are
    left out of the mean; published code counts them as 0.

    Args:
        classes: Class names by id.

    """

    def __init__(self, classes: Iterable[str]) -> None:
        self.classes = tuple(classes)
        count = len(self.classes)
        # Rows: label; columns: result, the last one for unlabelled results.
        self._confusion = np.zeros((count, count + 1), np.int64)

    def update(self, result: Array, label: Array) -> None:
        """Add an image.

        Args:
            result: (H, W) uint8 class ids, 255 = unlabelled.
            label: (H, W) uint8 class ids, 255 = unlabelled.

        Raises:
            ValueError: Shapes that differ, or an id without a class.

        """
        _check_shapes(result, label)
        # A histogram of all pairs of bytes is faster than a mask of all pixels.
        pairs = np.left_shift(label, 8, dtype=np.intp).ravel()
        pairs += result.ravel()
        counts = np.bincount(pairs, minlength=1 << 16).reshape(256, 256)
        counts[UNLABELLED] = 0
        ids = [*range(len(self.classes)), UNLABELLED]
        self._check_ids('label', counts.sum(1), ids)
        self._check_ids('result', counts.sum(0), ids)
        self._confusion += counts[np.ix_(ids[:-1], ids)]

    def merge(self, other: Self) -> None:
        """Add the counts of another accumulator.

        Raises:
            ValueError: An accumulator of other classes.

        """
        if self.classes != other.classes:
            raise ValueError(f'classes {other.classes} cannot be added to {self.classes}')
        self._confusion += other._confusion

    def per_class(self) -> dict[str, float]:
        """Return the intersection over union by class name, NaN for classes without pixels."""
        intersection = self._confusion.diagonal()
        union = self._confusion.sum(1) + self._confusion[:, :-1].sum(0) - intersection
        return dict(zip(self.classes, _ratio(intersection, union).tolist(), strict=True))

    def compute(self, reference: MeanIoU | None = None) -> dict[str, float]:
        """Return 'miou' and 'pixel_accuracy', 0..1.

        Args:
            reference: Accumulator of a data set that this one is a subset of. The mean is then
                over the classes of the whole data set, and a class without labels in the subset
                has its value in the whole, so that the means of subset and whole compare.

        """
        per_class = self.per_class()
        if reference is not None:
            absent = dict(zip(self.classes, self._confusion.sum(1) == 0, strict=True))
            per_class |= {name: iou for name, iou in reference.per_class().items() if absent[name]}
        present = [iou for iou in per_class.values() if not isnan(iou)]
        accuracy = _ratio(self._confusion.trace(), self._confusion.sum())
        return {
            'miou': sum(present) / len(present) if present else nan,
            'pixel_accuracy': float(accuracy),
        }

    def _check_ids(self, what: str, counts: NDArray[np.int64], ids: list[int]) -> None:
        wrong = np.setdiff1d(counts.nonzero(), ids)
        if len(wrong):
            raise ValueError(
                f'{what} has class id {wrong[0]}, expected 0 to {len(ids) - 2} or {UNLABELLED}; '
                'take the class names of this data'
            )


# Saliency

SOFT_TRUTH = 0.5
"""Smallest soft label of saliency and edges that counts as true."""
SALIENCY_THRESHOLDS = -(-255 * np.arange(20, 95, 5) // 100)
"""Thresholds 0.20, 0.25 to 0.90 of a uint8 probability."""


class MaxF:
    """F measure and intersection over union of saliency, at the best threshold.

    As published for multi-task networks (Maninis et al., "Attentive single-tasking of
    multiple tasks", 2019): precision, recall and intersection over union of each image at the
    thresholds 0.20, 0.25 to 0.90, each averaged over images; then the best F1 = 2PR/(P+R) of the
    averages, and the best average intersection over union. (The saliency literature weights
    precision more, with beta squared 0.3.) In an image without salient pixels in label and result
    all three are 1; any other ratio with a denominator of 0 is 0.
    """

    def __init__(self) -> None:
        self._images = 0
        # Rows: precision, recall, intersection over union.
        self._sums = np.zeros((3, len(SALIENCY_THRESHOLDS)))

    def update(self, result: Array, label: Array) -> None:
        """Add an image, unless its label is unknown everywhere.

        Args:
            result: (H, W) uint8, probability times 255.
            label: (H, W) uint8, 0 or 1, 255 = unknown; or soft, float32, NaN = unknown, of which
                0.5 and more is salient.

        Raises:
            ValueError: Shapes that differ.

        """
        _check_shapes(result, label)
        label = hard(label, SOFT_TRUTH)
        valid = label != UNLABELLED
        if not valid.any():
            return
        hits = _count_above(result[valid & (label != 0)])  # (thresholds,)
        found = _count_above(result[valid])
        positive = np.full_like(found, np.count_nonzero(label[valid]))
        empty = (found + positive == 0).astype(np.float64)
        for row, total in enumerate((found, positive, found + positive - hits)):
            self._sums[row] += np.divide(hits, total, out=empty.copy(), where=total > 0)
        self._images += 1

    def merge(self, other: Self) -> None:
        """Add the sums of another accumulator."""
        self._images += other._images
        self._sums += other._sums

    def compute(self) -> dict[str, float]:
        """Return 'max_f' and 'miou', 0..1."""
        if not self._images:
            return {'max_f': nan, 'miou': nan}
        precision, recall, iou = self._sums / self._images
        return {'max_f': _best_f1(precision, recall), 'miou': float(iou.max())}


def _count_above(values: Array) -> NDArray[np.int64]:
    """Return the number of values at or above each threshold."""
    return np.bincount(values, minlength=256)[::-1].cumsum()[::-1][SALIENCY_THRESHOLDS]


# Surface normals and depth

ANGLE_BIN = 0.01  # degrees
ANGLE_THRESHOLDS = (11.25, 22.5, 30.0)  # degrees
MIN_DEPTH = 1e-3  # meters; the minimum that the network can predict
CHUNK = 1 << 15  # pixels


class AngularError:
    """Angles between normals [degrees], over all labelled pixels of the data set.

    The length of the vectors does not matter. A result without direction (NaN, infinite or zero)
    counts as 180 degrees. Published tables call the mean 'rmse'.
    """

    def __init__(self) -> None:
        self._sum = 0.0
        self._within = np.zeros(len(ANGLE_THRESHOLDS), np.int64)
        self._histogram = np.zeros(round(180 / ANGLE_BIN) + 1, np.int64)

    def update(self, result: Array, label: Array) -> None:
        """Add an image.

        Args:
            result: (H, W, 3) float32 vectors.
            label: (H, W, 3) float32 vectors; unknown where not finite.

        Raises:
            ValueError: Shapes that differ.

        """
        _check_shapes(result, label)
        for predicted, target in _chunks(result.reshape(-1, 3), label.reshape(-1, 3)):
            angles = _angles(predicted, target)
            self._sum += float(angles.sum(dtype=np.float64))
            self._within += [np.count_nonzero(angles < limit) for limit in ANGLE_THRESHOLDS]
            bins = (angles / ANGLE_BIN).astype(np.intp)
            self._histogram += np.bincount(bins, minlength=len(self._histogram))

    def merge(self, other: Self) -> None:
        """Add the sums of another accumulator."""
        self._sum += other._sum
        self._within += other._within
        self._histogram += other._histogram

    def compute(self) -> dict[str, float]:
        """Return 'mean_angle', 'median_angle' (to 0.01), 'within_11.25' and so on."""
        count = int(self._histogram.sum())
        fractions = _ratio(self._within, np.full(len(ANGLE_THRESHOLDS), count))
        return {
            'mean_angle': self._sum / count if count else nan,
            'median_angle': self._median(count),
            **{
                f'within_{limit:g}': float(fraction)
                for limit, fraction in zip(ANGLE_THRESHOLDS, fractions, strict=True)
            },
        }

    def _median(self, count: int) -> float:
        if not count:
            return nan
        middle = [(count - 1) // 2, count // 2]
        return float(np.searchsorted(self._histogram.cumsum(), middle, 'right').mean() * ANGLE_BIN)


class DepthError:
    """Errors of depth over all labelled pixels of the data set (as in Eigen et al., 2014).

    Labels that are not finite and positive are unknown. A result that is neither, or below one
    millimeter, counts as one millimeter.
    """

    def __init__(self) -> None:
        # Pixels; sums of squared, squared logarithmic, relative errors; pixels with delta < 1.25.
        self._sums = np.zeros(5)

    def update(self, result: Array, label: Array) -> None:
        """Add an image.

        Args:
            result: (H, W) float32 depth [m].
            label: (H, W) float32 depth [m], NaN = unknown.

        Raises:
            ValueError: Shapes that differ.

        """
        _check_shapes(result, label)
        for predicted, target in _chunks(result.ravel(), label.ravel()):
            self._sums += _depth_sums(predicted, target)

    def merge(self, other: Self) -> None:
        """Add the sums of another accumulator."""
        self._sums += other._sums

    def compute(self) -> dict[str, float]:
        """Return 'rmse' in meters, 'log_rmse' (natural), 'abs_rel' and 'delta_1'."""
        square, log, relative, within = _ratio(self._sums[1:], np.full(4, self._sums[0]))
        return {
            'rmse': sqrt(square),
            'log_rmse': sqrt(log),
            'abs_rel': float(relative),
            'delta_1': float(within),
        }


def _chunks(result: Array, label: Array) -> Iterator[tuple[Array, Array]]:
    """Yield chunks of both, whose intermediate results fit into the cache of a CPU core."""
    for start in range(0, len(label), CHUNK):
        chunk = slice(start, start + CHUNK)
        yield result[chunk], label[chunk]


def _angles(result: Array, label: Array) -> NDArray[np.float32]:
    """Return the angles between vectors, both (n, 3), where the label is known [degrees]."""
    predicted, target = _planes(result), _planes(label)  # (3, n)
    valid = _is_direction(target)
    with np.errstate(invalid='ignore', over='ignore'):
        angles = _angle_between(predicted, target)
    angles[~_is_direction(predicted)] = 180
    return angles if valid.all() else angles[valid]


def _angle_between(u: NDArray[np.float32], v: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the angles between vectors, both (3, n), (n,) [degrees]."""
    (a, b, c), (x, y, z) = u, v
    # Unlike the arc cosine of the product, this is exact at 0 and for vectors of any length.
    sine = np.sqrt((b * z - c * y) ** 2 + (c * x - a * z) ** 2 + (a * y - b * x) ** 2)
    angles: NDArray[np.float32] = np.arctan2(sine, a * x + b * y + c * z)
    angles *= np.float32(180 / pi)
    return angles


def _is_direction(planes: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return where vectors, (3, n), are finite and not zero, (n,)."""
    x, y, z = planes
    finite = np.isfinite(x) & np.isfinite(y) & np.isfinite(z)
    return finite & ((x != 0) | (y != 0) | (z != 0))


def _planes(vectors: Array) -> NDArray[np.float32]:
    # Sums along an axis of length 3 take numpy ten times longer than sums of three planes.
    planes: NDArray[np.float32] = np.empty((3, vectors.size // 3), np.float32)
    planes[:] = vectors.reshape(-1, 3).T
    return planes


def _depth_sums(result: Array, label: Array) -> list[float]:
    meters = label.astype(np.float64)
    valid = (meters > 0) & (meters < np.inf)
    target, predicted = meters[valid], result[valid].astype(np.float64)
    predicted[~(predicted >= MIN_DEPTH) | (predicted == np.inf)] = MIN_DEPTH
    error, log = predicted - target, np.log(predicted / target)
    within = np.count_nonzero(np.abs(log) < np.log(1.25))
    relative = (np.abs(error) / target).sum()
    return [len(target), _sum_of_squares(error), _sum_of_squares(log), relative, within]


def _sum_of_squares(values: NDArray[np.float64]) -> float:
    return float(np.einsum('i,i', values, values))


# Edges

EDGE_TOLERANCE = 0.0075
"""Maximum distance of matching edges, as a fraction of the image diagonal (BSDS)."""
EDGE_LEVELS = 256
RIDGE_SLACK = 1e-4  # of the strength; more than the rounding of the blur over a flat part


class EdgeODS:
    """Best F measure of thinned edges with one threshold for the whole data set (ODS).

    After Martin, Fowlkes and Malik, "Learning to detect natural image boundaries", 2004: a pixel
    of the thinned result is a hit if a true edge lies within 0.0075 of the image's diagonal, a
    true edge is recalled if a pixel of the result lies within the same distance, and the counts
    of all images are summed before F = 2PR/(P+R) is computed. All 255 thresholds of a uint8
    result are evaluated.

    Unlike there, several pixels may match the same edge (BSDS matches one to one), so doubled
    edges cost nothing, true edges need not be thin, and values are somewhat higher: they compare
    with each other, not with tables that were made with the BSDS code.
    """

    def __init__(self) -> None:
        # Rows: result, result near label, label, label near result; columns: strength.
        self._counts = np.zeros((4, EDGE_LEVELS), np.int64)

    def update(self, result: Array, label: Array) -> None:
        """Add an image.

        Args:
            result: (H, W) uint8, probability times 255; need not be thin.
            label: (H, W) uint8, 0 or 1, 255 = unknown; the result is ignored there. Or soft,
                float32, NaN = unknown, of which 0.5 and more is an edge.

        Raises:
            ValueError: Shapes that differ.

        """
        _check_shapes(result, label)
        label = hard(label, SOFT_TRUTH)
        valid = label != UNLABELLED
        edges = valid & (label != 0)
        thin = thin_edges(np.where(valid, result, 0).astype(np.uint8))
        thin[~valid] = 0
        disc = _disc(EDGE_TOLERANCE * hypot(*label.shape))
        near_edges = cv2.dilate(edges.astype(np.uint8), disc).view(np.bool_)
        near_result = cv2.dilate(thin, disc)
        # A true edge counts at every threshold, as if it had the maximum strength.
        strengths = (thin, thin[near_edges], edges[edges] * np.uint8(255), near_result[edges])
        self._counts += [np.bincount(values.ravel(), minlength=EDGE_LEVELS) for values in strengths]

    def merge(self, other: Self) -> None:
        """Add the counts of another accumulator."""
        self._counts += other._counts

    def compute(self) -> dict[str, float]:
        """Return 'ods_f', 0..1; NaN without any true edge, 0 where none is found."""
        # Every strength but 0 is a threshold.
        found, hits, edges, recalled = self._counts[:, ::-1].cumsum(axis=1)[:, :-1]
        if not edges[-1]:
            return {'ods_f': nan}
        return {'ods_f': _best_f1(hits / np.maximum(found, 1), recalled / edges)}


def thin_edges(result: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return edge strengths on the ridges of a result, 0 elsewhere (non-maximum suppression).

    A pixel remains if the blurred result (Gaussian, sigma 1 pixel) has negative mean curvature
    there and is not below its values one pixel away on either side, across the ridge: along the
    direction of the most negative curvature. Flat tops wider than the blur remain whole, so a
    result with edges everywhere keeps its false edges. The strength is the maximum of the result
    within one pixel, since the ridge of a double line lies between the two.

    Args:
        result: (H, W) uint8 edge strengths.

    """
    height, width = result.shape
    smooth = cv2.GaussianBlur(result.astype(np.float32), (0, 0), 1)
    across_x, across_y, bend = _curvature(smooth)
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    # On a flank the most negative curvature lies along the edge, where no neighbor is larger.
    ridge = bend <= RIDGE_SLACK * smooth
    for sign in (-1, 1):
        side = cv2.remap(
            smooth,
            x + sign * across_x,
            y + sign * across_y,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        ridge &= side - smooth <= RIDGE_SLACK * smooth
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


# Metric of a task


METRICS: dict[str, Callable[[Task], Metric]] = {
    'miou': lambda task: MeanIoU(task.classes),
    'mean_angle': lambda _: AngularError(),
    'max_f': lambda _: MaxF(),
    'rmse': lambda _: DepthError(),
    'ods_f': lambda _: EdgeODS(),
}
"""Constructors of accumulators, by the name of the headline metric (`Task.metric`)."""


def metric_for(task: Task) -> Metric:
    """Return a new accumulator whose values include `task.metric`.

    Raises:
        ValueError: An unknown metric.

    """
    if task.metric not in METRICS:
        allowed = ', '.join(METRICS)
        raise ValueError(
            f"task '{task.name}' asks for metric '{task.metric}', choose from: {allowed}"
        )
    return METRICS[task.metric](task)


# Comparison of networks


def delta_m(
    values: Mapping[str, float], baseline: Mapping[str, float], tasks: Iterable[str]
) -> float:
    """Return the relative gain over a baseline, averaged over tasks [%].

    Delta-m = 100/T * sum of (-1)^l (M - B) / B with l = 1 where lower is better (Maninis et al.,
    "Attentive single-tasking of multiple tasks", 2019). The baseline is usually one network per
    task with the same backbone.

    Args:
        values: Headline metric (`Task.metric`) by task name.
        baseline: Headline metric of the baseline by task name.
        tasks: Names of the tasks to average over.

    Returns:
        Gain in per cent, NaN if a value is NaN.

    Raises:
        ValueError: No task, an unknown task, a task without value, or a baseline of 0.

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


def rank_correlation(a: ArrayLike, b: ArrayLike) -> float:
    """Return Spearman's rank correlation over the pairs in which both values are finite.

    Args:
        a: (n,) values.
        b: (n,) values.

    Returns:
        Correlation in -1..1; NaN with fewer than two pairs, or if all values of a side are equal.

    """
    from scipy.stats import spearmanr

    pairs = np.stack([np.asarray(a, float), np.asarray(b, float)])  # (2, n)
    pairs = pairs[:, np.isfinite(pairs).all(0)]
    if pairs.shape[1] < 2 or (pairs.max(1) == pairs.min(1)).any():
        return nan
    return float(spearmanr(*pairs).statistic)
