# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What `adamtl simulate-governor` does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adamtl_ros.governor.simulation import plot, read_scenario, simulate, summary

if TYPE_CHECKING:
    from pathlib import Path


def play(path: Path, picture: Path) -> str:
    """Play a scenario with and without the governor, and draw both.

    Args:
        path: The scenario.
        picture: PNG file to write.

    Returns:
        A table for people.

    """
    scenario = read_scenario(path)
    governed, free = simulate(scenario), simulate(scenario, governed=False)
    plot(scenario, governed, free, picture)
    return f'{summary(scenario, governed, free)}\n{picture}'
