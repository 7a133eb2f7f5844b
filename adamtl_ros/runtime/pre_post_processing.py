# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Pre- and post-processing: camera image to network input, raw maps to task results."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch

from adamtl_ros.focal import check_focal
from adamtl_ros.nn.network import resize_images
from adamtl_ros.tasks import LOG_DEPTH_LIMIT, UNLABELLED, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from adamtl_ros.nn.io.checkpoint import Model
    from adamtl_ros.tasks import Task

    Planes = NDArray[np.float32]
    Size = tuple[int, int]


class Preprocessor:
    """Resizing of RGB images to about the input size of a model, and to that of a plan."""

    def __init__(self, model: Model) -> None:
        self.size = model.input_size
        self.stride = model.network.arch.stride

    def network_size(self, image: NDArray[np.uint8]) -> Size:
        """Return height and width of the network input for an image, (H, W, 3)."""
        return network_size(image.shape[0], image.shape[1], self.size, self.stride)

    def __call__(self, image: NDArray[np.uint8], scale: float = 1.0) -> NDArray[np.uint8]:
        """Resize an image to the input size of a plan.

        In two steps, as in training: straight from the camera's size the filter is another one,
        which costs a network with rungs accuracy (docs/benchmarks.md).

        Args:
            image: RGB image, (H, W, 3) uint8.
            scale: Scale of the plan.

        Returns:
            (h, w, 3) uint8, contiguous.

        """
        size = self.network_size(image)
        if image.shape[:2] != size:
            method = cv2.INTER_AREA if size[0] < image.shape[0] else cv2.INTER_LINEAR
            image = cv2.resize(image, (size[1], size[0]), interpolation=method)
        return np.ascontiguousarray(image if scale == 1 else _scaled(image, scale))


def _scaled(pixels: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """Resize the full network input to the input size of a plan, both (h, w, 3) uint8."""
    batch = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    scaled: NDArray[np.uint8] = resize_images(batch, scale)[0].permute(1, 2, 0).numpy()
    return scaled


def network_size(height: int, width: int, target: tuple[int, int], stride: int) -> tuple[int, int]:
    """Return the input size for an image: its aspect ratio and about the target's area.

    Sides are multiples of the stride, so that nothing is padded, and lie between one stride and
    four times the longer side of the target; the aspect ratio of narrow strips is reduced to that.

    Args:
        height: Height of the image [pixels].
        width: Width of the image [pixels].
        target: Height and width that the model was made for [pixels].
        stride: Largest stride of the network [pixels].

    Returns:
        Height and width of the network input [pixels].

    """
    scale = (target[0] * target[1] / (height * width)) ** 0.5
    limit = 4 * max(target) // stride
    rows, columns = (
        min(max(1, round(side * scale / stride)), limit) * stride for side in (height, width)
    )
    return rows, columns


def postprocess(task: Task, planes: Planes, size: Size) -> NDArray[np.generic]:
    """Convert the raw map of a task to its result.

    Args:
        task: Task of the map.
        planes: Raw map, (channels, h, w).
        size: Height and width of the result [pixels].

    Returns:
        (H, W) uint8 for labels and probabilities, (H, W, 3) float32 unit normals, or (H, W)
        float32 meters. Where the map is not finite: 255 for labels, NaN for normals and depth,
        0 for probabilities.

    """
    return _BY_KIND[task.kind](planes, size)


def labels(logits: Planes, size: Size) -> NDArray[np.uint8]:
    """Return the class of the largest bilinearly resized logit, (H, W).

    The maximum is taken over the classes that are the largest somewhere in the map, and at half
    of the output's resolution where that is still finer than the map itself. This takes an
    eighth of the time for 40 classes, and moves borders by a pixel at most.
    """
    height, width = size
    present = np.unique(np.argmax(logits, axis=0))
    coarse = (height + 1) // 2 < logits.shape[1] or (width + 1) // 2 < logits.shape[2]
    grid = size if coarse else ((height + 1) // 2, (width + 1) // 2)
    best = _resize(logits[present[0]], grid)
    unknown = None if np.isfinite(logits).all() else _resize(_not_finite(logits), grid) > 0
    ids = np.full(grid, present[0], np.uint8)
    wins = np.empty(grid, np.uint8)
    for index in present[1:]:
        plane = _resize(logits[index], grid)
        np.greater(plane, best, out=wins.view(np.bool_))
        np.maximum(plane, best, out=best)
        # Later classes have larger ids, so the maximum keeps the last winner.
        np.multiply(wins, np.uint8(index), out=wins)
        np.maximum(ids, wins, out=ids)
    if unknown is not None:
        ids[unknown] = UNLABELLED
    return cv2.resize(ids, (width, height), interpolation=cv2.INTER_NEAREST)


def normals(planes: Planes, size: Size) -> NDArray[np.float32]:
    """Return unit vectors of the bilinearly resized planes, (H, W, 3)."""
    x, y, z = (_resize(plane, size) for plane in planes)
    length = x * x
    length += y * y
    length += z * z
    np.sqrt(length, out=length)
    with np.errstate(invalid='ignore', divide='ignore'):
        for plane in (x, y, z):
            np.divide(plane, length, out=plane)
    return cv2.merge([x, y, z])


def depth(planes: Planes, size: Size) -> NDArray[np.float32]:
    """Return meters from a map of their logarithm, (H, W); NaN where it is not finite."""
    meters = np.exp(np.clip(planes[0], -LOG_DEPTH_LIMIT, LOG_DEPTH_LIMIT))
    meters[~np.isfinite(planes[0])] = np.nan
    return _resize(meters, size)


def at_focal(planes: Planes, focal: float | None, canonical: float) -> Planes:
    """Return a map of log depth as a camera sees it, from that of the canonical camera.

    Args:
        planes: Logarithms of meters times canonical over real focal length, (1, h, w).
        focal: Relative focal length of the image (see `adamtl_ros.focal`); None or NaN:
            unknown, as if it were the canonical one.
        canonical: Canonical relative focal length of the model.

    Raises:
        ValueError: A focal length that is not positive or not finite.

    """
    if focal is None or math.isnan(focal):
        return planes
    check_focal(focal)
    return planes + np.float32(math.log(focal / canonical))


def probability(planes: Planes, size: Size) -> NDArray[np.uint8]:
    """Return the probability of a logit, (H, W), scaled to 0..255."""
    scaled = 255 / (1 + np.exp(-np.clip(np.nan_to_num(planes[0], nan=-30.0), -30, 30)))
    return _resize(np.rint(scaled).astype(np.uint8), size)


def _resize(plane: NDArray[Any], size: Size) -> NDArray[Any]:
    height, width = size
    return cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR)


def _not_finite(planes: Planes) -> Planes:
    return np.where(np.isfinite(planes).all(axis=0), 0, 1).astype(np.float32)


_BY_KIND: dict[Kind, Callable[[Planes, Size], NDArray[np.generic]]] = {
    Kind.LABELS: labels,
    Kind.NORMALS: normals,
    Kind.DEPTH: depth,
    Kind.PROBABILITY: probability,
}
