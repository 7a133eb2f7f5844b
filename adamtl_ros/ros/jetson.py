# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Temperatures of a Jetson board, as isaac_ros_jetson_stats puts them on `/diagnostics`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from diagnostic_msgs.msg import DiagnosticStatus

if TYPE_CHECKING:
    from diagnostic_msgs.msg import DiagnosticArray

PREFIX = 'jetson_stats/temp/'
"""Names of the statuses begin so."""


@dataclass(frozen=True)
class BoardTemperature:
    """A sensor of the board.

    Attributes:
        name: Name of the status.
        celsius: Temperature [degrees Celsius]; NaN for a part that is switched off.
        warning_c: Where the board begins to warn; infinite if it does not say.
        critical: The board calls this too hot.

    """

    name: str
    celsius: float
    warning_c: float
    critical: bool


def board_temperatures(array: DiagnosticArray) -> list[BoardTemperature]:
    """Return the temperatures that a message holds; other statuses are left alone."""
    return [_read(status) for status in array.status if status.name.startswith(PREFIX)]


def _read(status: DiagnosticStatus) -> BoardTemperature:
    values = {pair.key: pair.value for pair in status.values}
    warning, celsius = _celsius(values.get('Warning', '')), _celsius(status.message)
    if math.isnan(warning):
        warning = celsius if status.level == DiagnosticStatus.WARN else math.inf
    critical = status.level == DiagnosticStatus.ERROR
    return BoardTemperature(status.name, celsius, warning, critical)


def _celsius(text: str) -> float:
    """Return the number of a text such as '51.25C', NaN if there is none."""
    found = re.fullmatch(r'\s*(-?\d+(?:\.\d+)?)\s*°?C\s*', text)
    return float(found[1]) if found else math.nan
