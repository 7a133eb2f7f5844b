# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Folding of batch norms: the same results, and the network that was folded unchanged."""

import torch
from helpers import small
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from adamtl_ros.nn.efficientnet.fold import fold_batch_norms

IMAGES = torch.randn(2, 3, 64, 80, generator=torch.Generator().manual_seed(3))


def test_one_norm_by_hand():
    layers = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.BatchNorm2d(1, eps=0.0)).eval()
    conv, norm = layers
    nn.init.constant_(conv.weight, 3.0)
    norm.running_mean.fill_(2.0)
    norm.running_var.fill_(4.0)
    nn.init.constant_(norm.weight, 5.0)
    nn.init.constant_(norm.bias, 7.0)
    folded = fold_batch_norms(layers)[0]
    assert folded.weight.item() == 3 * 5 / 2
    assert folded.bias.item() == 7 - 2 * 5 / 2


def test_all_rungs_are_the_same_without_norms():
    network = small.lite()
    folded = fold_batch_norms(network)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    for rung in network.arch.ladder:
        plans = [rung.plan(network.arch.depths)] * 2
        with torch.inference_mode():
            expected = network.forward_plans(IMAGES, plans)
            with FlopCounterMode(display=False) as counter:
                found = folded.forward_plans(IMAGES, plans)
        small.close(found.maps, expected.maps, atol=1e-4)
        assert found.costs == expected.costs
        assert counter.get_total_flops() // 2 == sum(cost.macs for cost in found.costs)


def test_the_original_stays_as_it_was():
    network = small.lite()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    fold_batch_norms(network)
    after = network.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_without_norms_it_is_the_network_itself():
    network = small.network()
    assert fold_batch_norms(network) is network
