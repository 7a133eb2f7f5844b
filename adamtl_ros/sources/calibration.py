# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Intrinsics of a camera without a driver: from a file, a field of view, or a recording."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from adamtl_ros.focal import relative_focal

if TYPE_CHECKING:
    from pathlib import Path

WIDEST_DEG = 170.0
"""Largest field of view of a pinhole camera that is believed [degrees]."""


class CalibrationError(ValueError):
    """Calibration that cannot be read, or does not fit the camera."""


@dataclass(frozen=True)
class Calibration:
    """Intrinsics of a pinhole camera, as in `sensor_msgs/CameraInfo`.

    Attributes:
        width: Width of the image [px].
        height: Height of the image [px].
        k: Intrinsic matrix by rows: fx 0 cx, 0 fy cy, 0 0 1 [px].
        d: Coefficients of the distortion.
        distortion_model: Name of the distortion model.

    """

    width: int
    height: int
    k: tuple[float, ...]
    d: tuple[float, ...] = ()
    distortion_model: str = 'plumb_bob'

    @property
    def focal(self) -> float:
        """Relative focal length, see `adamtl_ros.focal`; NaN if K is zero."""
        return relative_focal(self.k[0], self.k[4], self.height, self.width)

    def resized(self, height: int, width: int) -> Calibration:
        """Return the calibration of the image in another size.

        Raises:
            CalibrationError: A size of another aspect ratio, of which the calibration says nothing.

        """
        if (height, width) == (self.height, self.width):
            return self
        x, y = width / self.width, height / self.height
        if abs(math.log(x / y)) > 0.05:
            raise CalibrationError(
                f'the calibration is for {self.width}x{self.height}, the image has '
                f'{width}x{height}, which is another shape; calibrate in this mode of the camera'
            )
        k = tuple(v * s for v, s in zip(self.k, (x, x, x, y, y, y, 1, 1, 1), strict=True))
        return dataclasses.replace(self, width=width, height=height, k=k)


def from_field_of_view(degrees: float, height: int, width: int) -> Calibration:
    """Return the calibration of an ideal pinhole camera.

    Args:
        degrees: Horizontal field of view [degrees].
        height: Height of the image [px].
        width: Width of the image [px].

    Raises:
        CalibrationError: A field of view that no such camera has.

    """
    if not 0 < degrees <= WIDEST_DEG:
        raise CalibrationError(
            f'the horizontal field of view must be over 0 and at most {WIDEST_DEG:g} degrees (60 '
            f'is usual), got {degrees:g}'
        )
    f = width / 2 / math.tan(math.radians(degrees) / 2)
    return from_focal(f, height, width)


def from_focal(f: float, height: int, width: int) -> Calibration:
    """Return the calibration of a camera with a focal length [px] and its center in the middle."""
    return Calibration(width, height, (f, 0.0, width / 2, 0.0, f, height / 2, 0.0, 0.0, 1.0))


def read_calibration(path: Path) -> Calibration:
    """Read the YAML file that `camera_calibration` writes (and camera drivers load).

    Raises:
        CalibrationError: No such file, or another kind of file.

    """
    try:
        tree: Any = yaml.safe_load(path.read_text(encoding='utf-8'))
        made = Calibration(
            width=int(tree['image_width']),
            height=int(tree['image_height']),
            k=_numbers(tree['camera_matrix'], 9),
            d=_numbers(tree['distortion_coefficients']),
            distortion_model=str(tree.get('distortion_model', 'plumb_bob')),
        )
    except OSError as error:
        raise CalibrationError(f'{path}: {error.strerror or error}') from error
    except (KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        raise CalibrationError(
            f'{path} is not a calibration as camera_calibration writes it (image_width, '
            f'camera_matrix, ...): {error}'
        ) from error
    if math.isnan(made.focal):
        raise CalibrationError(f'{path} has K = 0 or no size: it is not calibrated')
    return made


def from_info(info: Any) -> Calibration | None:
    """Return the calibration in a `sensor_msgs/CameraInfo`; None if it has no K or no size.

    Args:
        info: Message, of rclpy or of rosbags.

    """
    if not (info.k[0] and info.k[4] and info.width and info.height):
        return None
    return Calibration(
        int(info.width),
        int(info.height),
        tuple(map(float, info.k)),
        tuple(map(float, info.d)),
        info.distortion_model,
    )


def _numbers(matrix: Any, count: int | None = None) -> tuple[float, ...]:
    numbers = tuple(float(value) for value in matrix['data'])
    if count is not None and len(numbers) != count:
        raise ValueError(f'{count} numbers expected, got {len(numbers)}')
    return numbers
