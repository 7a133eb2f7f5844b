# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The verb `adamtl simulate-governor`: a scenario with and without the governor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument('scenario', help='YAML file, or the name of a file in config/scenarios/')
    parser.add_argument('--out', type=Path, help='PNG file to write; <scenario>.png if not given')


def run(options: argparse.Namespace) -> None:
    """Simulate, and print a table."""
    from adamtl_ros.governor.simulation import scenario_file

    path = scenario_file(options.scenario)
    print(run_simulation(path, options.out or Path(f'{path.stem}.png')))


def run_simulation(path: Path, picture: Path) -> str:
    """Simulate a scenario with and without the governor, and plot both.

    Args:
        path: YAML file of the scenario.
        picture: PNG file to write.

    Returns:
        A human-readable table.

    """
    from adamtl_ros.governor.simulation import plot, read_scenario, simulate, summary

    scenario = read_scenario(path)
    governed, free = simulate(scenario), simulate(scenario, governed=False)
    plot(scenario, governed, free, picture)
    return f'{summary(scenario, governed, free)}\n{picture}'
