# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What Linux says of heat and energy, read from sysfs.

Containers and virtual machines often have neither: then nothing is found, and that is said.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

THERMAL = Path('/sys/class/thermal')
POWERCAP = Path('/sys/class/powercap')


@dataclass(frozen=True)
class ZoneReading:
    """A thermal zone.

    Attributes:
        name: Its type, such as 'x86_pkg_temp'; with its number if several share one.
        celsius: Temperature [degrees Celsius]; NaN if it cannot be read.
        trip_c: Lowest passive trip point, at which the kernel throttles; infinite without one.

    """

    name: str
    celsius: float
    trip_c: float


class ThermalZones:
    """The thermal zones of the kernel (Documentation/driver-api/thermal/sysfs-api.rst)."""

    def __init__(self, root: Path = THERMAL) -> None:
        """Look under a folder, which need not exist."""
        self._root = root

    def names(self) -> list[str]:
        """Return the names of the zones that there are."""
        return list(self._folders())

    def read(self, zone: str = 'hottest') -> ZoneReading:
        """Read a zone by name, or the hottest.

        Raises:
            ValueError: There is no such zone, or none at all for 'hottest'.

        """
        folders = self._folders()
        if zone != 'hottest':
            if zone not in folders:
                there = ', '.join(folders) or 'none'
                raise ValueError(f"no thermal zone '{zone}' under {self._root}; there are: {there}")
            return _read_zone(zone, folders[zone])
        if not folders:
            raise ValueError(f'no thermal zone under {self._root}')
        readings = [_read_zone(name, folder) for name, folder in folders.items()]
        return max(readings, key=_sortable)

    def _folders(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        zones = self._root.glob('thermal_zone*')
        for folder in sorted(zones, key=lambda path: (len(path.name), path.name)):
            name = _text(folder / 'type')
            if name:
                found[f'{name}-{folder.name[12:]}' if name in found else name] = folder
        return found


class EnergyCounter:
    """Joules that the processor packages spent, by RAPL (Linux powercap).

    Most systems let only root read it.
    """

    def __init__(self, root: Path = POWERCAP) -> None:
        """Look for the packages under a folder, which need not exist."""
        # 'intel-rapl:0' is a package, 'intel-rapl:0:1' a part of it; AMD has the same names.
        found = sorted(root.glob('intel-rapl:*'))
        self._packages = [path for path in found if path.name.count(':') == 1]
        self._last = {path: _number(path / 'energy_uj') for path in self._packages}
        self._joules = 0.0

    def joules(self) -> float:
        """Return the energy since this counter was made [J]; NaN if it cannot be read."""
        for path, last in self._last.items():
            now = _number(path / 'energy_uj')
            spent = now - last
            if spent < 0:
                spent += _number(path / 'max_energy_range_uj')  # the counter began anew
            self._joules += spent / 1e6
            self._last[path] = now
        return self._joules if self._packages else math.nan


def _read_zone(name: str, folder: Path) -> ZoneReading:
    trips = [
        _number(path.with_name(path.name.replace('_type', '_temp'))) / 1000
        for path in folder.glob('trip_point_*_type')
        if _text(path) == 'passive'
    ]
    known = [trip for trip in trips if trip > 0]
    return ZoneReading(name, _number(folder / 'temp') / 1000, min(known, default=math.inf))


def _sortable(reading: ZoneReading) -> float:
    return -math.inf if math.isnan(reading.celsius) else reading.celsius


def _number(path: Path) -> float:
    """Return the number in a file, NaN if there is none: sensors of sleeping parts fail."""
    try:
        return float(_text(path))
    except ValueError:
        return math.nan


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ''
