# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Bag evaluation against the bare engine, and its memory over a long recording.

    python benchmarks/bag_evaluation.py [BAG]

Reading and scoring go on in a process beside the network's, so the bare engine is timed beside a
busy process as well. All in turns, in one run, after a round that starts the process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from adamtl_ros.bags.ground_truth import ClassMap, TruthConfig
from adamtl_ros.bags.reader import IssueLog
from adamtl_ros.data.synthetic_bag import write_synthetic_bag
from adamtl_ros.evaluation.bags.evaluate import evaluate_bag
from adamtl_ros.evaluation.bags.recording import Recording
from adamtl_ros.evaluation.bags.result import EvaluationSettings
from adamtl_ros.nn.io.checkpoint import load_model
from adamtl_ros.runtime.engine import Engine
from adamtl_ros.runtime.threads import set_threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

BAG = Path('../shared/bags/indoor_rgbd')
ROUNDS = 3
FRAMES = 60
LONG = 2000
HOG = 'while True: sum(range(10000))'


def main() -> None:
    """Measure, and print."""
    set_threads(1)
    engine = Engine(load_model('scenes_nano'))
    engine.warm_up()
    with tempfile.TemporaryDirectory() as folder:
        drawn = Path(folder) / 'drawn'
        write_synthetic_bag(drawn, frames=FRAMES, truth=True, workers=2)
        for bag in (Path(sys.argv[1]) if len(sys.argv) > 1 else BAG, drawn):
            throughput(engine, bag, Path(folder) / 'out')
    memory(engine)


def throughput(engine: Engine, bag: Path, out: Path) -> None:
    """Compare frames per second with those of the engine alone."""
    settings = EvaluationSettings()
    wanted = TruthConfig('', {}, ClassMap())
    recording = Recording(bag, engine.model.network.tasks, wanted, IssueLog())
    images = [frame.image for frame in recording.frames()][:FRAMES]
    rows = []
    evaluate_bag(bag, engine, settings)
    for _ in range(ROUNDS):
        alone = bare(engine, images, settings)
        hog = subprocess.Popen([sys.executable, '-c', HOG])
        beside = bare(engine, images, settings)
        hog.kill()
        hog.wait()
        scored = evaluate_bag(bag, engine, settings)
        whole = evaluate_bag(bag, engine, replace(settings, out=out))
        rows.append((alone, beside, *(r.frames / r.wall_s for r in (scored, whole))))
    alone, beside, scored_fps, whole_fps = np.median(rows, axis=0)
    truth = ', '.join(recording.truth.sources) or 'nothing'
    print(f'{bag.name} (truth of {truth}), {len(settings.budgets)} budgets a frame, '
          f'medians of {ROUNDS} rounds:')  # fmt: skip
    print(f'  engine alone {alone:.2f} frames/s; beside a busy process {beside / alone:.2f} of it')
    print(f'  evaluation {scored_fps / alone:.2f} of it, with video and predictions '
          f'{whole_fps / alone:.2f}')  # fmt: skip


def bare(engine: Engine, images: list[NDArray[np.uint8]], settings: EvaluationSettings) -> float:
    """Return the frames per second of the engine at all budgets."""
    begun = time.perf_counter()
    for image in images:
        for budget in settings.budgets:
            engine.run(image, budget)
    return len(images) / (time.perf_counter() - begun)


def memory(engine: Engine) -> None:
    """Fit the resident memory of both processes over the frames of a long recording."""
    with tempfile.TemporaryDirectory() as folder:
        bag = Path(folder) / 'long'
        write_synthetic_bag(bag, frames=LONG, size=(120, 160), truth=True, workers=2)
        used: list[float] = []
        settings = EvaluationSettings(
            budgets=(1.0, 0.5), shown=0.5, realtime=True, out=Path(folder) / 'out'
        )
        evaluate_bag(bag, engine, settings, lambda: used.append(resident_mb()))
    settled = np.array(used[LONG // 4 :])
    slope = np.polyfit(np.arange(len(settled)), settled, 1)[0] * 1000
    print(f'memory over {LONG} frames: {used[LONG // 4]:.0f} MB after a quarter, {used[-1]:.0f} MB '
          f'at the end, slope {slope:+.2f} MB per 1000 frames')  # fmt: skip


def resident_mb() -> float:
    """Return the memory of this process and of those that it has started [MB]."""
    children = Path(f'/proc/self/task/{os.getpid()}/children').read_text().split()
    return sum(_resident_mb(process) for process in ('self', *children))


def _resident_mb(process: str) -> float:
    status = Path(f'/proc/{process}/status').read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith('VmRSS')) / 1024


if __name__ == '__main__':
    main()
