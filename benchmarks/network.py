# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Is computation that is skipped time saved? The network alone, in ratios.

`make benchmark` runs it; `python benchmarks/network.py --help` has options. Policies have
random weights and are calibrated on drawn images, so what they skip varies from frame to frame
and from policy to policy, as that of a trained one does.
"""

from __future__ import annotations

import argparse
import statistics
from functools import partial
from typing import TYPE_CHECKING

import cv2
import torch
from plain_mtl import PlainMtl
from timing import beside
from torch.utils.flop_counter import FlopCounterMode

from adamtl_ros.data.shapes import draw_shapes
from adamtl_ros.nn.calibration import calibrate
from adamtl_ros.nn.checkpoint import Model
from adamtl_ros.nn.network import AdaptiveNetwork, random_network
from adamtl_ros.nn.policy import PolicyConfig
from adamtl_ros.runtime.memory import keep_freed_memory
from adamtl_ros.runtime.preprocess import Preprocessor
from adamtl_ros.runtime.threads import set_threads

if TYPE_CHECKING:
    from torch import Tensor

    from adamtl_ros.nn.calibration import Calibration
    from adamtl_ros.nn.policy import Policy
    from adamtl_ros.nn.prediction import Prediction

TASKS = ('semseg', 'human_parts', 'normals', 'saliency')
BUDGETS = (0.75, 0.5)
GATES = {
    'blocks': ('blocks',),
    'windows': ('windows',),
    'widths': ('widths',),
    'tokens, as AdaMTL': ('tokens',),
    'blocks and windows': ('blocks', 'windows'),
    'blocks, widths, windows': ('blocks', 'widths', 'windows'),
}
POLICIES = 4
FRAMES = 6
MIX = 'blocks and windows'


def main() -> None:
    """Print the tables."""
    options = _options()
    keep_freed_memory()
    set_threads(options.threads)
    network = random_network(options.network)
    frames = _frames(network, FRAMES)
    print(
        f'{options.network}, {"x".join(map(str, network.arch.input_size))}, {len(TASKS)} tasks, '
        f'float32, eager torch {torch.__version__}, {options.threads} thread(s)\n'
    )
    with torch.inference_mode():
        savings(network, frames, options.rounds)
        policy_cost(network, frames, options.rounds)
        if network.arch.input_size[0] == network.arch.input_size[1]:
            against_plain(network, frames, options.rounds)


def savings(network: AdaptiveNetwork, frames: list[Tensor], rounds: int) -> None:
    """Print how much of the skipped MACs is saved time, by granularity."""
    print(f'{"gates":<25}{"budget":>7}{"MACs":>7}{"time":>7}{"efficiency":>12}')
    for name, gates in GATES.items():
        policies = _policies(network, gates)
        for budget in BUDGETS:
            cells, shares = {}, []
            for number, policy in enumerate(policies):
                frame = frames[number % len(frames)]
                cells[number] = partial(_run, network, policy, frame, budget)
                shares.append(cells[number]().costs[0].share)
            ratios, _ = beside(cells, partial(network, frames[0], 1.0, TASKS), rounds)
            macs, time = statistics.mean(shares), statistics.mean(ratios.values())
            efficiency = (1 - time) / (1 - macs)
            print(f'{name:<25}{budget:>7}{macs:>7.3f}{time:>7.3f}{efficiency:>12.2f}')
    print('\nefficiency = (1 - time / full time) / (1 - MACs / full MACs)\n')


def policy_cost(network: AdaptiveNetwork, frames: list[Tensor], rounds: int) -> None:
    """Print what the policy itself costs, plan included."""
    print(f'{"policy":<25}{"MACs":>7}{"time":>7}{"ms":>7}')
    for name, gates in GATES.items():
        if name.startswith('tokens'):
            continue
        network.policy, network.calibration = _policies(network, gates)[0]
        spending = network.spending(frames[0].shape[-2:], TASKS)
        tokens = network.encoder.patch_embed(frames[0])
        ask = partial(network._choose, tokens, spending, 0.5)  # noqa: SLF001  it alone is measured
        ratios, full = beside({'ask': ask}, partial(network, frames[0], 1.0, TASKS), 4 * rounds)
        macs = spending.asking / spending.full
        print(f'{name:<25}{macs:>7.4f}{ratios["ask"]:>7.4f}{ratios["ask"] * full * 1000:>7.2f}')
    print()


def against_plain(network: AdaptiveNetwork, frames: list[Tensor], rounds: int) -> None:
    """Print time and MACs against a static network of the published layout."""
    channels = {name: network.tasks[name].channels for name in TASKS}
    plain = PlainMtl(network.arch, channels).eval()
    with FlopCounterMode(display=False) as counter:
        plain(frames[0])
    macs = counter.get_total_flops() / 2
    policy = _policies(network, GATES[MIX])[0]
    runs = {budget: partial(_run, network, policy, frames[0], budget) for budget in (1.0, 0.5)}
    ratios, time = beside(runs, partial(plain, frames[0]), 2 * rounds)
    print(f'{"against a plain Swin MTL":<25}{"MACs":>7}{"time":>7}')
    for budget, ratio in ratios.items():
        share = runs[budget]().costs[0].macs / macs
        print(f'{f"ours, budget {budget}":<25}{share:>7.3f}{ratio:>7.3f}')
    print(f'(plain: {macs / 1e9:.2f} GMACs, {time * 1000:.0f} ms)\n')


def _policies(network: AdaptiveNetwork, gates: tuple[str, ...]) -> list[tuple[Policy, Calibration]]:
    """Policies with random weights, each with its calibration on drawn images."""
    kept = network.policy, network.calibration
    batch = torch.cat(_frames(network, 48, first=FRAMES))
    made = []
    for seed in range(1, POLICIES + 1):
        network.policy = random_network(network.arch.name, seed, PolicyConfig(gates)).policy
        made.append((network.policy, calibrate(network, [batch], BUDGETS, [TASKS])))
    network.policy, network.calibration = kept
    return made


def _run(
    network: AdaptiveNetwork, policy: tuple[Policy, Calibration], frame: Tensor, budget: float
) -> Prediction:
    network.policy, network.calibration = policy
    return network(frame, budget, TASKS)


def _frames(network: AdaptiveNetwork, count: int, first: int = 0) -> list[Tensor]:
    """Drawn images, each of another scene, at exactly the size that the network is meant for."""
    preprocess = Preprocessor(Model(network, network.arch.name), torch.device('cpu'))
    height, width = network.arch.input_size
    images = (next(draw_shapes(1, seed=seed)) for seed in range(first, first + count))
    return [preprocess(cv2.resize(image, (width, height))) for image in images]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--network', default='tiny', help='architecture (%(default)s)')
    parser.add_argument('--threads', type=int, default=1, help='of torch (%(default)s)')
    parser.add_argument('--rounds', type=int, default=10, help='repetitions (%(default)s)')
    return parser.parse_args()


if __name__ == '__main__':
    main()
