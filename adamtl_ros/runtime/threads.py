# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Thread and memory settings of a process that runs the engine."""

from __future__ import annotations

import ctypes
import os

import cv2
import torch

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_NEVER = 2**31 - 1
_PAD_BYTES = 64 << 20


def keep_freed_memory() -> bool:
    """Set glibc's allocator to keep freed memory instead of returning it after every frame.

    By default each image-sized array is mapped again and its pages fault in one by one, some
    2,000 for the normals of one VGA frame: 7.7 ms instead of 2.2 ms to compute them. Call it
    early, and only from a program, not from a library.

    Returns:
        False where the C library has no such settings; nothing is changed then.

    """
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    if mallopt is None:
        return False
    settings = ((_M_MMAP_THRESHOLD, 1 << 30), (_M_TRIM_THRESHOLD, _NEVER), (_M_TOP_PAD, _PAD_BYTES))
    return all(bool(mallopt(name, value)) for name, value in settings)


def return_freed_memory() -> bool:
    """Return what `keep_freed_memory()` made the allocator keep to the system.

    Returns:
        Whether any memory was returned.

    """
    trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)
    return bool(trim and trim(0))


def default_threads() -> int:
    """Return the number of cores of this process less one for other processes, at least 1."""
    return max(1, len(os.sched_getaffinity(0)) - 1)


def set_threads(count: int) -> int:
    """Set the threads of torch and OpenCV; call it before the first kernel runs.

    OpenMP threads spin while they wait. With as many threads as cores, one other busy process
    makes a frame take 10 to 20 times as long.

    Args:
        count: Number of threads; 0 leaves one core to other processes.

    Returns:
        Number of threads set.

    Raises:
        ValueError: Negative number.

    """
    if count < 0:
        raise ValueError(f'threads must be 0 (all cores but one) or more, got {count}')
    count = count or default_threads()
    torch.set_num_threads(count)
    cv2.setNumThreads(count)
    return count
