# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Speed of a bag evaluation relative to the engine alone, and its memory on a long recording.

Reading and scoring run in a process beside that of the network, so the engine alone is timed
beside a busy process as well. All take turns in one run, after a round for warm-up.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from measurement import busy_processes, memory_mb

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

ROUNDS = 3
FRAMES = 60
LONG_FRAMES = 2000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('bag', type=Path, nargs='?', help='beside a synthetic one')
    parser.add_argument('--rounds', type=int, default=ROUNDS, help='repetitions (%(default)s)')
    parser.add_argument('--long', type=int, default=LONG_FRAMES,
                        help='frames of the long recording (%(default)s)')  # fmt: skip
    options = parser.parse_args()
    set_threads(1)
    engine = Engine(load_model('scenes_nano'))
    engine.warm_up()
    with tempfile.TemporaryDirectory() as folder:
        synthetic = Path(folder) / 'synthetic'
        write_synthetic_bag(synthetic, frames=FRAMES, truth=True, workers=2)
        for bag in (*filter(None, [options.bag]), synthetic):
            throughput(engine, bag, Path(folder) / 'out', options.rounds)
    memory(engine, options.long)


def throughput(engine: Engine, bag: Path, out: Path, rounds: int) -> None:
    """Print the frame rate of evaluations relative to that of the engine alone."""
    settings = EvaluationSettings()
    truth = TruthConfig('', {}, ClassMap())
    recording = Recording(bag, engine.model.network.tasks, truth, IssueLog())
    images = [frame.image for frame in recording.frames()][:FRAMES]
    rows = []
    evaluate_bag(bag, engine, settings)
    for _ in range(rounds):
        alone = frame_rate(engine, images, settings)
        with busy_processes(1):
            beside = frame_rate(engine, images, settings)
        scored = evaluate_bag(bag, engine, settings)
        whole = evaluate_bag(bag, engine, replace(settings, out=out))
        rows.append((alone, beside, *(r.frames / r.wall_s for r in (scored, whole))))
    alone, beside, scored_fps, whole_fps = np.median(rows, axis=0)
    sources = ', '.join(recording.truth.sources) or 'nothing'
    print(f'{bag.name} (truth of {sources}), {len(settings.budgets)} budgets a frame, '
          f'medians of {rounds} rounds:')  # fmt: skip
    print(f'  engine alone {alone:.2f} frames/s; beside a busy process {beside / alone:.2f} of it')
    print(f'  evaluation {scored_fps / alone:.2f} of it, with video and predictions '
          f'{whole_fps / alone:.2f}')  # fmt: skip


def frame_rate(
    engine: Engine, images: list[NDArray[np.uint8]], settings: EvaluationSettings
) -> float:
    """Return the frame rate of the engine, each frame at all budgets [Hz]."""
    begin = time.perf_counter()
    for image in images:
        for budget in settings.budgets:
            engine.run(image, budget)
    return len(images) / (time.perf_counter() - begin)


def memory(engine: Engine, count: int) -> None:
    """Fit the resident memory of all processes over the frames of a long recording."""
    with tempfile.TemporaryDirectory() as folder:
        bag = Path(folder) / 'long'
        write_synthetic_bag(bag, frames=count, size=(120, 160), truth=True, workers=2)
        used: list[float] = []
        settings = EvaluationSettings(
            budgets=(1.0, 0.5), shown=0.5, realtime=True, out=Path(folder) / 'out'
        )
        evaluate_bag(bag, engine, settings, lambda: used.append(total_memory_mb()))
    settled = np.array(used[count // 4 :])
    slope = np.polyfit(np.arange(len(settled)), settled, 1)[0] * 1000
    print(
        f'memory over {count} frames: {used[count // 4]:.0f} MB after a quarter, '
        f'{used[-1]:.0f} MB at the end, slope {slope:+.2f} MB per 1000 frames'
    )


def total_memory_mb() -> float:
    """Return the resident memory of this process and its children [MB]."""
    children = Path(f'/proc/self/task/{os.getpid()}/children').read_text().split()
    return sum(memory_mb(process) for process in ('self', *children))


if __name__ == '__main__':
    main()
