# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Conversion of YAML data to dataclasses: types, former names, and error messages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from adamtl_ros.config import ConfigError, from_dict, set_entry
from adamtl_ros.data.transforms import Augmentation


@dataclass(frozen=True)
class Lens:
    """A dataclass with an entry of a former name."""

    focal: float
    color: float = field(default=0.5, metadata={'aliases': ('colour', 'tint')})


@dataclass(frozen=True)
class Camera:
    """A dataclass with one entry of each kind."""

    name: str
    lens: Lens
    spare: Lens | None = None
    size: tuple[int, int] = (4, 6)
    weight: float | None = None
    topics: tuple[str, ...] = ()
    gains: dict[str, float] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError('name must not be empty')


def test_nested_entries_become_dataclasses():
    values = {
        'name': 'left',
        'lens': {'focal': '1e-3'},
        'spare': {'focal': 2},
        'size': [1, 2],
        'topics': ['a', 'b'],
        'gains': {'red': 1},
        'options': {'any': [1, {'b': None}]},
    }
    found = from_dict(Camera, values)
    expected = Camera(
        'left',
        Lens(0.001),
        Lens(2.0),
        (1, 2),
        None,
        ('a', 'b'),
        {'red': 1.0},
        {'any': [1, {'b': None}]},
    )
    assert found == expected
    assert isinstance(found.spare.focal, float)
    assert from_dict(Camera, {'name': 'x', 'lens': {'focal': 1}, 'spare': None}).spare is None


@pytest.mark.parametrize('value', [1, 1.0, '1e0'])
def test_optional_numbers_become_floats(value):
    values = {'name': 'x', 'lens': {'focal': 1}}
    found = from_dict(Camera, {**values, 'weight': value}).weight
    assert isinstance(found, float)
    assert found == 1
    assert from_dict(Camera, {**values, 'weight': None}).weight is None
    for wrong in ('heavy', True, [1]):
        with pytest.raises(ConfigError, match=r"^'weight' must be of type float \| None, got"):
            from_dict(Camera, {**values, 'weight': wrong})


def test_tuples_are_read_like_lists():
    assert from_dict(tuple[float, ...], (1, 2)) == (1.0, 2.0)


@pytest.mark.parametrize('name', ['color', 'colour', 'tint'])
def test_former_names_are_read(name):
    assert from_dict(Lens, {'focal': 1, name: 0.1}) == Lens(1.0, 0.1)


def test_the_augmentation_of_old_recipes_is_read():
    old, new = (from_dict(Augmentation, {name: 0.125}) for name in ('colour', 'color'))
    assert old == new == Augmentation(color=0.125)


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'lens': {'focal': 1, 'zoom': 2}}, r"^unknown entry 'lens\.zoom', choose from: focal, c"),
        ({'lens': {'focal': 1, 'color': 1, 'tint': 1}}, r"'lens\.tint' is the former name of 'le"),
        ({'lens': {'focal': 1, 'tint': 'x'}}, r"^'lens\.color' must be of type float, got 'x'"),
        ({'lens': {}}, r"^'lens': .*missing.*'focal'"),
        ({'lens': 3}, "^'lens' must hold entries, got 3"),
        ({'size': [1]}, r"^'size' must be of type tuple\[int, int\], got \[1\]"),
        ({'size': [1, 'b']}, r"^'size\.1' must be of type int, got 'b'"),
        ({'spare': 'none'}, r"^'spare' must be of type .*Lens \| None, got 'none'"),
        ({'name': ''}, "^'the file': name must not be empty"),
    ],
)
def test_errors_name_the_entry_and_what_is_allowed(values, message):
    with pytest.raises(ConfigError, match=message):
        from_dict(Camera, {'name': 'left', 'lens': {'focal': 1}, **values})


def test_entries_are_set_by_dotted_names():
    values = {'stages': [{'steps': 1}, {'steps': 2}]}
    set_entry(values, 'stages.1.steps', 5)
    set_entry(values, 'policy.narrow', 0.5)
    assert values == {'stages': [{'steps': 1}, {'steps': 5}], 'policy': {'narrow': 0.5}}


@pytest.mark.parametrize('name', ['stages.2', 'stages.last.steps', 'stages.0.steps.more'])
def test_missing_entries_cannot_be_set(name):
    with pytest.raises(ConfigError, match=f"there is no entry '{name}' to set"):
        set_entry({'stages': [{'steps': 1}]}, name, 3)
