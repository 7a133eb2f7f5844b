# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""How many cores the engine takes, beside the other processes of a robot."""

from __future__ import annotations

import os

import cv2
import torch


def default_threads() -> int:
    """Return the cores that this process may use less one for the rest, at least one."""
    return max(1, len(os.sched_getaffinity(0)) - 1)


def set_threads(count: int) -> int:
    """Set the threads of torch and OpenCV; call it before the first kernel runs.

    OpenMP threads wait actively. With as many threads as cores, one other busy process makes
    a frame take 10 to 20 times as long.

    Args:
        count: Number of threads; 0 leaves one core to the rest of the robot.

    Returns:
        The number in force.

    Raises:
        ValueError: A negative number.

    """
    if count < 0:
        raise ValueError(f'threads must be 0 (all cores but one) or more, got {count}')
    count = count or default_threads()
    torch.set_num_threads(count)
    cv2.setNumThreads(count)
    return count
