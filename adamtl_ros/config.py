# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Conversion of YAML data to dataclasses, with errors that name the wrong entry.

Recipes and scenarios are read with `from_dict()`. A dataclass field with
``metadata={'aliases': ('old_name',)}`` is also read under its former names. `json_value()` goes
the other way, to JSON.
"""

from __future__ import annotations

import dataclasses
import math
from contextlib import suppress
from types import UnionType
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

import numpy as np
import yaml

from adamtl_ros.files import file_problem
from adamtl_ros.text import one_line, quote

if TYPE_CHECKING:
    from pathlib import Path


MAX_ENTRIES = 100_000
"""Largest number of entries of YAML, with every reference to an entry written out."""


class ConfigError(ValueError):
    """A wrong entry; the message has its name, its value and what is allowed."""


def parse_yaml(text: str, name: str) -> Any:
    """Return the content of YAML, from plain values only.

    Args:
        text: YAML.
        name: Name of the file or option, for the message.

    Raises:
        ConfigError: Not YAML, or nested so deep or with so many references that writing it out
            would take all memory.

    """
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f'{name} is not YAML: {one_line(error)}') from error
    if _entries(content, {}) > MAX_ENTRIES:
        raise ConfigError(f'{name}: its references stand for more than {MAX_ENTRIES} entries')
    return content


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file.

    Raises:
        ConfigError: As `parse_yaml()`, or no file of text.
        OSError: The file cannot be read.

    """
    if problem := file_problem(path):
        raise FileNotFoundError(f'{path}: {problem}')
    try:
        return parse_yaml(path.read_text(encoding='utf-8'), f'{path}')
    except UnicodeDecodeError as error:
        raise ConfigError(f'{path} is not YAML: {error}') from error


def _entries(value: Any, known: dict[int, float]) -> float:
    """Return the number of entries of nested values; infinite if one holds itself.

    Args:
        value: Dictionaries, lists and plain values.
        known: Numbers by `id()` of what was counted; every object is looked at once.

    """
    if not isinstance(value, (dict, list, tuple, set)):
        return 1
    if id(value) not in known:
        known[id(value)] = math.inf  # stands for itself if it comes again before it is counted
        inner = [*value.keys(), *value.values()] if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_entries(one, known) for one in inner)
    return known[id(value)]


def set_entry(values: Any, name: str, value: Any) -> None:
    """Replace one entry of nested YAML data, in place.

    Args:
        values: Nested dictionaries and lists.
        name: Dotted name of the entry, such as 'stages.0.steps'. Missing dictionaries on the
            way are created.
        value: New value.

    Raises:
        ConfigError: No such list element, or a plain value where an entry is expected.

    """
    *path, last = name.split('.')
    try:
        for key in path:
            if isinstance(values, dict):
                values.setdefault(key, {})
            values = values[_index(values, key)]
        values[_index(values, last)] = value
    except (IndexError, TypeError, ValueError) as error:
        raise ConfigError(f"there is no entry '{name}' to set: {error}") from error


def from_dict(kind: Any, value: Any, name: str = '') -> Any:
    """Convert YAML data to a declared type.

    Args:
        kind: Type: a dataclass, a tuple, a dict, a union of one of these with None, or a plain
            type.
        value: Dictionaries, lists and plain values.
        name: Dotted name of the entry for error messages; empty for a whole file.

    Returns:
        An instance of the type; numbers become floats where a float is declared.

    Raises:
        ConfigError: An entry that is unknown, missing, of another type, or refused by its
            dataclass.

    """
    origin, args = get_origin(kind), get_args(kind)
    if origin is UnionType:
        return _from_union(kind, value, name)
    if dataclasses.is_dataclass(kind):
        return _build_dataclass(kind, value, name)
    if origin is tuple and isinstance(value, list | tuple):
        types = [args[0]] * len(value) if args[-1] is Ellipsis else args
        if len(types) == len(value):
            return tuple(
                from_dict(type_, item, f'{name}.{index}')
                for index, (type_, item) in enumerate(zip(types, value, strict=True))
            )
    if origin is dict and isinstance(value, dict) and args[1] is not Any:
        return {key: from_dict(args[1], item, _join(name, key)) for key, item in value.items()}
    if kind is float and not isinstance(value, bool):
        with suppress(TypeError, ValueError):
            return float(value)  # also of a string: YAML reads 1e-3 as one
    plain = origin or kind
    if isinstance(plain, type) and plain is not tuple and type(value) is plain:
        return value
    raise _wrong_type(kind, value, name)


def _from_union(kind: Any, value: Any, name: str) -> Any:
    """Convert to the one type of a union that is not None."""
    if value is None:
        return None
    option = next(one for one in get_args(kind) if one is not type(None))
    if get_origin(option) or (dataclasses.is_dataclass(option) and isinstance(value, dict)):
        return from_dict(option, value, name)  # an error inside names its own entry
    try:
        return from_dict(option, value, name)
    except ConfigError as error:
        raise _wrong_type(kind, value, name) from error


def _wrong_type(kind: Any, value: Any, name: str) -> ConfigError:
    plain = get_origin(kind) is None
    type_name = getattr(kind, '__name__', str(kind)) if plain else str(kind)
    return ConfigError(f"'{name}' must be of type {type_name}, got {quote(value)}")


def _build_dataclass(kind: Any, value: Any, name: str) -> Any:
    if not isinstance(value, dict):
        raise ConfigError(f"'{name}' must hold entries, got {quote(value)}")
    value = _resolve_aliases(kind, value, name)
    known = [field.name for field in dataclasses.fields(kind)]
    unknown = [key for key in value if key not in known]
    if unknown:
        raise ConfigError(
            f"unknown entry '{_join(name, unknown[0])}', choose from: {', '.join(known)}"
        )
    hints = get_type_hints(kind)
    entries = {key: from_dict(hints[key], item, _join(name, key)) for key, item in value.items()}
    try:
        return kind(**entries)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"'{name or 'the file'}': {error}") from error


def _resolve_aliases(kind: Any, value: dict[Any, Any], name: str) -> dict[Any, Any]:
    """Rename entries with a former name."""
    current = {
        alias: field.name
        for field in dataclasses.fields(kind)
        for alias in field.metadata.get('aliases', ())
    }
    for old, new in current.items():
        if old in value and new in value:
            raise ConfigError(
                f"'{_join(name, old)}' is the former name of '{_join(name, new)}', remove one of "
                'the two entries'
            )
    return {current.get(key, key): item for key, item in value.items()}


def _index(values: Any, key: str) -> str | int:
    return int(key) if isinstance(values, list) else key


def _join(name: str, key: object) -> str:
    return f'{name}.{key}' if name else str(key)


def json_value(value: Any) -> Any:
    """Return a value as JSON can hold it: tuples and arrays as lists, NaN and infinity as None."""
    if isinstance(value, dict):
        return {str(key): json_value(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [json_value(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
