# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Keeps memory that a frame has freed for the next one."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_NEVER = 2**31 - 1
_PAD_BYTES = 64 << 20


def keep_freed_memory() -> bool:
    """Tell glibc's allocator not to hand freed memory back to the kernel after every frame.

    By default each image-sized array is mapped anew and its pages fault in one by one, some
    2,000 for the normals of one VGA frame: 7.7 ms instead of 2.2 ms to compute them. Call it
    early, in a process that is all ours.

    Returns:
        False where the C library has no such settings; nothing is changed then.

    """
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    if mallopt is None:
        return False
    settings = ((_M_MMAP_THRESHOLD, 1 << 30), (_M_TRIM_THRESHOLD, _NEVER), (_M_TOP_PAD, _PAD_BYTES))
    return all(bool(mallopt(name, value)) for name, value in settings)
