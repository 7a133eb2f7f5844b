# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Optical flow at low resolution, warping, and signs of where a warped answer no longer fits.

Flow is DIS (Kroeger et al., "Fast optical flow using dense inverse search", ECCV 2016), in its
fastest preset at about 160x120: slower presets and larger images give the same accuracy of what
is warped (`docs/stream.md`). From frame to frame it is composed to one field that says where
each pixel was in the frame of the last refresh, so that maps are resampled once, however many
frames lie between.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Gray = NDArray[np.uint8]

AREA = 160 * 120
"""Area at which flow is computed [px]."""
LARGEST_ASPECT = 4.0
"""Largest aspect ratio at which flow is computed; DIS takes no narrow strips."""
NOISE = 10.0
"""Difference of gray values, of 255, that counts as one unit of the residual."""
MISALIGNMENT = 2.0
"""Misalignment [px] that textures may have before it counts as a change."""
LARGEST_RESIDUAL = 25.0
LARGEST_MOTION = 1 / 16
CUT = 0.25
"""Mean difference to the warped frame before, in standard deviations of the gray values, that means
a cut. 0.07 is the most between neighbours in recordings, 0.19 between every eighth frame; 95 % of
pairs of unrelated frames have more than 0.32, although flow matches what it can."""
LEAST_CONTRAST = 5.0
"""Standard deviation of gray values, of 255, that even a flat image is taken to have."""
SHARPNESS = 1.0
"""Standard deviation of the blur before gray values are compared [px]."""


def thumbnail(image: NDArray[np.uint8]) -> Gray:
    """Return a gray image of about `AREA` and the same aspect ratio from an RGB image.

    The aspect ratio of narrow strips is reduced to `LARGEST_ASPECT`.
    """
    height, width = image.shape[:2]
    aspect = min(max(width / height, 1 / LARGEST_ASPECT), LARGEST_ASPECT)
    size = round((AREA * aspect) ** 0.5), round((AREA / aspect) ** 0.5)
    shrinks = size[0] <= width and size[1] <= height
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.cvtColor(cv2.resize(image, size, interpolation=method), cv2.COLOR_RGB2GRAY)


class Flow:
    """Dense optical flow between gray images of one size."""

    def __init__(self) -> None:
        self._dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)

    def __call__(self, before: Gray, now: Gray) -> Floats:
        """Return where each pixel of the image now was before, (h, w, 2) columns and rows [px]."""
        back = self._dis.calc(now, before, None)
        places: Floats = grid(*now.shape) + back
        return places


def is_cut(before: Gray, now: Gray, places: Floats) -> bool:
    """Return whether a frame shows something else than the one before.

    Args:
        before: Gray image of the frame before.
        now: Gray image of the frame.
        places: Flow between them, see `Flow`.

    """
    difference = _remap(before.astype(np.float32), places) - now
    difference -= np.median(difference)
    return float(np.abs(difference).mean()) > CUT * (float(now.std()) + LEAST_CONTRAST)


def grid(height: int, width: int) -> Floats:
    """Return the column and row of each pixel, (h, w, 2)."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    return np.dstack([columns, rows])


def warp(planes: Floats, places: Floats) -> Floats:
    """Return planes sampled at other places, bilinearly; the border continues outside.

    Args:
        planes: (channels, h, w).
        places: Column and row of each pixel of the result, (H, W, 2) [px].

    Returns:
        (channels, H, W).

    """
    made = np.empty((len(planes), *places.shape[:2]), np.float32)
    for source, target in zip(planes, made, strict=True):
        cv2.remap(source, places, None, cv2.INTER_LINEAR, target, cv2.BORDER_REPLICATE)
    return made


def resize_places(places: Floats, size: tuple[int, int]) -> Floats:
    """Return places in an image as places in the same image of another height and width."""
    height, width = places.shape[:2]
    rows, columns = size
    if (height, width) == size:
        return places
    method = cv2.INTER_AREA if rows < height else cv2.INTER_LINEAR
    small = cv2.resize(places, (columns, rows), interpolation=method)
    scale = np.array([columns / width, rows / height], np.float32)
    resized: Floats = (small + np.float32(0.5)) * scale - np.float32(0.5)
    return resized


@dataclass(frozen=True)
class Signs:
    """Signs of how well an answer still fits after it was warped to a later frame.

    Attributes:
        age: Time since the answer was refreshed [s].
        motion: Displacement of each pixel since then, a fraction of the width, at most
            `LARGEST_MOTION`, (h, w).
        residual: Squared difference of the gray values to those of the warped frame, in units of
            what noise and misalignment explain, 0 to `LARGEST_RESIDUAL`, (h, w). A change of
            the brightness of the whole image does not count.
        lost: Fraction of each pixel that was outside of the image at some time, (h, w).

    """

    age: float
    motion: Floats
    residual: Floats
    lost: Floats

    def resized(self, size: tuple[int, int]) -> Signs:
        """Return the signs at another height and width."""

        def resize(plane: Floats) -> Floats:
            method = cv2.INTER_AREA if size[0] < plane.shape[0] else cv2.INTER_LINEAR
            return cv2.resize(plane, size[::-1], interpolation=method)

        return Signs(self.age, *map(resize, (self.motion, self.residual, self.lost)))


class Track:
    """Where each pixel was in the frame at which the track began.

    Attributes:
        stamp: Stamp of that frame [s].
        places: Column and row there of each pixel of the newest frame, (h, w, 2) [px].
        moved: Whether `advance()` was called since then.

    """

    def __init__(self, gray: Gray, stamp: float) -> None:
        """Begin at a frame.

        Args:
            gray: Gray image of the frame, see `thumbnail()`.
            stamp: Stamp of the frame [s].

        """
        self.stamp = stamp
        self._key = _smooth(gray)
        self._grid = grid(*gray.shape)
        self.places = self._grid
        self.moved = False
        self._lost = np.zeros(gray.shape, np.float32)

    def advance(self, before: Floats) -> None:
        """Go on to the next frame.

        Args:
            before: Where each pixel of the next frame was in the newest one, see `Flow`.

        """
        self.moved = True
        self.places = _remap(self.places, before)
        limits = np.array(self._lost.shape[::-1], np.float32) - 1
        outside = ((before < 0) | (before > limits)).any(-1)
        self._lost = np.maximum(_remap(self._lost, before), outside.astype(np.float32))

    def signs(self, gray: Gray, stamp: float) -> Signs:
        """Compare the newest frame with the warped first one.

        Args:
            gray: Gray image of the newest frame.
            stamp: Its stamp [s].

        """
        now = _smooth(gray)
        difference = _remap(self._key, self.places) - now
        difference -= np.median(difference)
        slope = cv2.Sobel(now, cv2.CV_32F, 1, 0, scale=1 / 8) ** 2
        slope += cv2.Sobel(now, cv2.CV_32F, 0, 1, scale=1 / 8) ** 2
        residual = difference**2 / (NOISE**2 + MISALIGNMENT**2 * slope)
        shift = self.places - self._grid
        motion = cv2.magnitude(shift[..., 0], shift[..., 1]) / gray.shape[1]
        return Signs(
            stamp - self.stamp,
            np.minimum(motion, np.float32(LARGEST_MOTION)),
            np.minimum(residual, np.float32(LARGEST_RESIDUAL)),
            self._lost,
        )


def _smooth(gray: Gray) -> Floats:
    return cv2.GaussianBlur(gray.astype(np.float32), (0, 0), SHARPNESS)


def _remap(plane: Floats, places: Floats) -> Floats:
    return cv2.remap(plane, places, None, cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE)
