# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Lens of one camera, which metric depth needs, and what is said while it is unknown."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING

from adamtl_ros.focal import fits_image, info_focal
from adamtl_ros.ros.topics import is_calibrated

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sensor_msgs.msg import CameraInfo

    from adamtl_ros.ros.context import NodeContext

MISSING_AFTER = 10
"""Images without a `camera_info` after which it is missing; the first ones may be faster."""

MAX_WARNINGS = 20
"""Largest number of warnings; a problem of every new image size is one of its own."""


class LensMonitor:
    """Monitor of the focal length of a camera, where depth of the model depends on it.

    Warns once for each kind of problem. While the focal length is unknown, depth is right for a
    camera of the canonical focal length of the model.

    Attributes:
        focal: Relative focal length of the last image with depth; NaN if unknown.
        problem: Reason why it is unknown; empty if it is known, or not known to be missing yet.

    """

    def __init__(self, context: NodeContext) -> None:
        self._context = context
        self._warned: set[str] = set()
        self._lock = threading.Lock()  # the executor's thread and that of the worker
        self.reset()

    def reset(self) -> None:
        """Forget the images, but not the warnings."""
        self.focal, self.problem, self._waited = math.nan, '', 0

    def is_needed(self, tasks: Iterable[str]) -> bool:
        """Return whether a result of some tasks depends on the focal length."""
        return self._context.engine.model.focal is not None and 'depth' in tasks

    def update(
        self, info: CameraInfo | None, size: tuple[int, int], tasks: Iterable[str]
    ) -> float | None:
        """Return the relative focal length for an image; NaN if unknown, None if not needed.

        Args:
            info: Latest calibration; None before the first.
            size: Height and width of the image [px].
            tasks: Tasks that run on it.

        """
        if not self.is_needed(tasks):
            return None
        self._waited += 1
        self.focal = math.nan if info is None else info_focal(info, size)
        self.problem = self._find_problem(info, size)
        if self.problem:
            self._warn(self.problem, info)
        return self.focal

    def warn_uncalibrated(self, info: CameraInfo) -> None:
        """Log that K is zero, whether or not depth is in use."""
        self._warn(self._uncalibrated(), info)

    def _find_problem(self, info: CameraInfo | None, size: tuple[int, int]) -> str:
        if info is None:
            missing = self._waited >= MISSING_AFTER
            return f'no camera_info on {self._context.info_topic}' if missing else ''
        if not math.isnan(self.focal):
            return ''
        if is_calibrated(info) and not fits_image(info, size):
            return f'{self._context.info_topic} does not fit an image of {size[1]}x{size[0]}'
        return self._uncalibrated()

    def _uncalibrated(self) -> str:
        return f'{self._context.info_topic} has K = 0: uncalibrated camera'

    def _warn(self, problem: str, info: CameraInfo | None) -> None:
        with self._lock:
            if problem in self._warned or len(self._warned) >= MAX_WARNINGS:
                return
            self._warned.add(problem)
        self._context.node.get_logger().warning(problem + self._advice(info))

    def _advice(self, info: CameraInfo | None) -> str:
        """Return what the problem means for depth and what to do; empty if it means nothing."""
        if not self.is_needed(self._context.settings.tasks):
            return ''
        if info is None:
            todo = "publish it beside the image, or remap 'camera_info' to its topic"
        elif is_calibrated(info):
            todo = 'publish the calibration of this image size, with its region of interest'
        else:
            todo = 'calibrate the camera (camera_calibration) and load the result in its driver'
        return (
            '; until then depth is scaled as if the lens was that of the training (focal length '
            f'{self._context.engine.model.focal:.3f} x square root of the area of the image); '
            f'{todo}'
        )
