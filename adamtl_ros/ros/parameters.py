# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The node's parameters: what they mean, their ranges, and how they change at run time."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from ament_index_python.packages import get_package_share_directory
from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.parameter import Parameter

from adamtl_ros.ros.settings import Settings, settings_of
from adamtl_ros.ros.specs import CHOICES, SPECS, Spec
from adamtl_ros.tasks import TASKS, select

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rclpy.node import Node


def default_values() -> dict[str, Any]:
    """Return the values of the installed `config/perception.yaml`."""
    path = Path(get_package_share_directory('adamtl_ros')) / 'config' / 'perception.yaml'
    return flat(yaml.safe_load(path.read_text())['/**']['ros__parameters'])


def flat(values: dict[str, Any], prefix: str = '') -> dict[str, Any]:
    """Return the entries of nested sections by names with dots, as ROS has them."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        inner = isinstance(value, dict)
        found |= flat(value, f'{prefix}{name}.') if inner else {prefix + name: value}
    return found


class Parameters:
    """Declares the parameters on a node and keeps `settings` up to date."""

    def __init__(self, node: Node) -> None:
        """Declare all parameters.

        Raises:
            ValueError: An override of the wrong type, outside its range, or against another.

        """
        self._node = node
        self._available: tuple[str, ...] = tuple(TASKS)
        self._putting_back = False
        self.watch_adapter()
        defaults = default_values()
        for spec in SPECS:
            self._declare(spec, defaults[spec.name])
        self._warn_of_unknown()
        self.settings = self._read()
        if problem := self.settings.governor.contradiction:
            raise ValueError(problem)
        node.add_pre_set_parameters_callback(self._coerce)
        node.add_on_set_parameters_callback(self._validate)
        node.add_post_set_parameters_callback(self._apply)

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401
        """Return the value of a parameter."""
        return self._node.get_parameter(name).value

    def restrict_tasks(self, available: Iterable[str]) -> None:
        """Allow only the tasks of the model from now on.

        Raises:
            ValueError: The parameter `tasks` names another one.

        """
        available = tuple(available)
        select(self['tasks'], available)
        self._available = available

    def watch_adapter(
        self,
        check: Callable[[str], None] = lambda _: None,
        request: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Say who wants to know of the parameter `adapter`; nobody if nothing is given.

        Args:
            check: Raises ValueError for a path that cannot be used; quick.
            request: Called with the new path once it is set.

        """
        self._check_adapter, self._request_adapter = check, request

    def put_back(self, name: str, value: Any) -> None:  # noqa: ANN401
        """Let a parameter say what is in force; neither checked nor passed on.

        Only where the parameter services run.
        """
        self._putting_back = True
        try:
            self._node.set_parameters([Parameter(name, value=value)])
        finally:
            self._putting_back = False

    def _declare(self, spec: Spec, default: Any) -> None:  # noqa: ANN401
        """Declare with the default's type; a whole number is good enough for a double."""
        # Declared without a type first, since an override such as `budget:=1` would raise.
        given = self._node.declare_parameter(
            spec.name, default, ParameterDescriptor(dynamic_typing=True)
        ).value
        self._node.undeclare_parameter(spec.name)
        value = _like(default, given)
        problem = _problem(spec, default, value)
        if problem:
            raise ValueError(problem)
        self._node.declare_parameter(
            spec.name, value, _descriptor(spec, default), ignore_override=True
        )

    def _warn_of_unknown(self) -> None:
        """Say which overrides name no parameter; a file may hold those of other nodes."""
        known = {spec.name for spec in SPECS}
        for name in self._node._parameter_overrides:  # noqa: SLF001  rclpy has no other way
            if name not in known | {'use_sim_time'} and not name.startswith('qos_overrides.'):
                close = difflib.get_close_matches(name, known, 1)
                hint = f"; did you mean '{close[0]}'?" if close else ''
                self._node.get_logger().warning(f"There is no parameter '{name}'{hint}")

    def _read(self) -> Settings:
        return settings_of({spec.name: self[spec.name] for spec in SPECS})

    def _coerce(self, parameters: list[Parameter[Any]]) -> list[Parameter[Any]]:
        return [self._coerce_one(parameter) for parameter in parameters]

    def _coerce_one(self, parameter: Parameter[Any]) -> Parameter[Any]:
        if not self._node.has_parameter(parameter.name):
            return parameter
        declared = self._node.get_parameter(parameter.name)
        if parameter.value == [] and isinstance(declared.value, list):
            return Parameter(parameter.name, declared.type_, [])  # an empty list has no type
        return Parameter(parameter.name, value=_like(declared.value, parameter.value))

    def _validate(self, parameters: list[Parameter[Any]]) -> SetParametersResult:
        for parameter in parameters:
            problem = self._problem_of(parameter)
            if problem:
                return SetParametersResult(successful=False, reason=problem)
        now = {spec.name: self[spec.name] for spec in SPECS}
        wanted = {p.name: p.value for p in parameters if p.name in now}
        problem = settings_of(now | wanted).governor.contradiction
        return SetParametersResult(successful=not problem, reason=problem)

    def _problem_of(self, parameter: Parameter[Any]) -> str:
        if parameter.name == 'tasks':
            return _tasks_problem(parameter.value, self._available)
        if parameter.name == 'adapter' and not self._putting_back:
            try:
                self._check_adapter(parameter.value)
            except ValueError as error:
                return str(error)
        return ''

    def _apply(self, parameters: list[Parameter[Any]]) -> None:
        self.settings = self._read()
        for parameter in parameters:
            if parameter.name == 'adapter' and not self._putting_back:
                self._request_adapter(parameter.value)


def _like(example: Any, value: Any) -> Any:  # noqa: ANN401
    """Turn an int into a float where a float is expected."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if isinstance(example, float) and whole else value


def _descriptor(spec: Spec, default: Any) -> ParameterDescriptor:  # noqa: ANN401
    descriptor = ParameterDescriptor(description=spec.description, read_only=not spec.live)
    if spec.name in CHOICES:
        descriptor.additional_constraints = f'One of: {", ".join(CHOICES[spec.name])}'
    if spec.low is not None and spec.high is not None:
        if isinstance(default, float):
            span = FloatingPointRange(from_value=spec.low, to_value=spec.high)
            descriptor.floating_point_range = [span]
        else:
            descriptor.integer_range = [
                IntegerRange(from_value=int(spec.low), to_value=int(spec.high))
            ]
    return descriptor


def _problem(spec: Spec, default: Any, value: Any) -> str:  # noqa: ANN401
    """Say what is wrong with a start value; empty when nothing is."""
    if spec.name == 'tasks' and not value:
        return _tasks_problem(value, tuple(TASKS))
    if spec.name == 'cameras' and (problem := _cameras_problem(value)):
        return problem
    if type(value) is not type(default):
        return (
            f"parameter '{spec.name}' must be of type {type(default).__name__} "
            f'such as {default!r}, got {value!r}'
        )
    if spec.name in CHOICES and value not in CHOICES[spec.name]:
        allowed = ', '.join(CHOICES[spec.name])
        return f"parameter '{spec.name}' must be one of: {allowed}; got '{value}'"
    if spec.low is not None and spec.high is not None and not spec.low <= value <= spec.high:
        return f"parameter '{spec.name}' must lie in [{spec.low}, {spec.high}], got {value}"
    return _tasks_problem(value, tuple(TASKS)) if spec.name == 'tasks' else ''


def _cameras_problem(names: Any) -> str:  # noqa: ANN401
    """Say what is wrong with a list of cameras; empty when nothing is."""
    if not isinstance(names, list) or not names or len(set(names)) < len(names):
        return f'cameras must name each camera once, or hold one empty name, got {names!r}'
    bad = [
        name
        for name in names
        if not re.fullmatch(r'[A-Za-z]\w*(/[A-Za-z]\w*)*', str(name), re.ASCII)
    ]
    if bad and names != ['']:
        return f"camera '{bad[0]}' cannot begin topics: letters, digits, _ and / only"
    clash = [name for name in names if name in TASKS]
    return f"camera '{clash[0]}' has the name of a task; choose another" if clash else ''


def _tasks_problem(names: Any, available: tuple[str, ...]) -> str:  # noqa: ANN401
    """Say what is wrong with a list of tasks; empty when nothing is."""
    if not names:
        return f'name at least one task of: {", ".join(available)}; or deactivate the node'
    try:
        select(names, available)
    except ValueError as error:
        return str(error)
    return ''
