# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Shared memory that Fast DDS leaves behind when a process is killed.

Each participant has a segment in /dev/shm, of 67 MB with `config/fastdds.xml`, and holds a lock
(`flock`) on a file beside it. A process that ends by SIGKILL, or for want of memory, removes
neither; the memory is lost until the machine restarts. A lock that can be taken has no owner.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from contextlib import suppress
from pathlib import Path

FOLDER = Path('/dev/shm')  # noqa: S108  where Fast DDS puts them
LOCK = re.compile(r'(fast(?:dds|rtps)_[0-9a-f]{16})_el')
"""Name of the lock of a segment; ports, which are small and used again, have other names."""
MIN_AGE_S = 10.0
"""Youngest lock that is looked at [s]: its owner may be about to take it."""


def remove_dead_segments(folder: Path = FOLDER, min_age_s: float = MIN_AGE_S) -> int:
    """Remove the segments whose owners have died.

    Those of other users, and anything that cannot be looked at, stay.

    Returns:
        Freed memory [bytes].

    """
    freed = 0
    with suppress(OSError):
        for entry in list(os.scandir(folder)):
            found = LOCK.fullmatch(entry.name)
            if found:
                with suppress(OSError):
                    freed += _remove(folder / found[1], Path(entry.path), min_age_s)
    return freed


def _remove(segment: Path, lock: Path, min_age_s: float) -> int:
    """Remove a segment and its lock if the lock is free; return the freed memory [bytes].

    Raises:
        OSError: The lock is held, or the files belong to another user.

    """
    with lock.open('rb') as file:
        if time.time() - os.fstat(file.fileno()).st_mtime < min_age_s:
            return 0
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        size = segment.stat().st_blocks * 512 if segment.exists() else 0
        segment.unlink(missing_ok=True)
        lock.unlink()
    return size
