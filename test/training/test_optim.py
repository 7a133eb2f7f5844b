# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Parameter groups, schedule and averaged weights."""

import warnings
from itertools import pairwise

import pytest
import torch
from helpers import small
from torch import nn
from torch.optim.swa_utils import AveragedModel

from adamtl_ros.training.optim import (
    cosine_schedule,
    count_trained_parameters,
    ema_with_warmup,
    parameter_groups,
)
from adamtl_ros.training.recipe import KINDS, AdapterConfig, DataConfig, Recipe, Stage

torch.set_num_threads(1)


@pytest.mark.parametrize('kind', KINDS)
def test_what_a_stage_trains_is_in_one_group_and_the_rest_is_frozen(kind):
    network = small.network()
    # Freezing must not last longer than its stage.
    parameter_groups(network, Stage('policy' if kind == 'static' else 'static', 1), 0.1)
    groups = parameter_groups(network, Stage(kind, 1), 0.1)
    given = [id(weight) for group in groups for weight in group['params']]
    wanted = {
        id(weight)
        for name, weight in network.named_parameters()
        if (kind in ('policy', 'joint') if name.startswith('policy.') else kind != 'policy')
    }
    assert len(given) == len(set(given))
    assert set(given) == wanted
    assert {id(weight) for weight in network.parameters() if weight.requires_grad} == wanted


def test_only_matrices_decay():
    network = small.network()
    groups = parameter_groups(network, Stage('joint', 1), 0.1)
    decays = {id(weight): group['weight_decay'] for group in groups for weight in group['params']}
    names = {name: decays[id(weight)] for name, weight in network.named_parameters()}
    assert set(names.values()) == {0.0, 0.1}
    for name, module in network.named_modules():
        for part, _ in module.named_parameters(recurse=False):
            plain = part == 'weight' and not isinstance(module, nn.LayerNorm | nn.BatchNorm2d)
            full = f'{name}.{part}'
            assert names[full] == (0.1 if plain else 0.0), full
    assert any('relative_position_bias_table' in name for name in names)


def test_policy_and_backbone_have_rates_of_their_own():
    network = small.network()
    stage = Stage('joint', 1, lr=0.1, policy_lr=0.2)
    rates = {
        id(weight): group['lr']
        for group in parameter_groups(network, stage, 0)
        for weight in group['params']
    }
    for name, weight in network.named_parameters():
        assert rates[id(weight)] == (0.2 if name.startswith('policy.') else 0.1)


def recipe(*kinds, **entries):
    data = DataConfig('scenes')
    return Recipe('some', data, data, tuple(Stage(kind, 1) for kind in kinds), **entries)


def test_trained_parameters_are_those_of_all_stages_each_once():
    network = small.network()
    every = sum(weight.numel() for weight in network.parameters())
    policy = sum(weight.numel() for weight in network.policy.parameters())
    assert count_trained_parameters(network, recipe('static', 'backbone')) == every - policy
    assert count_trained_parameters(network, recipe('policy')) == policy
    assert count_trained_parameters(network, recipe('static', 'policy', 'joint')) == every


def test_of_an_adapted_network_what_is_frozen_is_not_counted():
    network = small.adapted()
    only = AdapterConfig(parts=('shared', 'decoders'))
    found = count_trained_parameters(
        network, recipe('static', adapters=only, start='x', tasks=['depth'])
    )
    wanted = sum(
        weight.numel()
        for name, weight in network.named_parameters()
        if '.shared.' in name or name.startswith('decoders.depth.')
    )
    assert found == wanted > 0


def rates(steps, warmup):
    """Return the rate of each step, and the one after the last."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 1.0)
    schedule = cosine_schedule(optimizer, steps, warmup)
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        for _ in range(steps + 1):
            found.append(optimizer.param_groups[0]['lr'])
            schedule.step()
    return found


def test_rates_rise_and_then_fall_to_a_hundredth():
    found = rates(100, 0.1)
    assert found[0] == pytest.approx(0.02)
    assert all(a < b for a, b in pairwise(found[:11]))
    assert found[10] == pytest.approx(1.0)
    assert found[55] == pytest.approx(0.505)
    assert all(a > b for a, b in pairwise(found[10:]))
    assert found[100] == pytest.approx(0.01)


@pytest.mark.parametrize('warmup', [0.0, 0.5, 1.0])
@pytest.mark.parametrize('steps', [1, 2, 3])
def test_stages_of_few_steps_have_rates_too(steps, warmup):
    assert all(0 < rate <= 1 for rate in rates(steps, warmup)[:steps])


def test_running_mean_worked_by_hand():
    layer = nn.Linear(1, 1, bias=False)
    mean = AveragedModel(layer, multi_avg_fn=ema_with_warmup(0.25))
    values, expected = [4.0, 1.0, -3.0, 6.0, 2.0], None
    for count, value in enumerate(values):
        with torch.no_grad():
            layer.weight.fill_(value)
        mean.update_parameters(layer)
        # 2/11 and 3/12 at first; from then on 0.25, which is less than 4/13.
        decay = [0.0, 2 / 11, 3 / 12, 0.25, 0.25][count]
        expected = value if not count else decay * expected + (1 - decay) * value
        assert mean.module.weight.item() == pytest.approx(expected, rel=1e-6)
