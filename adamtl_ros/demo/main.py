# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The demo: plays a bag through the node and writes bag, video, plots and a summary."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from adamtl_ros.bags.reader import find_camera
from adamtl_ros.data.synthetic import write_synthetic_bag
from adamtl_ros.demo.device import find_scenario
from adamtl_ros.demo.report import processed_stats, summarize_run, write_plot, write_table
from adamtl_ros.demo.session import DemoError, record
from adamtl_ros.demo.video import write_video
from adamtl_ros.ros.parameters import SPECS

if TYPE_CHECKING:
    from pathlib import Path

    from adamtl_ros.governor.simulation import Scenario

MARKER_FILE = '.made_by_adamtl_demo'
WORK_FOLDER = '.running'
RESULTS = (
    'bag',
    'compute_stats.csv',
    'demo.mp4',
    'logs',
    'plot.png',
    'sheet.png',
    'summary.txt',
)


def run_demo(
    bag: Path | None,
    out: Path,
    *,
    topic: str = '',
    color: bool = False,
    overrides: dict[str, str],
    scenario: str = '',
) -> None:
    """Play a bag through the node and write bag, video, table, plot and summary.

    Args:
        bag: Bag to play; None for a short one of a synthetic room.
        out: Output folder; the results of an earlier demo there are replaced when this one
            succeeds.
        topic: Image topic of the bag; found by type if empty.
        color: Whether to record the color images too.
        overrides: Parameters of the node by name.
        scenario: File or name of the scenario of a simulated device; empty for none.

    Raises:
        BagError: The bag cannot be read or has no camera.
        ScenarioError: The scenario cannot be read, or is one that a demo cannot play.
        DemoError: Unknown parameter; output folder with files that no demo made; failure of node
            or player; or no frame was processed.

    """
    _check(bag, out, overrides)
    played = find_scenario(scenario) if scenario else None
    work = out / WORK_FOLDER
    shutil.rmtree(work, ignore_errors=True)
    (work / 'logs').mkdir(parents=True)
    (out / MARKER_FILE).touch()
    try:
        summary = _run(bag, work, topic, color=color, overrides=overrides, scenario=played)
    finally:
        for name in ('spool', 'room'):
            _remove(work / name)
    for name in RESULTS:
        _remove(out / name)
        (work / name).rename(out / name)
    work.rmdir()
    print(f'\n{summary}\n\nin {out}: {", ".join(RESULTS)}')
    if bag:
        print(f'to score the results: adamtl evaluate-bag {bag} --recorded {out / "bag"}')


def _run(
    bag: Path | None,
    work: Path,
    topic: str,
    *,
    color: bool,
    overrides: dict[str, str],
    scenario: Scenario | None,
) -> str:
    """Run the demo in a working folder and return the summary."""
    if bag is None:
        print('rendering a synthetic room with people and objects')
        bag = work / 'room'
        write_synthetic_bag(bag, workers=os.cpu_count() or 1)
    camera = find_camera(bag, topic)
    kind = 'compressed' if camera.compressed else 'raw'
    print(f'{bag.name}: {camera.frames} {kind} images on {camera.image}')
    if camera.others:
        print(f'not played: {", ".join(camera.others)}; TOPIC= or --topic chooses another')
    run = record(bag, camera, work, overrides, color=color, scenario=scenario)
    frames = processed_stats(run)
    if not frames:
        raise DemoError(f'no frame was processed; see {work / "logs"}')
    write_table(run, work / 'compute_stats.csv')
    write_plot(run, work / 'plot.png')
    write_video(bag, camera, work / 'bag', frames, work / 'demo.mp4', work / 'sheet.png')
    summary = str(summarize_run(run))
    (work / 'summary.txt').write_text(summary + '\n')
    return summary


def _check(bag: Path | None, out: Path, overrides: dict[str, str]) -> None:
    """Check the arguments before anything is written."""
    names = [spec.name for spec in SPECS]
    for name in overrides:
        if name not in names and not name.startswith('qos_overrides.'):
            raise DemoError(f"unknown parameter '{name}', choose from: {', '.join(names)}")
    if bag is not None and bag.resolve().is_relative_to((out / 'bag').resolve()):
        raise DemoError(f'the results would overwrite {bag}; choose another OUT')
    there = [name for name in RESULTS if (out / name).exists()]
    if there and not (out / MARKER_FILE).exists():
        raise DemoError(f'{out} holds {there[0]}, which no demo made; choose another OUT')


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
