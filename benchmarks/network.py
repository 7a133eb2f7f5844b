# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Time of the network, relative to full budget and to a plain network, by MACs.

Random plans skip one granularity all over the network. Policies have random weights and are
calibrated on synthetic images, so that what they skip varies; their own cost is included.
"""

from __future__ import annotations

import argparse
import statistics
from functools import partial
from typing import TYPE_CHECKING, cast

import cv2
import torch
from measurement import compare_times
from plain_mtl import PlainMtl
from plans import PLANS, plan_within
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from adamtl_ros.engines.eager import TorchBackend
from adamtl_ros.nn.calibrate import calibrate
from adamtl_ros.nn.gating.policy import PolicyConfig
from adamtl_ros.nn.io.checkpoint import Model
from adamtl_ros.nn.network import AdaptiveNetwork, random_network
from adamtl_ros.runtime.threads import keep_freed_memory, set_threads
from adamtl_ros.scenes.compose import random_scene

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from adamtl_ros.nn.architecture import SwinArchitecture
    from adamtl_ros.nn.gating.calibration import Calibration
    from adamtl_ros.nn.gating.policy import Policy
    from adamtl_ros.nn.network import Prediction

TASKS = ('semseg', 'human_parts', 'normals', 'saliency')
BUDGETS = (0.75, 0.5)
POLICIES = {'policy: blocks': ('blocks',), 'policy: blocks, windows': ('blocks', 'windows')}
MIX = 'policy: blocks, windows'
VARIANTS = 4
FRAMES = 6


def main() -> None:
    """Print the tables."""
    options = _options()
    keep_freed_memory()
    set_threads(options.threads)
    network = random_network(options.network)
    frames = _frames(network, FRAMES)
    print(
        f'{options.network}, {"x".join(map(str, network.arch.input_size))}, {len(TASKS)} tasks, '
        f'float32, eager torch {torch.__version__}, {options.threads} thread(s), '
        f'{"its own clock" if options.threads == 1 else "wall clock"}\n'
    )
    with torch.inference_mode():
        savings(network, frames, options.rounds)
        policy_cost(network, frames, options.rounds)
        if network.arch.input_size[0] == network.arch.input_size[1]:
            against_plain(network, frames, options.rounds)


def savings(network: AdaptiveNetwork, frames: list[Tensor], rounds: int) -> None:
    """Print which fraction of the skipped MACs is saved time, by granularity."""
    print(f'{"":<25}{"budget":>7}{"MACs":>7}{"time":>7}{"efficiency":>12}')
    full = partial(network, frames[0], 1.0, TASKS)
    for budget in BUDGETS:
        for name, draw in PLANS.items():
            plans = [plan_within(network, TASKS, draw, budget, seed) for seed in range(VARIANTS)]
            runs = [
                partial(network.forward_plans, frame, [plan], TASKS)
                for plan, frame in zip(plans, frames, strict=False)
            ]
            _print_savings(name, budget, runs, full, rounds)
        for name, gates in POLICIES.items():
            policies = _policies(network, gates)
            runs = [
                partial(_run, network, policy, frame, budget)
                for policy in policies
                for frame in frames
            ]
            _print_savings(name, budget, runs, full, max(1, rounds // FRAMES))
        print()
    print('efficiency = (1 - time / full time) / (1 - MACs / full MACs)\n')


def _print_savings(
    name: str,
    budget: float,
    runs: Sequence[Callable[[], Prediction]],
    full: Callable[[], object],
    rounds: int,
) -> None:
    macs = statistics.mean(run().costs[0].fraction for run in runs)
    ratios, _ = compare_times(dict(enumerate(runs)), full, rounds)
    time = statistics.mean(ratios.values())
    print(f'{name:<25}{budget:>7}{macs:>7.3f}{time:>7.3f}{(1 - time) / (1 - macs):>12.2f}')


def policy_cost(network: AdaptiveNetwork, frames: list[Tensor], rounds: int) -> None:
    """Print the cost of the policy itself, plan included."""
    print(f'{"":<25}{"MACs":>7}{"time":>7}{"ms":>7}')
    for name, gates in POLICIES.items():
        network.policy, network.calibration = _policies(network, gates)[0]
        costs = network.budget_model(frames[0].shape[-2:], TASKS)
        tokens = network.encoder.stem(frames[0])
        decide = partial(network._choose_plans, tokens, costs, 0.75)  # noqa: SLF001
        if not decide()[1]:
            raise RuntimeError(f'{name}: the policy did not run')
        ratios, full = compare_times(
            {'policy': decide}, partial(network, frames[0], 1.0, TASKS), 3 * rounds
        )
        macs = costs.policy_macs / costs.full
        print(
            f'{name:<25}{macs:>7.4f}{ratios["policy"]:>7.4f}{ratios["policy"] * full * 1000:>7.2f}'
        )
    print()


def against_plain(network: AdaptiveNetwork, frames: list[Tensor], rounds: int) -> None:
    """Print time and MACs against a static network of the published layout.

    Both resize their maps to the size of the input.
    """
    channels = {name: network.tasks[name].channels for name in TASKS}
    plain = PlainMtl(cast('SwinArchitecture', network.arch), channels).eval()
    with FlopCounterMode(display=False) as counter:
        plain(frames[0])
    macs = counter.get_total_flops() / 2
    policies = _policies(network, POLICIES[MIX])
    print(f'{"against a plain Swin MTL":<25}{"budget":>7}{"MACs":>7}{"time":>7}{"worst":>7}')
    for budget in (1.0, *BUDGETS):
        runs = {
            (number, place): partial(_resized, network, policy, frame, budget)
            for number, policy in enumerate(policies[:1] if budget == 1 else policies)
            for place, frame in enumerate(frames)
        }
        spent = statistics.mean(run().costs[0].macs for run in runs.values()) / macs
        ratios, time = compare_times(runs, partial(plain, frames[0]), max(1, rounds // FRAMES))
        mean, worst = statistics.mean(ratios.values()), max(ratios.values())
        print(f'{"ours":<25}{budget:>7}{spent:>7.3f}{mean:>7.3f}{worst:>7.3f}')
    print(f'(plain: {macs / 1e9:.2f} GMACs, {time * 1000:.0f} ms)\n')


def _policies(network: AdaptiveNetwork, gates: tuple[str, ...]) -> list[tuple[Policy, Calibration]]:
    """Return policies with random weights, each with its calibration on synthetic images."""
    kept = network.policy, network.calibration
    batch = torch.cat(_frames(network, 48, first=FRAMES))
    made = []
    for seed in range(1, VARIANTS + 1):
        network.policy = random_network(network.arch.name, seed, PolicyConfig(gates)).policy
        made.append((network.policy, calibrate(network, [batch], BUDGETS, [TASKS])))
    network.policy, network.calibration = kept
    return made


def _run(
    network: AdaptiveNetwork, policy: tuple[Policy, Calibration], frame: Tensor, budget: float
) -> Prediction:
    network.policy, network.calibration = policy
    return network(frame, budget, TASKS)


def _resized(
    network: AdaptiveNetwork, policy: tuple[Policy, Calibration], frame: Tensor, budget: float
) -> Prediction:
    prediction = _run(network, policy, frame, budget)
    for raw in prediction.maps.values():
        functional.interpolate(raw, frame.shape[-2:], mode='bilinear')
    return prediction


def _frames(network: AdaptiveNetwork, count: int, first: int = 0) -> list[Tensor]:
    """Return images of different scenes at the native size of the network."""
    normalized = TorchBackend(Model(network, network.arch.name)).normalized
    height, width = network.arch.input_size
    images = (random_scene(seed).frame(0, (480, 640)).image for seed in range(first, first + count))
    return [normalized(cv2.resize(image, (width, height))) for image in images]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--network', default='tiny', help='architecture (%(default)s)')
    parser.add_argument('--threads', type=int, default=1, help='of torch (%(default)s)')
    parser.add_argument('--rounds', type=int, default=4, help='repetitions (%(default)s)')
    return parser.parse_args()


if __name__ == '__main__':
    main()
