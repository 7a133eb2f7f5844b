# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Time of the stages of the engine, without ROS, by number of threads.

All numbers of threads take turns in one run; medians.
"""

from __future__ import annotations

import argparse
import statistics
from typing import TYPE_CHECKING

import torch

from adamtl_ros.nn.io.checkpoint import load_model
from adamtl_ros.runtime.engine import Engine
from adamtl_ros.runtime.threads import keep_freed_memory, set_threads
from adamtl_ros.scenes.compose import random_scene

if TYPE_CHECKING:
    import numpy as np


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rounds', type=int, default=40, help='repetitions (%(default)s)')
    rounds = parser.parse_args().rounds
    keep_freed_memory()
    image = random_scene(0).frame(0, (480, 640)).image
    print(f'torch {torch.__version__}, {torch.get_num_threads()} cores, image 480x640\n')
    for name in ('nano', 'tiny'):
        stages(name, Engine(load_model(name), 'cpu'), image, rounds)


def stages(name: str, engine: Engine, image: np.ndarray, rounds: int) -> None:
    """Print the time of each stage at full budget, with one thread and with two."""
    print(f'{name}, six tasks, full budget [ms]')
    print(f'{"threads":>8} {"preprocess":>11} {"infer":>8} {"postprocess":>12} {"frames/s":>9}')
    rows: dict[int, list[tuple[float, float, float]]] = {1: [], 2: []}
    for _ in range(rounds):
        for threads, row in rows.items():
            set_threads(threads)
            found = engine.run(image)
            row.append((found.preprocess_ms, found.infer_ms, found.postprocess_ms))
    for threads, row in rows.items():
        pre, infer, post = (statistics.median(times) for times in zip(*row, strict=True))
        rate = 1000 / (pre + infer + post)
        print(f'{threads:>8} {pre:>11.1f} {infer:>8.1f} {post:>12.1f} {rate:>9.1f}')
    print()


if __name__ == '__main__':
    main()
