# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Freed memory is kept between frames: page faults are counted by the kernel."""

import subprocess
import sys

COUNT_FAULTS = """
import resource, sys
import numpy as np
from adamtl_ros.runtime.threads import keep_freed_memory
if sys.argv[1] == 'keep':
    assert keep_freed_memory()
def frame():
    arrays = [np.full(1_000_000, 1, np.float32) for _ in range(6)]
for _ in range(5):
    frame()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    frame()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(choice):
    return int(subprocess.check_output([sys.executable, '-c', COUNT_FAULTS, choice], text=True))


def test_frames_after_the_first_fault_no_pages():
    assert faults('keep') < faults('leave') / 20


RETURN = """
import numpy as np
from adamtl_ros.runtime.threads import keep_freed_memory, return_freed_memory
def resident():
    return int(open('/proc/self/statm').read().split()[1]) * 4096 / 1e6
assert keep_freed_memory()
small = resident()
arrays = [np.full(1_000_000, 1, np.uint8) for _ in range(200)]
del arrays
kept = resident()
assert return_freed_memory()
print(kept - small, resident() - small)
"""


def test_freed_memory_can_be_returned():
    command = [sys.executable, '-c', RETURN]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    kept, left = map(float, done.stdout.split())
    assert kept > 150
    assert left < 50
