# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Peak memory of one frame by budget, each in a process of its own.

Measured by the kernel: peak resident memory during a frame minus the resident memory of weights,
caches and libraries before it.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import subprocess
import sys
from pathlib import Path

import torch
from measurement import memory_mb

from adamtl_ros.nn.network import random_network

BUDGETS = (1.0, 0.75, 0.5, 0.25)
NETWORK = 'tiny'


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('budget', type=float, nargs='?', help='this row only')
    budget = parser.parse_args().budget
    if budget is not None:
        measure(budget)
        return
    print(f'peak memory of a frame, {NETWORK} at its own size, six tasks, one thread')
    # Large arrays are then mapped and unmapped one by one, so that peaks are not hidden.
    environment = {**os.environ, 'MALLOC_MMAP_THRESHOLD_': '65536'}
    for budget in BUDGETS:
        command = [sys.executable, __file__, str(budget)]
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        print(done.stdout, end='')
    print()


def measure(budget: float) -> None:
    """Print one row."""
    torch.set_num_threads(1)
    network = random_network(NETWORK)
    image = torch.randn(1, 3, *network.arch.input_size)
    with torch.inference_mode():
        for _ in range(2):
            network(image, budget)
        ctypes.CDLL(None).malloc_trim(0)
        before = memory_mb()
        Path('/proc/self/clear_refs').write_text('5')  # resets the peak
        share = network(image, budget).costs[0].fraction
        peak = memory_mb(field='VmHWM') - before
    print(f'budget {budget:<5} MACs {share:.3f}   {peak:.1f} MB')


if __name__ == '__main__':
    main()
