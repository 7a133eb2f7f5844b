# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What all sources of images give: frames, one after the other."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from adamtl_ros.sources.calibration import from_field_of_view

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from adamtl_ros.sources.calibration import Calibration


LONGEST_DELAY_S = 1.0
"""Delay after which the time of a source goes on from where it is [s]."""

USUAL_HZ = 30.0
"""Images per second of a source that does not say."""


class SourceError(ValueError):
    """Input that is no source of images, or a source that fails."""


@dataclass(frozen=True)
class Frame:
    """Image of a source.

    Attributes:
        image: (H, W, 3) uint8, RGB.
        stamp_ns: Time of the image [ns]; of a bag, its header stamp.
        name: Name of the picture; '' for an image of a stream.

    """

    image: NDArray[np.uint8]
    stamp_ns: int
    name: str = ''


class Source(ABC):
    """Source of images.

    Attributes:
        name: What it is, for people.
        live: Whether images come at a pace of their own, and those that nobody takes are lost.
        count: Number of images; None if unknown.
        rate_hz: Images per second; NaN if unknown.
        calibration: Intrinsics of the camera; None if unknown.
        fov_deg: Horizontal field of view without a calibration [degrees]; 0 if unknown.
        skipped: What could not be read and was left out.

    """

    live = False
    count: int | None = None
    rate_hz = math.nan
    calibration: Calibration | None = None
    fov_deg = 0.0

    def __init__(self, name: str) -> None:
        self.name = name
        self.skipped: list[str] = []

    @property
    def has_lens(self) -> bool:
        """Whether the intrinsics are known."""
        return self.calibration is not None or self.fov_deg > 0

    def intrinsics(self, height: int, width: int) -> Calibration | None:
        """Return the intrinsics for an image of a size [px]; None if unknown.

        Raises:
            CalibrationError: They are of another shape, or the field of view is impossible.

        """
        if self.calibration is not None:
            return self.calibration.resized(height, width)
        return from_field_of_view(self.fov_deg, height, width) if self.fov_deg else None

    @abstractmethod
    def frames(self) -> Iterator[Frame]:
        """Yield the images from the first on.

        Raises:
            SourceError: There is none, or the source fails.

        """


def repeated(source: Source) -> Iterator[Frame]:
    """Yield the images of a source again and again, with stamps that go on rising."""
    shift_ns = 0
    period_ns = round(1e9 / (USUAL_HZ if math.isnan(source.rate_hz) else source.rate_hz))
    while True:
        first = last = None
        for frame in source.frames():
            first = frame if first is None else first
            last = frame
            yield replace(frame, stamp_ns=frame.stamp_ns + shift_ns)
        if first is None or last is None:
            return
        shift_ns += last.stamp_ns - first.stamp_ns + period_ns


def in_real_time(
    frames: Iterable[Frame],
    wait: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Frame]:
    """Yield frames when it is their time, as a camera would; those that are too late are left out.

    Args:
        frames: Frames with rising stamps.
        wait: Function that waits for some seconds.
        clock: Steady clock [s].

    """
    offset_s = math.nan
    previous: Frame | None = None
    for frame in frames:
        if math.isnan(offset_s):
            offset_s = clock() - frame.stamp_ns / 1e9
        early_s = frame.stamp_ns / 1e9 + offset_s - clock()
        period_s = (frame.stamp_ns - previous.stamp_ns) / 1e9 if previous else 0.0
        previous = frame
        if early_s < -LONGEST_DELAY_S:
            offset_s -= early_s  # nobody took frames for a while
        elif early_s < -period_s < 0:
            continue
        if early_s > 0:
            wait(early_s)
        yield frame
