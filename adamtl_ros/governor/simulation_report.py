# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A scenario with and without a governor: a table and a plot."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from adamtl_ros.governor.governor import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from adamtl_ros.governor.simulation import Scenario, SimulationRun

COLOURS = {
    Reason.USER: '#bbbbbb',
    Reason.BATTERY: '#2ca02c',
    Reason.THERMAL: '#d62728',
    Reason.DEADLINE: '#1f77b4',
    Reason.FLOOR: '#000000',
    Reason.STALE: '#9467bd',
}


def summary(scenario: Scenario, governed: SimulationRun, free: SimulationRun) -> str:
    """Return a table for people."""
    deadline = scenario.governor.deadline.deadline_ms
    lines = [f'{scenario.name}: {scenario.hours:g} h', f'{"":28}{"governor":>12}{"none":>12}']
    rows = [
        ('minutes to throttling', [r.minutes_to_throttling for r in (governed, free)]),
        ('minutes to empty', [r.minutes_to_empty for r in (governed, free)]),
        ('hottest [degrees Celsius]', [np.nanmax(r.celsius) for r in (governed, free)]),
        ('mean budget', [r.mean_budget for r in (governed, free)]),
        ('mean frames per second', [np.nanmean(r.rate_hz) for r in (governed, free)]),
    ]
    if deadline:
        late = [float(np.nanmean(r.latency_ms > deadline)) for r in (governed, free)]
        rows.append((f'time over {deadline:g} ms [%]', [100 * share for share in late]))
    lines += [f'{name:28}{_number(a):>12}{_number(b):>12}' for name, (a, b) in rows]
    return '\n'.join(lines)


def draw(scenario: Scenario, governed: SimulationRun, free: SimulationRun, path: Path) -> None:
    """Draw budget, temperature, charge, frame rate and latency over time."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = {
        'budget': 'effective budget',
        'celsius': 'temperature [°C]',
        'charge': 'charge',
        'rate_hz': 'frames per second',
        'latency_ms': 'latency [ms]',
    }
    if not scenario.device.battery_wh:
        del panels['charge']
    figure = Figure(figsize=(9, 1 + 1.6 * len(panels)), layout='constrained')
    FigureCanvasAgg(figure)
    axes = dict(zip(panels, figure.subplots(len(panels), 1, sharex=True), strict=True))
    for name, axis in axes.items():
        axis.plot(free.seconds / 60, getattr(free, name), '--', color='0.6', label='no governor')
        axis.plot(governed.seconds / 60, getattr(governed, name), 'k', lw=1.2, label='governor')
        axis.set_ylabel(panels[name])
        axis.grid(alpha=0.3)
    _mark_reasons(axes['budget'], governed)
    _mark_limits(axes, scenario)
    axes['budget'].set_title(scenario.name)
    axes['budget'].legend(fontsize=7, ncols=3, loc='lower left')
    axes['latency_ms'].set_xlabel('minutes')
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def _mark_reasons(axis: Any, run: SimulationRun) -> None:  # noqa: ANN401
    """Colour the background by what limits."""
    for reason, colour in COLOURS.items():
        where = run.reason == reason
        if reason != Reason.USER and where.any():
            axis.fill_between(
                run.seconds / 60, 0, 1, where=where, color=colour, alpha=0.25, lw=0,
                label=reason.name.lower(),
            )  # fmt: skip


def _mark_limits(axes: Mapping[str, Any], scenario: Scenario) -> None:
    """Draw what the governor holds, and where the firmware steps in."""
    thermal, device = scenario.governor.thermal, scenario.device
    if thermal.enabled:
        axes['celsius'].axhline(thermal.target_c, color='tab:orange', lw=0.8)
    axes['celsius'].axhline(device.throttle_c, color='tab:red', lw=0.8)
    if scenario.governor.deadline.deadline_ms:
        axes['latency_ms'].axhline(
            scenario.governor.deadline.deadline_ms, color='tab:orange', lw=0.8
        )


def _number(value: float) -> str:
    return 'never' if math.isinf(value) else f'{value:.2f}'
