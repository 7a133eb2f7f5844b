# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Speed of the engine without ROS: stages, budgets, threads. `make benchmark` runs it.

All variants of a table take turns in one run, since such machines drift; medians and ratios.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

import torch

from adamtl_ros.data.shapes import draw_shapes
from adamtl_ros.nn.checkpoint import load_model
from adamtl_ros.runtime.engine import Engine
from adamtl_ros.runtime.memory import keep_freed_memory
from adamtl_ros.runtime.threads import set_threads

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

BUDGETS = (1.0, 0.75, 0.5, 0.25)
ROUNDS = 40


def main() -> None:
    """Print the tables."""
    keep_freed_memory()
    image = next(draw_shapes(1))
    print(f'torch {torch.__version__}, {torch.get_num_threads()} cores, image 480x640\n')
    for name in ('nano', 'tiny'):
        engine = Engine(load_model(name), 'cpu')
        stages(name, engine, image)
        savings(name, engine, image)


def stages(name: str, engine: Engine, image: np.ndarray) -> None:
    """Print the time of each stage at full budget, with one thread and with two."""
    print(f'{name}, six tasks, full budget [ms]')
    print(f'{"threads":>8} {"preprocess":>11} {"infer":>8} {"postprocess":>12} {"frames/s":>9}')
    rows: dict[int, list[tuple[float, float, float]]] = {1: [], 2: []}
    for _ in range(ROUNDS):
        for threads, row in rows.items():
            set_threads(threads)
            done = engine.run(image)
            row.append((done.preprocess_ms, done.infer_ms, done.postprocess_ms))
    for threads, row in rows.items():
        pre, infer, post = (statistics.median(times) for times in zip(*row, strict=True))
        rate = 1000 / (pre + infer + post)
        print(f'{threads:>8} {pre:>11.1f} {infer:>8.1f} {post:>12.1f} {rate:>9.1f}')
    print()


def savings(name: str, engine: Engine, image: np.ndarray) -> None:
    """Print how much of the skipped MACs is saved time, network only, one thread."""
    set_threads(1)
    batch = engine._preprocess(image)  # noqa: SLF001  the network alone is measured
    runs: dict[float, Callable[[], object]] = {
        budget: lambda budget=budget: engine._backend(batch, budget, engine.tasks)  # noqa: SLF001
        for budget in BUDGETS
    }
    shares = {budget: run().cost.share for budget, run in runs.items()}  # type: ignore[attr-defined]
    times = interleaved(runs)
    print(f'{name}, network only, six tasks, one thread')
    print(f'{"budget":>8} {"MACs":>7} {"time":>7} {"efficiency":>11}')
    for budget, share in shares.items():
        ratio = times[budget] / times[1.0]
        efficiency = (1 - ratio) / (1 - share) if share < 1 else float('nan')
        print(f'{budget:>8} {share:>7.3f} {ratio:>7.3f} {efficiency:>11.2f}')
    print('efficiency = (1 - time/full time) / (1 - MACs/full MACs)\n')


def interleaved(runs: dict[float, Callable[[], object]]) -> dict[float, float]:
    """Return the median time of each run [s], all taking turns."""
    times: dict[float, list[float]] = {key: [] for key in runs}
    for round_ in range(ROUNDS + 5):
        for key, run in runs.items():
            begun = time.perf_counter()
            run()
            if round_ >= 5:
                times[key].append(time.perf_counter() - begun)
    return {key: statistics.median(values) for key, values in times.items()}


if __name__ == '__main__':
    main()
