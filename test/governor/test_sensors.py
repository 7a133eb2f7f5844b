# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Sensors in sysfs, on made trees of files."""

import math

import pytest

from adamtl_ros.governor.sensors import EnergyCounter, ThermalZones


def zone(root, number, kind, celsius, trips=()):
    folder = root / f'thermal_zone{number}'
    folder.mkdir(parents=True)
    (folder / 'type').write_text(f'{kind}\n')
    (folder / 'temp').write_text(f'{celsius}\n')
    for index, (name, value) in enumerate(trips):
        (folder / f'trip_point_{index}_type').write_text(f'{name}\n')
        (folder / f'trip_point_{index}_temp').write_text(f'{value}\n')
    return folder


def test_a_zone_by_name_in_millidegrees(tmp_path):
    zone(tmp_path, 0, 'acpitz', 27800)
    trips = [('critical', 100000), ('passive', 95000), ('passive', 85000), ('active', 50000)]
    zone(tmp_path, 1, 'x86_pkg_temp', 61500, trips)
    zones = ThermalZones(tmp_path)
    assert zones.names() == ['acpitz', 'x86_pkg_temp']
    found = zones.read('x86_pkg_temp')
    assert (found.name, found.celsius, found.trip_c) == ('x86_pkg_temp', 61.5, 85.0)
    assert zones.read('acpitz').trip_c == math.inf
    assert [z.celsius for z in zones.read_all()] == [27.8, 61.5]


def test_zones_of_one_type_are_numbered(tmp_path):
    for number, celsius in enumerate((40000, 50000, 45000)):
        zone(tmp_path, number, 'cpu', celsius)
    for number in (10, 11):
        zone(tmp_path, number, 'gpu', 30000)
    zones = ThermalZones(tmp_path)
    assert zones.names() == ['cpu', 'cpu-1', 'cpu-2', 'gpu', 'gpu-11']
    assert zones.read('cpu-1').celsius == 50


@pytest.mark.parametrize('text', ['', 'N/A', '\x00', 'nan'])
def test_an_invalid_value_is_nan(tmp_path, text):
    zone(tmp_path, 0, 'cpu', text)
    zone(tmp_path, 1, 'gpu', 30000)
    zones = ThermalZones(tmp_path)
    assert math.isnan(zones.read('cpu').celsius)
    assert [z.name for z in zones.read_all()] == ['gpu']


def test_a_zone_that_vanishes_is_reported(tmp_path):
    folder = zone(tmp_path, 0, 'cpu', 50000)
    zones = ThermalZones(tmp_path)
    (folder / 'temp').unlink()
    assert math.isnan(zones.read('cpu').celsius)
    (folder / 'type').unlink()
    with pytest.raises(ValueError, match=r"no thermal zone 'cpu' under .*; there are: none"):
        zones.read('cpu')
    with pytest.raises(ValueError, match='no thermal zone under'):
        zones.read_all()


def test_without_sysfs(tmp_path):
    assert ThermalZones(tmp_path / 'nowhere').names() == []
    assert math.isnan(EnergyCounter(tmp_path / 'nowhere').joules())


def package(root, name, energy, most=262143328850, kind='package-0'):
    folder = root / name
    folder.mkdir()
    (folder / 'name').write_text(f'{kind}\n')
    (folder / 'energy_uj').write_text(f'{energy}\n')
    (folder / 'max_energy_range_uj').write_text(f'{most}\n')
    return folder


def test_joules_of_all_packages(tmp_path):
    first = package(tmp_path, 'intel-rapl:0', 5_000_000)
    second = package(tmp_path, 'intel-rapl:1', 100)
    package(tmp_path, 'intel-rapl:0:0', 1, kind='core')
    package(tmp_path, 'intel-rapl:2', 1, kind='psys')
    counter = EnergyCounter(tmp_path)
    assert counter.joules() == 0
    (first / 'energy_uj').write_text('7500000')
    (second / 'energy_uj').write_text('1000100')
    assert counter.joules() == pytest.approx(3.5)
    assert counter.joules() == pytest.approx(3.5)


def test_a_counter_that_wraps_around(tmp_path):
    folder = package(tmp_path, 'intel-rapl:0', 9_000_000, most=10_000_000)
    counter = EnergyCounter(tmp_path)
    (folder / 'energy_uj').write_text('500000')
    assert counter.joules() == pytest.approx(1.5)


def test_energy_that_may_not_be_read_is_nan(tmp_path):
    folder = package(tmp_path, 'intel-rapl:0', 1)
    (folder / 'energy_uj').unlink()
    assert math.isnan(EnergyCounter(tmp_path).joules())


def test_reading_continues_after_a_failure(tmp_path):
    folder = package(tmp_path, 'intel-rapl:0', 1_000_000)
    counter = EnergyCounter(tmp_path)
    (folder / 'energy_uj').write_text('')
    assert math.isnan(counter.joules())
    (folder / 'energy_uj').write_text('4000000')
    assert counter.joules() == pytest.approx(3)
