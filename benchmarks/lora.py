# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""MACs and time of a network with low-rank adapters, relative to the network without them.

The matrices are random, which does not affect the time.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING

import torch
from measurement import compare_times

from adamtl_ros.nn.adapters.inject import inject, merge
from adamtl_ros.nn.adapters.lora import LoraConfig
from adamtl_ros.nn.network import random_network
from adamtl_ros.runtime.threads import keep_freed_memory, set_threads

if TYPE_CHECKING:
    from adamtl_ros.nn.network import AdaptiveNetwork

TASKS = ('semseg', 'human_parts', 'normals', 'saliency')
RANK = 64
TASK_RANK = 4
ALL = ('proj', 'fc1', 'fc2')
FEW = ('proj', 'fc2')


def main() -> None:
    """Print the table."""
    options = _options()
    keep_freed_memory()
    set_threads(options.threads)
    plain = random_network(options.network)
    networks = {
        'folded, no task pairs': _adapted(options.network, (), folded=True),
        'folded, task pairs on proj, fc2': _adapted(options.network, FEW, folded=True),
        'folded, task pairs on proj, fc1, fc2': _adapted(options.network, ALL, folded=True),
        'the same in the form matrix': _adapted(options.network, ALL, folded=True, form='matrix'),
        'not folded, proj, fc2': _adapted(options.network, FEW, folded=False),
        'not folded, proj, fc1, fc2': _adapted(options.network, ALL, folded=False),
    }
    image = torch.randn(1, 3, *plain.arch.input_size)
    with torch.inference_mode():
        budget = options.budget
        runs = {name: partial(made, image, budget, TASKS) for name, made in networks.items()}
        bare = partial(plain, image, budget, TASKS)
        macs = bare().costs[0].macs
        ratios, time = compare_times(runs, bare, options.rounds)
        print(f'{options.network}, {len(TASKS)} tasks, rank {RANK}, {TASK_RANK} for each task, '
              f'budget {budget:g}')  # fmt: skip
        print(f'without adapters: {macs / 1e9:.3f} GMACs, {time * 1000:.1f} ms\n')
        print(f'{"":<38}{"MACs":>7}{"time":>7}')
        for name, run in runs.items():
            print(f'{name:<38}{run().costs[0].macs / macs:>7.3f}{ratios[name]:>7.3f}')


def _adapted(
    name: str, layers: tuple[str, ...], *, folded: bool, form: str = 'foldable'
) -> AdaptiveNetwork:
    network = random_network(name)
    stages = len(network.arch.depths)
    config = LoraConfig.uniform(stages, TASKS, RANK, TASK_RANK, task_layers=layers, form=form)
    inject(network, config)
    if folded:
        merge(network)
    return network.eval()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--network', default='tiny', help='architecture (%(default)s)')
    parser.add_argument('--budget', type=float, default=1.0, help='of all (%(default)s)')
    parser.add_argument('--threads', type=int, default=1, help='of torch (%(default)s)')
    parser.add_argument('--rounds', type=int, default=15, help='repetitions (%(default)s)')
    return parser.parse_args()


if __name__ == '__main__':
    main()
