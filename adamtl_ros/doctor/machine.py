# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Checks that need no ROS: interpreter, torch, weights, speed, sensors."""

from __future__ import annotations

import hashlib
import math
import os
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

from adamtl_ros.doctor.finding import Finding, error, ok, warn
from adamtl_ros.governor.sensors import EnergyCounter, ThermalZones
from adamtl_ros.nn.io.checkpoint import CheckpointError, load_model, model_file, shipped_weights
from adamtl_ros.runtime.engine import Engine
from adamtl_ros.runtime.threads import set_threads

if TYPE_CHECKING:
    from collections.abc import Iterator

OLDEST_PYTHON = (3, 11)
SUMS = 'SHA256SUMS'
"""File beside the shipped weights with their hashes, as `sha256sum` writes and checks it."""
SLOW_MS = 100.0
"""Time of a frame from which the engine counts as slow [ms]."""
FRAMES = 5
SIZE = (480, 640)
POWER = Path('/sys/class/power_supply')


def check_machine(
    model: str, device: str, threads: int, power: Path = POWER, zones: ThermalZones | None = None
) -> Iterator[Finding]:
    """Yield the findings about this machine.

    Args:
        model: Model to load.
        device: Torch device to run it on.
        threads: CPU threads; 0 for all cores but one.
        power: Folder of the power supplies of Linux.
        zones: Thermal zones; those of this machine by default.

    """
    yield _python()
    yield _torch()
    yield _cores(threads)
    yield weights(model)
    yield from _speed(model, device)
    yield thermal(zones or ThermalZones())
    yield battery(power)
    yield _energy()


def _python() -> Finding:
    version = platform.python_version()
    if sys.version_info < OLDEST_PYTHON:
        return error('python', version, f'use Python {".".join(map(str, OLDEST_PYTHON))} or newer')
    return ok('python', f'{version}, {sys.executable}')


def _torch() -> Finding:
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else 'no GPU'
    return ok('torch', f'{torch.__version__}, {device}; OpenCV {cv2.__version__}')


def _cores(threads: int) -> Finding:
    cores = len(os.sched_getaffinity(0))
    text = f'{set_threads(threads)} threads on {cores} cores'
    busy = os.getloadavg()[0]
    if busy > cores:
        fix = 'end other programs, lower the budget, or give threads:='
        return warn('cores', f'{text}, which are busy (load {busy:.1f})', fix)
    return ok('cores', text)


def weights(model: str) -> Finding:
    """Return whether the file of a model is whole: by its hash if it is a shipped one."""
    path = model_file(model)
    if path is None:
        if model in shipped_weights():
            return error('weights', f'{model} is missing', 'install the package again')
        return warn('weights', f"'{model}' is no file: random weights", 'name weights of your own')
    if path.read_bytes()[:7] == b'version':
        return error('weights', f'{path} is a pointer of Git LFS', "run 'git lfs pull'")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    expected = known_hashes(path.parent).get(path.name)
    if expected and digest != expected:
        return error('weights', f'{path} is damaged (SHA-256 {digest[:12]}...)', 'install it again')
    origin = 'as shipped' if expected else 'of your own'
    return ok('weights', f'{path.name}, {origin}, SHA-256 {digest[:12]}...')


def known_hashes(folder: Path) -> dict[str, str]:
    """Return the hashes in `SHA256SUMS` by file name; empty without one."""
    path = folder / SUMS
    lines = path.read_text().splitlines() if path.is_file() else []
    return {name.strip(): digest for digest, _, name in (line.partition(' ') for line in lines)}


def _speed(model: str, device: str) -> Iterator[Finding]:
    """Yield the time of a frame, or why there is none."""
    try:
        engine = Engine(load_model(model), device)
    except (CheckpointError, ValueError) as problem:
        yield error('engine', str(problem), 'see model and device')
        return
    if not engine.model.trained:
        fix = 'name trained weights as model'
        yield warn('model', f'{engine.model.name}: its results mean nothing', fix)
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    engine.run(image)
    full_ms, half_ms = (_median_ms(engine, image, budget) for budget in (1.0, 0.5))
    text = f'{full_ms:.0f} ms a VGA frame on {engine.device}, {half_ms:.0f} ms at budget 0.5'
    if full_ms > SLOW_MS:
        fix = 'lower the budget, enable fewer tasks, or set deadline_ms, which lowers it by itself'
        yield warn('engine', text, fix)
    else:
        yield ok('engine', text)


def _median_ms(engine: Engine, image: np.ndarray, budget: float) -> float:
    times = []
    for _ in range(FRAMES):
        begin = time.perf_counter()
        engine.run(image, budget)
        times.append(1000 * (time.perf_counter() - begin))
    return statistics.median(times)


def thermal(zones: ThermalZones) -> Finding:
    """Return whether a temperature of this machine can be read."""
    try:
        readings = zones.read_all()
    except ValueError as problem:
        fix = 'publish `temperature`, or set thermal.diagnostics on a Jetson; else heat is unknown'
        return warn('heat', str(problem), fix)
    hottest = max(readings, key=lambda reading: reading.celsius)
    names = ', '.join(reading.name for reading in readings)
    return ok('heat', f'{hottest.celsius:.0f} degrees in {hottest.name}; thermal.zone: {names}')


def battery(power: Path = POWER) -> Finding:
    """Return what Linux knows about a battery; the node itself listens to `battery_state`."""
    found = []
    for supply in sorted(power.glob('*')):
        try:
            if (supply / 'type').read_text().strip() == 'Battery':
                found.append(f'{supply.name} {(supply / "capacity").read_text().strip()} %')
        except OSError:  # noqa: PERF203
            continue
    if not found:
        return ok('battery', 'none in this machine; the node listens to battery_state')
    fix = 'publish it as sensor_msgs/BatteryState on battery_state, or it limits nothing'
    return warn('battery', ', '.join(found), fix)


def _energy() -> Finding:
    if math.isnan(EnergyCounter().joules()):
        return ok('energy', 'no counter that can be read: `energy` in compute_stats is NaN')
    return ok('energy', 'counted by RAPL')
