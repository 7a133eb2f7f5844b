# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Where adapters are, and linear layers with one."""

import json

import pytest
import torch
from torch.nn import functional

from adamtl_ros.nn.adapters.lora import LoraConfig, Ranks
from adamtl_ros.nn.layers import LoRALayer, LoRALinear


def linear(inputs=6, outputs=8, rank=2):
    torch.manual_seed(0)
    made = LoRALinear(inputs, outputs)
    made.shared = LoRALayer(inputs, outputs, rank, 4.0)
    torch.nn.init.normal_(made.shared.b)
    return made


def test_begins_as_the_plain_layer():
    made, x = linear(), torch.randn(5, 6)
    made.shared = LoRALayer(6, 8, 2, 4.0)
    assert made.shared.a.abs().max() <= 1 / 6**0.5
    torch.testing.assert_close(made(x), functional.linear(x, made.weight, made.bias))


@pytest.mark.parametrize('folded', [False, True])
def test_the_scale_is_a_plain_factor(folded):
    made, x = linear(), torch.randn(5, 6)
    weight = made.weight + 4 * made.shared.b @ made.shared.a
    if folded:
        made.merge()
    torch.testing.assert_close(made(x), functional.linear(x, weight, made.bias))
    few = functional.linear(x[:, :3], weight[:5, :3], made.bias[:5])
    torch.testing.assert_close(made(x[:, :3], 5), few)


def test_unfolding_restores_every_bit():
    made = linear()
    before = made.weight.clone()
    for _ in range(3):
        made.merge()
        made.merge()
        assert not torch.equal(made.weight, before)
        assert torch.equal(made.state_dict()['weight'], before)
        made.unmerge()
        assert torch.equal(made.weight, before)


def test_loading_into_a_folded_layer():
    made, other = linear(), LoRALinear(6, 8)
    made.merge()
    made.load_state_dict(other.state_dict(), strict=False)
    assert not made.merged
    assert torch.equal(made.weight, other.weight)


def test_no_gradient_is_spent_on_a_frozen_weight():
    made = linear()
    made.weight.requires_grad_(False)
    made(torch.randn(5, 6)).sum().backward()
    assert made.weight.grad is None
    assert made.shared.a.grad.any()
    assert made.shared.b.grad.any()


def test_dropout_in_training_only():
    made, x = linear(), torch.ones(1000, 6)
    made.shared.dropout = 0.5
    assert len(made.train()(x).unique(dim=0)) > 1
    assert len(made.eval()(x).unique(dim=0)) == 1


def test_round_trip():
    config = LoraConfig(
        Ranks((64, 0), (4.0, 1.0)),
        (('depth', Ranks((4, 2), (4.0, 2.0))), ('edges', Ranks((0, 2), (1.0, 2.0)))),
        ('qkv', 'fc1'),
        ('proj', 'fc2'),
        Ranks((8,), (0.5,)),
        'matrix',
        0.0,
    )
    assert LoraConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert config.task_ranks(0) == {'depth': (4, 4.0)}
    assert hash(config) == hash(LoraConfig.from_dict(config.to_dict()))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'form': 'addition'}, "form must be one of matrix, foldable, got 'addition'"),
        ({'task_layers': ('qkv',)}, 'task_layers must be some of proj, fc1, fc2'),
        ({'task_layers': ('fc1',)}, "'fc1' has an effect through 'fc2' only"),
        ({'shared_layers': ('qkv', 'qkv')}, 'each once'),
        ({'dropout': 1.0}, r'dropout must lie in \[0, 1\), got 1'),
    ],
)
def test_impossible_values(change, message):
    with pytest.raises(ValueError, match=message):
        LoraConfig.uniform(2, ['depth'], 4, 2, **change)


def test_impossible_ranks_and_headers():
    with pytest.raises(ValueError, match='ranks must be whole numbers from 0 on'):
        Ranks((-1,), (1.0,))
    with pytest.raises(ValueError, match='scales must be positive'):
        Ranks((1,), (0.0,))
    with pytest.raises(ValueError, match='not adapters of this version'):
        LoraConfig.from_dict({'shared': 3})
