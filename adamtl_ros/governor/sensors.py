# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Thermal zones and energy counters of Linux, read from sysfs.

Containers and virtual machines often have neither; reading then raises an error or returns NaN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

THERMAL_ROOT = Path('/sys/class/thermal')
POWERCAP_ROOT = Path('/sys/class/powercap')


@dataclass(frozen=True)
class ZoneReading:
    """Reading of a thermal zone.

    Attributes:
        name: Type of the zone, such as 'x86_pkg_temp'; if several zones have one type, all but
            the first have their number appended.
        celsius: Temperature [degrees Celsius]; NaN if it cannot be read.
        trip_c: Lowest passive trip point, at which the kernel throttles [degrees Celsius];
            infinite without one.

    """

    name: str
    celsius: float
    trip_c: float


class ThermalZones:
    """Thermal zones of the kernel (Documentation/driver-api/thermal/sysfs-api.rst)."""

    def __init__(self, root: Path = THERMAL_ROOT) -> None:
        """Set the folder of the zones, which need not exist."""
        self._root = root
        self._trips: dict[str, float] = {}

    def names(self) -> list[str]:
        """Return the names of all zones."""
        return list(self._folders())

    def read(self, zone: str) -> ZoneReading:
        """Read a zone by name.

        Raises:
            ValueError: There is no such zone.

        """
        folders = self._folders()
        if zone not in folders:
            known = ', '.join(folders) or 'none'
            raise ValueError(f"no thermal zone '{zone}' under {self._root}; there are: {known}")
        return self._read(zone, folders[zone])

    def read_all(self) -> list[ZoneReading]:
        """Read all zones that can be read; those of sleeping parts cannot.

        Raises:
            ValueError: No zone can be read.

        """
        readings = [self._read(name, folder) for name, folder in self._folders().items()]
        known = [reading for reading in readings if not math.isnan(reading.celsius)]
        if not known:
            raise ValueError(f'no thermal zone under {self._root} that can be read')
        return known

    def _read(self, name: str, folder: Path) -> ZoneReading:
        if name not in self._trips:
            self._trips[name] = _passive_trip(folder)
        return ZoneReading(name, _number(folder / 'temp') / 1000, self._trips[name])

    def _folders(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        zones = self._root.glob('thermal_zone*')
        for folder in sorted(zones, key=lambda path: (len(path.name), path.name)):
            name = _text(folder / 'type')
            if name:
                found[f'{name}-{folder.name[12:]}' if name in found else name] = folder
        return found


class EnergyCounter:
    """Energy used by the processor packages, from RAPL (Linux powercap).

    On most systems only root may read it.
    """

    def __init__(self, root: Path = POWERCAP_ROOT) -> None:
        """Find the packages under a folder, which need not exist."""
        # AMD uses the same names. Parts of packages and 'psys', the whole, are siblings.
        found = sorted(root.glob('intel-rapl:*'))
        packages = [path for path in found if _text(path / 'name').startswith('package')]
        self._last = {path: _number(path / 'energy_uj') for path in packages}
        self._joules = 0.0

    def joules(self) -> float:
        """Return the energy since this object was created [J]; NaN if it cannot be read."""
        readings = {path: _number(path / 'energy_uj') for path in self._last}
        if not readings or any(map(math.isnan, readings.values())):
            return math.nan
        for path, now in readings.items():
            spent = now - self._last[path]
            if spent < 0:
                spent += _number(path / 'max_energy_range_uj')  # the counter wrapped around
            self._joules += 0.0 if math.isnan(spent) else spent / 1e6
            self._last[path] = now
        return self._joules


def _passive_trip(folder: Path) -> float:
    """Return the lowest temperature at which the kernel throttles [degrees Celsius]."""
    trips = [
        _number(path.with_name(path.name.replace('_type', '_temp'))) / 1000
        for path in folder.glob('trip_point_*_type')
        if _text(path) == 'passive'
    ]
    known = [trip for trip in trips if trip > 0]
    return min(known, default=math.inf)


def _number(path: Path) -> float:
    """Return the number in a file; NaN if there is none, as for sensors of sleeping parts."""
    try:
        return float(_text(path))
    except ValueError:
        return math.nan


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ''
