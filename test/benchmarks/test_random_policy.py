# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Random plans: of the wanted cost, different, and the same again for the same seed."""

import pytest
import torch
from helpers import small
from random_policy import RandomBackend

from adamtl_ros.nn.gating.plan import FULL

IMAGES = torch.randn(24, 3, 64, 96, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize('made', [small.network, small.adapted])
@pytest.mark.parametrize('share', [0.5, 0.7, 0.9])
def test_every_plan_spends_the_share_but_for_less_than_a_window(share, made):
    network = made()
    model = network.budget_model(IMAGES.shape[-2:])
    counts = model.complexity
    prediction = RandomBackend(network, share)(IMAGES, 0.3, network.tasks)
    # A window and, since its token count is a whole number, all that goes with it.
    serving = [block.with_branches(network.tasks) for block in counts.blocks]
    window = max(block.macs(FULL) / block.windows for block in serving)
    for cost in prediction.costs:
        assert cost.macs <= share * cost.macs_full
        assert cost.macs > share * cost.macs_full - window


def test_plans_differ_and_come_again():
    network = small.network()
    first = RandomBackend(network, 0.6, seed=1)(IMAGES, 1.0, network.tasks)
    assert len(set(first.plans)) > len(IMAGES) / 2
    assert RandomBackend(network, 0.6, seed=1)(IMAGES, 1.0, network.tasks).plans == first.plans
    assert RandomBackend(network, 0.6, seed=2)(IMAGES, 1.0, network.tasks).plans != first.plans


def test_at_the_full_share_everything_runs():
    network = small.network()
    backend = RandomBackend(network, 1.0)
    maps = backend(IMAGES, 0.5, ['depth']).maps
    with torch.inference_mode():
        expected = network(IMAGES, 1.0, ['depth']).maps
    torch.testing.assert_close(maps['depth'], expected['depth'])
