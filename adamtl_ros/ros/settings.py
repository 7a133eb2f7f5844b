# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The run-time parameters of one moment, as the worker reads them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from adamtl_ros.runtime.governor import GovernorSettings
from adamtl_ros.runtime.limiters.battery import BatterySettings
from adamtl_ros.runtime.limiters.deadline import DeadlineSettings
from adamtl_ros.runtime.limiters.thermal import ThermalSettings

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Settings:
    """The run-time parameters of one moment; the worker reads them once per frame.

    Attributes:
        budget: What the user allows.
        tasks: Tasks that may run.
        max_rate_hz: Most frames per second; 0: no limit.
        deadline_ms: Latency that frames may have; 0: any.
        governor: How battery, heat and deadline limit the budget.
        thermal_zone: Thermal zone to read, 'hottest' or ''.
        thermal_diagnostics: Listen to the temperatures on `/diagnostics`.

    """

    budget: float
    tasks: tuple[str, ...]
    max_rate_hz: float
    deadline_ms: float
    governor: GovernorSettings = field(default_factory=GovernorSettings)
    thermal_zone: str = ''
    thermal_diagnostics: bool = False


def settings_of(values: Mapping[str, Any]) -> Settings:
    """Gather the settings from parameters by name."""
    governor = GovernorSettings(
        **_section(GovernorSettings, values, 'governor'),
        battery=BatterySettings(**_section(BatterySettings, values, 'battery')),
        thermal=ThermalSettings(**_section(ThermalSettings, values, 'thermal')),
        deadline=DeadlineSettings(
            **_section(DeadlineSettings, values, 'deadline'), deadline_ms=values['deadline_ms']
        ),
    )
    return Settings(
        budget=values['budget'],
        tasks=tuple(values['tasks']),
        max_rate_hz=values['max_rate_hz'],
        deadline_ms=values['deadline_ms'],
        governor=governor,
        thermal_zone=values['thermal.zone'],
        thermal_diagnostics=values['thermal.diagnostics'],
    )


def _section(kind: Any, values: Mapping[str, Any], name: str) -> dict[str, Any]:  # noqa: ANN401
    """Return the parameters '<name>.*' that are fields of a dataclass."""
    fields = [entry.name for entry in dataclasses.fields(kind)]
    return {f: values[f'{name}.{f}'] for f in fields if f'{name}.{f}' in values}
