# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Time and memory measurements that compare on a machine whose speed changes.

Alternatives take turns with a reference in one run. A single thread is timed by its own CPU
clock, which stops while other processes have the core.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping

    Key = TypeVar('Key', bound=Hashable)

WARM_UP_ROUNDS = 1


def compare_times(
    runs: Mapping[Key, Callable[[], object]],
    reference: Callable[[], object],
    rounds: int,
    clock: Callable[[], float] | None = None,
) -> tuple[dict[Key, float], float]:
    """Time each run relative to a reference that runs right before and after it.

    Args:
        runs: Alternatives to time.
        reference: Reference.
        rounds: Number of repetitions, after one for warm-up.
        clock: Clock [s]; that of this thread if torch has but one, else the wall's.

    Returns:
        Median ratio of each run's time to the mean of the two reference times around it; and the
        median time of the reference [s].

    """
    ratios: dict[Key, list[float]] = {key: [] for key in runs}
    references = []
    for round_ in range(rounds + WARM_UP_ROUNDS):
        before = _time(reference, clock)
        for key, run in runs.items():
            spent, after = _time(run, clock), _time(reference, clock)
            if round_ >= WARM_UP_ROUNDS:
                ratios[key].append(2 * spent / (before + after))
                references.append(after)
            before = after
    medians = {key: statistics.median(values) for key, values in ratios.items()}
    return medians, statistics.median(references)


def _time(run: Callable[[], object], clock: Callable[[], float] | None) -> float:
    if clock is None:
        clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    begin = clock()
    run()
    return clock() - begin


def memory_mb(process: int | str = 'self', field: str = 'VmRSS') -> float:
    """Return a memory size of a process [MB].

    Args:
        process: Process id, or 'self'.
        field: 'VmRSS' for the resident memory, 'VmHWM' for its peak.

    """
    lines = Path(f'/proc/{process}/status').read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Keep CPU cores busy with other processes in a context."""
    command = [sys.executable, '-c', 'while True: sum(range(10000))']
    processes = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
