# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Parameters of the node: descriptions, ranges, validation, and changes at run time."""

from __future__ import annotations

import dataclasses
import difflib
import re
from dataclasses import dataclass, field
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

from adamtl_ros.engines.backend import ENGINES, PRECISIONS
from adamtl_ros.governor.governor import GovernorSettings
from adamtl_ros.governor.limiters.battery import BatterySettings
from adamtl_ros.governor.limiters.deadline import DeadlineSettings
from adamtl_ros.governor.limiters.thermal import ThermalSettings
from adamtl_ros.nn.io.checkpoint import DEFAULT_WEIGHTS
from adamtl_ros.tasks import TASKS, select
from adamtl_ros.text import one_line, reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from rclpy.node import Node

CHOICES = {
    'engine': ENGINES,
    'precision': PRECISIONS,
    'image_transport': ('raw', 'compressed'),
    'output_size': ('input', 'network'),
}


@dataclass(frozen=True)
class Spec:
    """Specification of a parameter.

    Attributes:
        name: Name of the parameter.
        description: One sentence for `ros2 param describe` and the documentation.
        low: Smallest value of a number.
        high: Largest value of a number.
        live: Whether it can change at run time.

    """

    name: str
    description: str
    low: float | None = None
    high: float | None = None
    live: bool = False


STRUCTURE = (
    Spec('autostart', 'Configure and activate the node when it starts.'),
    Spec('model', f'Weights: {DEFAULT_WEIGHTS} (shipped), or the path of a .safetensors file.'),
    Spec('model_sha256', 'SHA-256 that the file of the model must have; empty: any.'),
    Spec('adapter', 'Path of an adapter file for this model; empty: none.', live=True),
    Spec('device', "Torch device such as cpu or cuda:0, or 'auto': the GPU if there is one."),
    Spec('engine', "What runs the network: torch, openvino, or 'auto': the fastest that agrees."),
    Spec('precision', "Precision of the engine: float32, bfloat16, or 'auto', likewise."),
    Spec('threads', 'CPU threads of the network; 0 leaves one core to the robot.', 0, 1024),
    Spec(
        'cameras',
        'Names of several cameras, the prefixes of their topics; one empty name: one camera.',
    ),
    Spec('image_transport', 'Transport of the input image: raw or compressed.'),
    Spec('output_size', 'Size of the results: that of the input image or of the network input.'),
    Spec(
        'budget', 'Fraction of the full MACs that frames may cost on average.', 0.01, 1.0, live=True
    ),
    Spec('tasks', 'Enabled tasks; each runs only while it has a subscriber.', live=True),
    Spec(
        'max_rate_hz',
        'Largest number of frames processed per second [Hz]; 0: no limit.',
        0.0,
        1000.0,
        live=True,
    ),
    Spec(
        'max_megapixels',
        'Largest image that is decoded [megapixels]; a larger one is refused by its header.',
        0.01,
        1000.0,
        live=True,
    ),
    Spec('deadline_ms', 'Latency allowed for a frame [ms]; 0: any.', 0.0, 60000.0, live=True),
)


def _live(name: str, description: str, low: float | None = None, high: float | None = None) -> Spec:
    return Spec(name, description, low, high, live=True)


GOVERNOR = (
    _live('governor.floor', 'Lowest budget that the limiters can enforce.', 0.01, 1.0),
    _live('governor.fall_per_s', 'Fastest fall of the limit [1/s].', 0.01, 1000.0),
    _live('governor.rise_per_s', 'Fastest rise of the limit [1/s].', 0.001, 1000.0),
    _live('governor.deadband', 'Rise of the limit that is ignored.', 0.0, 0.5),
    _live('battery.enabled', 'Whether the charge of the battery limits the budget.'),
    _live('battery.high', 'Charge above which the full budget is allowed, 0..1.', 0.0, 1.0),
    _live('battery.low', 'Charge at which only battery.floor_budget is allowed, 0..1.', 0.0, 1.0),
    _live('battery.floor_budget', 'Budget at battery.low and below.', 0.01, 1.0),
    _live(
        'battery.full_scale',
        'Value that the driver sends for a full battery, 1 or 100.',
        1.0,
        100.0,
    ),
    _live('battery.timeout_s', 'Age from which a battery state is ignored [s].', 0.1, 86400.0),
    _live('battery.hysteresis', 'Rise of the charge that is treated as noise.', 0.0, 0.5),
    _live('thermal.enabled', 'Whether the temperature limits the budget.'),
    _live('thermal.zone', "Thermal zone of Linux by name, or 'hottest'; empty: none."),
    _live('thermal.diagnostics', 'Whether to read jetson_stats temperatures from /diagnostics.'),
    _live('thermal.target_c', 'Target temperature [degrees Celsius].', -50.0, 150.0),
    _live(
        'thermal.max_c',
        'Temperature from which only thermal.floor_budget is allowed [degrees Celsius].',
        -50.0,
        150.0,
    ),
    _live('thermal.floor_budget', 'Lowest limit by temperature.', 0.01, 1.0),
    _live('thermal.gain', 'Proportional gain: reduction of the budget per degree.', 0.0, 1.0),
    _live(
        'thermal.band_c',
        'Width of the band below the target in which thermal.gain acts [degrees].',
        0.0,
        50.0,
    ),
    _live(
        'thermal.integral',
        'Integral gain: reduction of the budget per second and degree above the target.',
        0.0,
        1.0,
    ),
    _live('thermal.timeout_s', 'Age from which a temperature is ignored [s].', 0.1, 86400.0),
    _live(
        'thermal.hysteresis_c',
        'Distance below thermal.max_c to cool down to before more is allowed [degrees].',
        0.0,
        50.0,
    ),
    _live(
        'thermal.margin_c',
        'Distance of the target below a passive trip point [degrees].',
        0.0,
        50.0,
    ),
    _live('deadline.floor_budget', 'Lowest limit by deadline_ms.', 0.01, 1.0),
    _live('deadline.quantile', 'Fraction of the frames that have to meet deadline_ms.', 0.5, 1.0),
    _live('deadline.headroom', 'Fraction of deadline_ms that is left free.', 0.0, 0.5),
    _live('deadline.window', 'Number of latest frames for deadline.quantile.', 5, 1000),
    _live(
        'deadline.recovery',
        'Number of consecutive faster frames after which a load counts as gone.',
        2,
        1000,
    ),
)
SPECS = STRUCTURE + GOVERNOR


@dataclass(frozen=True)
class LiveSettings:
    """Values of the run-time parameters at one moment; the worker reads them once per frame.

    Attributes:
        budget: Budget requested by the user, in (0, 1].
        tasks: Enabled tasks.
        max_rate_hz: Largest number of frames per second [Hz]; 0: no limit.
        deadline_ms: Latency allowed for a frame [ms]; 0: any.
        max_megapixels: Largest image that is decoded [megapixels].
        governor: Settings of the governor.
        thermal_zone: Thermal zone to read, 'hottest' for all, or '' for none.
        thermal_diagnostics: Whether to read temperatures from `/diagnostics`.

    """

    budget: float
    tasks: tuple[str, ...]
    max_rate_hz: float
    deadline_ms: float
    max_megapixels: float = 16.0
    governor: GovernorSettings = field(default_factory=GovernorSettings)
    thermal_zone: str = ''
    thermal_diagnostics: bool = False


def live_settings(values: Mapping[str, Any]) -> LiveSettings:
    """Return the settings from the values of all parameters by name."""
    governor = GovernorSettings(
        **_section(GovernorSettings, values, 'governor'),
        battery=BatterySettings(**_section(BatterySettings, values, 'battery')),
        thermal=ThermalSettings(**_section(ThermalSettings, values, 'thermal')),
        deadline=DeadlineSettings(
            **_section(DeadlineSettings, values, 'deadline'), deadline_ms=values['deadline_ms']
        ),
    )
    return LiveSettings(
        budget=values['budget'],
        tasks=tuple(values['tasks']),
        max_rate_hz=values['max_rate_hz'],
        deadline_ms=values['deadline_ms'],
        max_megapixels=values['max_megapixels'],
        governor=governor,
        thermal_zone=values['thermal.zone'],
        thermal_diagnostics=values['thermal.diagnostics'],
    )


def _section(kind: Any, values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the parameters `<name>.*` that are fields of a dataclass."""
    fields = [entry.name for entry in dataclasses.fields(kind)]
    return {f: values[f'{name}.{f}'] for f in fields if f'{name}.{f}' in values}


def default_values() -> dict[str, Any]:
    """Return the default values, those of the installed `config/perception.yaml`."""
    path = Path(get_package_share_directory('adamtl_ros')) / 'config' / 'perception.yaml'
    return flatten(yaml.safe_load(path.read_text())['/**']['ros__parameters'])


def flatten(values: dict[str, Any], prefix: str = '') -> dict[str, Any]:
    """Return the entries of nested sections by dotted names, as in ROS."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        inner = isinstance(value, dict)
        found |= flatten(value, f'{prefix}{name}.') if inner else {prefix + name: value}
    return found


class Parameters:
    """Declared parameters of a node.

    Attributes:
        settings: Current values of the run-time parameters; replaced when one changes.

    """

    def __init__(self, node: Node) -> None:
        """Declare all parameters.

        Raises:
            ValueError: Override of the wrong type, outside its range, or in contradiction to
                another one.

        """
        self._node = node
        self._overrides = node._parameter_overrides  # noqa: SLF001  rclpy has no public access
        self._available: tuple[str, ...] = tuple(TASKS)
        self._resetting = False
        self.connect_adapter()
        defaults = default_values()
        for spec in SPECS:
            self._declare(spec, defaults[spec.name])
        self._warn_about_unknown()
        self.settings = self._read()
        if problem := self.settings.governor.contradiction:
            raise ValueError(problem)
        node.add_pre_set_parameters_callback(self._convert_types)
        node.add_on_set_parameters_callback(self._validate)
        node.add_post_set_parameters_callback(self._apply)

    def __getitem__(self, name: str) -> Any:
        """Return the value of a parameter."""
        return self._node.get_parameter(name).value

    def restrict_tasks(self, available: Iterable[str]) -> None:
        """Allow only the tasks of the model from now on.

        Args:
            available: Names of the tasks of the model.

        Raises:
            ValueError: The parameter `tasks` names another task.

        """
        available = tuple(available)
        select(self['tasks'], available)
        self._available = available

    def connect_adapter(
        self,
        check: Callable[[str], None] = lambda _: None,
        request: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Set the callbacks of the parameter `adapter`; none without arguments.

        Args:
            check: Quick check of a path, which raises ValueError if it cannot be used.
            request: Function called with the new path once it is set.

        """
        self._check_adapter, self._request_adapter = check, request

    def reset(self, name: str, value: Any) -> None:
        """Set a parameter to the value in use, without validation and callbacks.

        Call it only on the thread that runs the parameter services.
        """
        self._resetting = True
        try:
            self._node.set_parameters([Parameter(name, value=value)])
        finally:
            self._resetting = False

    def _declare(self, spec: Spec, default: Any) -> None:
        """Declare with the type of the default; for a float, an override may be an integer."""
        # rclpy itself would refuse an override such as `budget:=1`.
        given = self._overrides[spec.name].value if spec.name in self._overrides else default
        value = _convert(default, given)
        problem = _problem(spec, default, value)
        if problem:
            raise ValueError(problem)
        self._node.declare_parameter(
            spec.name, value, _descriptor(spec, default), ignore_override=True
        )

    def _warn_about_unknown(self) -> None:
        """Log overrides that name no parameter; a file may hold those of other nodes."""
        known = {spec.name for spec in SPECS}
        for name in self._overrides:
            if name not in known | {'use_sim_time'} and not name.startswith('qos_overrides.'):
                close = difflib.get_close_matches(name, known, 1)
                hint = f"; did you mean '{close[0]}'?" if close else ''
                self._node.get_logger().warning(f"There is no parameter '{name}'{hint}")

    def _read(self) -> LiveSettings:
        return live_settings({spec.name: self[spec.name] for spec in SPECS})

    def _convert_types(self, parameters: list[Parameter[Any]]) -> list[Parameter[Any]]:
        return [self._converted(parameter) for parameter in parameters]

    def _converted(self, parameter: Parameter[Any]) -> Parameter[Any]:
        if not self._node.has_parameter(parameter.name):
            return parameter
        declared = self._node.get_parameter(parameter.name)
        if parameter.value == [] and isinstance(declared.value, list):
            return Parameter(parameter.name, declared.type_, [])  # an empty list has no type
        return Parameter(parameter.name, value=_convert(declared.value, parameter.value))

    def _validate(self, parameters: list[Parameter[Any]]) -> SetParametersResult:
        for parameter in parameters:
            problem = one_line(self._problem_of(parameter))
            if problem:
                return SetParametersResult(successful=False, reason=problem)
        current = {spec.name: self[spec.name] for spec in SPECS}
        requested = {p.name: p.value for p in parameters if p.name in current}
        problem = live_settings(current | requested).governor.contradiction
        return SetParametersResult(successful=not problem, reason=problem)

    def _problem_of(self, parameter: Parameter[Any]) -> str:
        if parameter.name == 'tasks':
            return _tasks_problem(parameter.value, self._available)
        if parameter.name == 'adapter' and not self._resetting:
            try:
                self._check_adapter(parameter.value)
            except Exception as error:  # noqa: BLE001  of a file that may be anything
                return reason(error)
        return ''

    def _apply(self, parameters: list[Parameter[Any]]) -> None:
        self.settings = self._read()
        for parameter in parameters:
            if parameter.name == 'adapter' and not self._resetting:
                self._request_adapter(parameter.value)


def _convert(example: Any, value: Any) -> Any:
    """Convert an int to float where the example is a float."""
    is_int = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if isinstance(example, float) and is_int else value


def _descriptor(spec: Spec, default: Any) -> ParameterDescriptor:
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


def _problem(spec: Spec, default: Any, value: Any) -> str:
    """Return what is wrong with a start value; empty if nothing is."""
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


def _cameras_problem(names: Any) -> str:
    """Return what is wrong with a list of cameras; empty if nothing is."""
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


def _tasks_problem(names: Any, available: tuple[str, ...]) -> str:
    """Return what is wrong with a list of tasks; empty if nothing is."""
    if not names:
        return f'name at least one task of: {", ".join(available)}; or deactivate the node'
    try:
        select(names, available)
    except ValueError as error:
        return str(error)
    return ''
