# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Times that can be compared on a machine that drifts: everything takes turns.

One thread is timed by its own clock, which stands still while other processes have the core.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, TypeVar

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    Key = TypeVar('Key', bound=Hashable)

WARM_UP = 1


def beside(
    runs: Mapping[Key, Callable[[], object]], reference: Callable[[], object], rounds: int
) -> tuple[dict[Key, float], float]:
    """Compare each run with a reference that runs right before and after it.

    Returns:
        Median over the rounds of the ratio of each run's time to the mean of the two reference
        times around it; and the median time of the reference [s].

    """
    ratios: dict[Key, list[float]] = {key: [] for key in runs}
    references = []
    for round_ in range(rounds + WARM_UP):
        before = _time(reference)
        for key, run in runs.items():
            spent, after = _time(run), _time(reference)
            if round_ >= WARM_UP:
                ratios[key].append(2 * spent / (before + after))
                references.append(after)
            before = after
    medians = {key: statistics.median(values) for key, values in ratios.items()}
    return medians, statistics.median(references)


def _time(run: Callable[[], object]) -> float:
    clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    begun = clock()
    run()
    return clock() - begun
