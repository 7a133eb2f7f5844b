# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Dataclasses from what a YAML file holds, with errors that say which entry is wrong."""

from __future__ import annotations

import dataclasses
import math
from contextlib import suppress
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np


class ConfigError(ValueError):
    """An entry that is not as it must be; says which, and what it may be."""


def replace_entry(values: Any, name: str, value: Any) -> None:  # noqa: ANN401
    """Set the entry with a dotted name, such as 'stages.0.steps'.

    Raises:
        EntryError: There is no such place.

    """
    *path, last = name.split('.')
    try:
        for part in path:
            if isinstance(values, dict):
                values.setdefault(part, {})
            values = values[_key(values, part)]
        values[_key(values, last)] = value
    except (IndexError, TypeError, ValueError) as error:
        raise ConfigError(f"there is no entry '{name}' to set: {error}") from error


def _key(values: Any, part: str) -> str | int:  # noqa: ANN401
    return int(part) if isinstance(values, list) else part


def from_dict(kind: Any, value: Any, place: str) -> Any:  # noqa: ANN401
    """Make a value of a declared type, a dataclass for example, from what YAML gave.

    Args:
        kind: The type.
        value: Dictionaries, lists and plain values.
        place: Name of the entry, for errors.

    Raises:
        EntryError: An entry that is unknown, missing, of another type, or refused.

    """
    origin, parts = get_origin(kind), get_args(kind)
    if origin is UnionType and isinstance(value, dict):
        kind = next(filter(dataclasses.is_dataclass, parts), kind)
    if dataclasses.is_dataclass(kind):
        return _build_record(kind, value, place)
    if origin is tuple and isinstance(value, list):
        inner = [parts[0]] * len(value) if parts[-1] is Ellipsis else parts
        if len(inner) == len(value):
            return tuple(
                from_dict(part, one, f'{place}.{index}')
                for index, (part, one) in enumerate(zip(inner, value, strict=True))
            )
    if origin is UnionType and (value is None or isinstance(value, parts)):
        return value
    if origin is dict and isinstance(value, dict) and parts[1] is not Any:
        return {key: from_dict(parts[1], one, _join(place, key)) for key, one in value.items()}
    if kind is float and not isinstance(value, bool):
        with suppress(TypeError, ValueError):
            return float(value)  # also of a text, since YAML takes 1e-3 for one
    plain = origin or kind
    if isinstance(plain, type) and plain is not tuple and type(value) is plain:
        return value
    name = getattr(kind, '__name__', str(kind)) if origin is None else str(kind)
    raise ConfigError(f"'{place}' must be of type {name}, got {value!r}")


def _build_record(kind: Any, value: Any, place: str) -> Any:  # noqa: ANN401
    if not isinstance(value, dict):
        raise ConfigError(f"'{place}' must hold entries, got {value!r}")
    known = [entry.name for entry in dataclasses.fields(kind)]
    unknown = [key for key in value if key not in known]
    if unknown:
        raise ConfigError(
            f"unknown entry '{_join(place, unknown[0])}', choose from: {', '.join(known)}"
        )
    hints = get_type_hints(kind)
    entries = {key: from_dict(hints[key], one, _join(place, key)) for key, one in value.items()}
    try:
        return kind(**entries)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"'{place or 'the file'}': {error}") from error


def _join(place: str, name: object) -> str:
    return f'{place}.{name}' if place else str(name)


def json_value(value: Any) -> Any:
    """Return a value as JSON can hold it: tuples and arrays as lists, NaN and infinity as None."""
    if isinstance(value, dict):
        return {str(key): json_value(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [json_value(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
