# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Our own message types without ROS."""

import re
from pathlib import Path

import numpy as np
import pytest

import adamtl_ros
from adamtl_ros.bags import writer as own_types
from adamtl_ros.bags.writer import LABEL_INFO, STATS, own_typestore

DEFINITION = Path(adamtl_ros.__file__).resolve().parent.parent / 'msg' / 'ComputeStats.msg'
STORE = own_typestore()
checkout = pytest.mark.skipif(not DEFINITION.is_file(), reason='needs a checkout')


def header(stamp=(7, 5)):
    time = STORE.types['builtin_interfaces/msg/Time'](*stamp)
    return STORE.types['std_msgs/msg/Header'](time, 'camera')


@checkout
def test_statistics_have_the_fields_of_the_definition():
    lines = [line.split('#')[0].split() for line in DEFINITION.read_text().splitlines()]
    fields = [line[1] for line in lines if len(line) == 2 and '=' not in line[1]]
    pairs = (line[1].split('=') for line in lines if len(line) == 2 and '=' in line[1])
    constants = {name: int(value) for name, value in pairs}
    kind = STORE.types[STATS]
    assert [name for name in kind.__dataclass_fields__ if name.islower()] == [
        *fields, '__msgtype__'
    ]  # fmt: skip
    assert {name: getattr(kind, name) for name in constants} == constants
    assert constants['FLOOR'] == 4


def test_statistics_survive_a_bag():
    kind = STORE.types[STATS]
    numbers = {'blocks_run', 'blocks_total', 'windows_run', 'windows_total', 'sequence', 'macs'}
    values = {'header': header(), 'model': 'nano', 'device': 'cpu', 'tasks': ['depth', 'edges']}
    values |= {'engine': 'torch', 'precision': 'float32'}
    for index, (name, _) in enumerate(STORE.fielddefs[STATS][1]):
        whole = name in numbers or re.match('frames_|macs_|limit_', name)
        values.setdefault(name, index if whole else index / 4)
    there = STORE.deserialize_cdr(STORE.serialize_cdr(kind(**values), STATS), STATS)
    assert there == kind(**values)
    assert (there.tasks, there.header.stamp.nanosec) == (['depth', 'edges'], 5)


def test_class_names_survive_a_bag():
    entry = STORE.types['vision_msgs/msg/VisionClass']
    info = STORE.types[LABEL_INFO](header(), [entry(0, 'floor'), entry(65535, 'Tür')], 0.5)
    there = STORE.deserialize_cdr(STORE.serialize_cdr(info, LABEL_INFO), LABEL_INFO)
    assert [(one.class_id, one.class_name) for one in there.class_map] == [
        (0, 'floor'),
        (65535, 'Tür'),
    ]
    assert there.threshold == np.float32(0.5)


def test_the_standard_types_are_there_too():
    assert 'sensor_msgs/msg/Image' in STORE.types
    assert own_typestore() is STORE


def test_a_definition_that_is_not_installed_is_named():
    with pytest.raises(FileNotFoundError, match=r'msg/Nothing\.msg is in none of .*share/adamtl'):
        own_types._definition('Nothing')


@checkout
@pytest.mark.parametrize(
    'package', ['lib/python3.12/site-packages/adamtl_ros', 'local/lib/python3.12/dist-packages/a']
)
def test_the_definition_of_an_installed_package(tmp_path, monkeypatch, package):
    """As colcon installs it: beside lib/, or above local/."""
    share = tmp_path / 'share' / 'adamtl_ros' / 'msg'
    share.mkdir(parents=True)
    (share / 'Mine.msg').write_text('uint8 x')
    (tmp_path / package).mkdir(parents=True)
    monkeypatch.setattr(adamtl_ros, '__file__', str(tmp_path / package / '__init__.py'))
    assert own_types._definition('Mine') == 'uint8 x'
