# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Peak memory of one frame by budget, each in a process of its own. `make benchmark` runs it.

Measured by the kernel: the most resident memory during a frame, above what weights, caches and
libraries hold before it.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import torch

from adamtl_ros.nn.network import random_network

BUDGETS = (1.0, 0.75, 0.5, 0.25)
NETWORK = 'tiny'


def main() -> None:
    """Print the table."""
    print(f'peak memory of a frame, {NETWORK} at its own size, six tasks, one thread')
    # Everything that is worth counting is mapped and unmapped on its own.
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
        before = _resident('VmRSS')
        Path('/proc/self/clear_refs').write_text('5')  # starts the high-water mark anew
        share = network(image, budget).costs[0].fraction
        peak = _resident('VmHWM') - before
    print(f'budget {budget:<5} MACs {share:.3f}   {peak:.1f} MB')


def _resident(field: str) -> float:
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


if __name__ == '__main__':
    measure(float(sys.argv[1])) if len(sys.argv) > 1 else main()
