# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The whole network over a convolutional encoder: gates, plans, MACs, policy, files."""

import pytest
import torch
from helpers import small
from torch.utils.flop_counter import FlopCounterMode

from adamtl_ros.nn.adapters.inject import inject
from adamtl_ros.nn.adapters.lora import LoraConfig
from adamtl_ros.nn.calibrate import calibrate
from adamtl_ros.nn.gating.gates import Gates
from adamtl_ros.nn.gating.plan import FULL, OFF, Plan
from adamtl_ros.nn.gating.policy import PolicyConfig
from adamtl_ros.nn.io.checkpoint import Model, read_model, save_model
from adamtl_ros.nn.network import AdaptiveNetwork
from adamtl_ros.tasks import TASKS

DEPTHS = small.LITE.depths
IMAGES = torch.randn(3, 3, 64, 80, generator=torch.Generator().manual_seed(3))


def gates(seed=0, count=3):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(count, sum(DEPTHS), generator=generator) > 0.4).float()


def plans(opened):
    rows = [[FULL if one else OFF for one in row] for row in opened.tolist()]
    return [Plan.from_blocks(row, DEPTHS) for row in rows]


def test_plans_equal_gates_and_each_image_alone():
    network, opened = small.lite(()), gates()
    with torch.inference_mode():
        tokens = network.encoder.stem(IMAGES)
        relaxed = network.forward_gated(tokens, Gates(blocks=opened), TASKS)
        together = network.forward_plans(IMAGES, plans(opened))
        small.close(together.maps, relaxed, atol=1e-4)
        for number, plan in enumerate(plans(opened)):
            alone = network.forward_plans(IMAGES[number : number + 1], [plan])
            mine = {name: raw[number : number + 1] for name, raw in together.maps.items()}
            small.close(alone.maps, mine, atol=1e-4)


@pytest.mark.parametrize('size', [(64, 80), (50, 67)])
@pytest.mark.parametrize('tasks', [tuple(TASKS), ('depth',)])
def test_macs_are_those_that_torch_counts(size, tasks):
    network = small.lite(())
    for plan in plans(gates(1)):
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            cost = network.forward_plans(torch.zeros(1, 3, *size), [plan], tasks).costs[0]
        assert cost.macs == counter.get_total_flops() // 2
        assert (cost.windows_run, cost.windows_total) == (0, 0)
        assert cost.blocks_run == sum(block.run for block in plan.blocks)


def test_the_policy_keeps_a_budget_and_counts_itself():
    network = small.lite(())
    images = torch.randn(8, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        network.calibration = calibrate(network, [images], combinations=[tuple(TASKS)])
        for budget in (0.95, 0.9):
            costs = network(images, budget).costs
            assert sum(cost.fraction for cost in costs) / len(costs) <= budget + 1e-9
        with FlopCounterMode(display=False) as counter:
            cost = network(images[:1], 0.9).costs[0]
    assert cost.macs == counter.get_total_flops() // 2


def test_gradients_reach_the_gates():
    network = small.lite(()).train()
    relaxed = network.forward_train(IMAGES, torch.full((3,), 0.8))
    sum(raw.square().mean() for raw in relaxed.maps.values()).backward()
    assert network.policy.heads.weight.grad.abs().sum() > 0
    assert all(block.project_conv.weight.grad is not None for block in network.encoder.blocks)


def test_gates_that_it_does_not_have_are_refused():
    with pytest.raises(ValueError, match='efficientnet has no gates on windows, choose from: bl'):
        AdaptiveNetwork(small.LITE, TASKS, PolicyConfig())


def test_adapters_are_refused():
    config = LoraConfig.uniform(4, TASKS, rank=2, task_rank=2)
    with pytest.raises(ValueError, match='adapters fit Swin encoders only'):
        inject(small.lite(()), config)


def test_a_file_brings_it_back(tmp_path):
    network = small.lite()
    save_model(Model(network, 'lite'), tmp_path / 'lite.safetensors')
    loaded = read_model(tmp_path / 'lite.safetensors').network
    assert loaded.arch == network.arch
    with torch.inference_mode():
        for budget in (1.0, 0.5):
            for name, raw in network(IMAGES, budget).maps.items():
                assert torch.equal(loaded(IMAGES, budget).maps[name], raw)


def test_half_of_the_size_and_nearly_the_same(tmp_path):
    network = small.lite()
    whole, half = tmp_path / 'whole.safetensors', tmp_path / 'half.safetensors'
    save_model(Model(network, 'lite'), whole)
    save_model(Model(network, 'lite'), half, half=True)
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    loaded = read_model(half).network
    assert {weight.dtype for weight in loaded.parameters()} == {torch.float32}
    for name, weight in network.named_parameters():
        largest = float(weight.abs().max())
        torch.testing.assert_close(
            loaded.get_parameter(name), weight, rtol=0, atol=1e-3 * largest + 1e-12
        )
