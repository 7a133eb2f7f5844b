# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The whole network: tasks, budgets, batches, determinism."""

import pytest
import torch

from adamtl_ros.nn.network import random_network
from adamtl_ros.tasks import TASKS

NETWORK = random_network('nano')


@pytest.fixture(autouse=True)
def _inference():
    with torch.inference_mode():
        yield


def test_shapes_of_all_maps():
    prediction = NETWORK(torch.randn(2, 3, 199, 301))
    assert list(prediction.maps) == list(TASKS)
    for name, raw in prediction.maps.items():
        assert raw.shape == (2, TASKS[name].channels, 50, 76)


def test_same_seed_same_network_whatever_the_global_state():
    torch.manual_seed(1)
    one = random_network('nano', seed=5)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    other = random_network('nano', seed=5)
    assert torch.equal(state, torch.get_rng_state())
    image = torch.randn(1, 3, 64, 64)
    for name in TASKS:
        assert torch.equal(one(image).maps[name], other(image).maps[name])
    assert not torch.equal(
        one(image).maps['depth'], random_network('nano', seed=6)(image).maps['depth']
    )


@pytest.mark.parametrize('budget', [1.0, 0.5])
def test_bit_for_bit_the_same_twice(budget):
    image = torch.randn(1, 3, 96, 128)
    first, second = NETWORK(image, budget), NETWORK(image, budget)
    for name in TASKS:
        assert torch.equal(first.maps[name], second.maps[name])


def test_batch_equals_one_by_one():
    images = torch.randn(3, 3, 96, 160)
    together = NETWORK(images, 0.7)
    for index in range(3):
        alone = NETWORK(images[index : index + 1], 0.7)
        for name in TASKS:
            torch.testing.assert_close(
                together.maps[name][index], alone.maps[name][0], atol=1e-5, rtol=1e-4
            )


def test_unwanted_tasks_do_not_run():
    called = []
    hooks = [
        decoder.register_forward_hook(lambda *_, name=name: called.append(name))
        for name, decoder in NETWORK.decoders.items()
    ]
    prediction = NETWORK(torch.zeros(1, 3, 64, 64), tasks=['edges', 'depth', 'edges'])
    for hook in hooks:
        hook.remove()
    assert called == list(prediction.maps) == ['depth', 'edges']
    assert prediction.cost.macs < NETWORK(torch.zeros(1, 3, 64, 64)).cost.macs


def test_a_task_does_not_depend_on_the_others():
    image = torch.randn(1, 3, 64, 96)
    torch.testing.assert_close(
        NETWORK(image, tasks=['normals']).maps['normals'], NETWORK(image).maps['normals']
    )


def test_cost_reports_budget_and_floor():
    image = torch.zeros(1, 3, 192, 256)
    full, half, floor = (NETWORK(image, budget).cost for budget in (1.0, 0.5, 0.01))
    assert full.share == 1
    assert full.blocks_run == full.blocks_total == 10
    assert full.windows_run == full.windows_total == 48 + 2 * 12 + 6 * 4 + 1
    assert half.share <= 0.5
    assert not half.floor
    assert half.windows_run < full.windows_run
    assert floor.floor
    assert floor.blocks_run == floor.windows_run == 0
    assert floor.macs == NETWORK.complexity(192, 256).floor(TASKS)


def test_unknown_task_and_name():
    with pytest.raises(ValueError, match="unknown task 'sky', choose from: semseg"):
        NETWORK(torch.zeros(1, 3, 32, 32), tasks=['sky'])
    with pytest.raises(ValueError, match="unknown architecture 'huge', choose from: nano"):
        random_network('huge')


def test_budget_changes_the_answer():
    """A network that ignored its budget would pass every test of cost."""
    image = torch.randn(1, 3, 64, 64)
    assert not torch.equal(NETWORK(image, 1.0).maps['depth'], NETWORK(image, 0.4).maps['depth'])


def test_spatial_layout_of_the_decoders():
    """Without attention, a bright patch changes the maps around its own place and only there.

    A decoder that takes (H, W, C) memory for (C, H, W), as the released one does, spreads it.
    """
    dark = torch.zeros(1, 3, 128, 512)
    bright = dark.clone()
    bright[..., 32:48, 256:272] = 3
    for name, changed in NETWORK(bright, 0.01).maps.items():
        difference = (changed - NETWORK(dark, 0.01).maps[name]).abs().amax((0, 1))
        assert (difference[8:12, 64:68] > 0).all()
        # The coarsest tokens are 8 cells wide, and resampling reaches one further either way.
        assert not difference[:, : 64 - 24].any()
        assert not difference[:, 68 + 24 :].any()
