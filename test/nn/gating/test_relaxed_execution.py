# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Training under gates: the same result as the plans they stand for, and gradients."""

import pytest
import torch
from helpers import small

from adamtl_ros.nn.cost.budget import to_plans
from adamtl_ros.nn.gating.execution import PlannedExecution, RelaxedExecution
from adamtl_ros.nn.gating.gates import GRANULARITIES, Gates, gumbel_sigmoid

IMAGES = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def scores(network, images=IMAGES, budget=0.5):
    tokens = network.encoder.patch_embed(images)
    return tokens, network.policy(tokens, torch.full((len(images),), budget), network.tasks)


@pytest.mark.parametrize('gates', small.MIXES)
@pytest.mark.parametrize('size', [(64, 64), (52, 84)])
def test_gates_equal_the_plans_they_stand_for(gates, size):
    network = small.network(gates)
    images = torch.randn(3, 3, *size)
    with torch.no_grad():
        tokens, votes = scores(network, images)
        even = votes.map(lambda s: s - s[s.isfinite()].median())
        drawn = gumbel_sigmoid(even, 1.0, torch.Generator().manual_seed(2))
        narrow = network.policy.config.narrow
        relaxed = network.encoder(tokens, RelaxedExecution(drawn, small.ARCH.depths, narrow))
        plans = to_plans(drawn.map(lambda g: g > 0.5), 3, network.complexity(*size))
        planned = network.encoder(tokens, PlannedExecution(plans))
    assert len(set(plans)) > 1
    for one, other in zip(relaxed, planned, strict=True):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-4)


def test_all_gates_open_is_the_plain_network():
    network = small.network(GRANULARITIES)
    with torch.no_grad():
        tokens, votes = scores(network)
        opened = votes.map(torch.ones_like)
        for gates in (opened, Gates()):
            execution = RelaxedExecution(gates, small.ARCH.depths, 0.5)
            ours = network.encoder(tokens, execution)
            plain = small.encode(network.encoder, IMAGES)
            for one, other in zip(ours, plain, strict=True):
                torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('gates', small.MIXES)
@pytest.mark.parametrize('task_aware', [True, False])
def test_gradients_reach_every_policy_parameter(gates, task_aware):
    network = small.network(gates, task_aware=task_aware).train()
    # Many images, so that every block runs on some: elsewhere its windows have no say.
    images, budgets = IMAGES.repeat(12, 1, 1, 1), torch.tensor([0.3, 0.5, 0.9]).repeat(12)
    predicted = network.forward_train(images, budgets, temperature=2.0)
    sum(raw.square().mean() for raw in predicted.maps.values()).backward()
    for name, weight in network.policy.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
        assert weight.grad.abs().sum() > 0, name
    # (heads, gates * blocks, hidden): every head, for every block, at every granularity.
    reached = network.policy.heads.weight.grad.abs().sum(2) > 0
    assert reached.all()


def test_the_price_alone_reaches_the_policy_and_not_the_encoder():
    network = small.network().train()
    predicted = network.forward_train(IMAGES, torch.full((3,), 0.5), temperature=2.0)
    predicted.fractions.mean().backward()
    assert all(weight.grad is not None for weight in network.policy.parameters())
    assert all(weight.grad is None for weight in network.encoder.parameters())


def test_only_tasks_in_use_learn():
    network = small.network().train()
    predicted = network.forward_train(
        IMAGES, torch.full((3,), 0.5), tasks=['depth'], temperature=2.0
    )
    (predicted.maps['depth'].sum() + predicted.fractions.sum()).backward()
    learnt = network.policy.heads.weight.grad.abs().sum((1, 2)) > 0
    assert learnt.tolist() == [name == 'depth' for name in network.tasks]


def test_shares_are_what_the_plans_cost():
    network = small.network(('blocks', 'widths', 'windows'))
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        predicted = network.forward_train(IMAGES, torch.full((3,), 0.5), generator=generator)
        generator.manual_seed(5)
        _, votes = scores(network)
        drawn = gumbel_sigmoid(votes, 1.0, generator)
        counts = network.complexity(64, 64)
        plans = to_plans(drawn.map(lambda g: g > 0.5), 3, counts)
    model = network.budget_model((64, 64))
    expected = [
        (counts.total(plan, network.tasks) + model.policy_macs) / model.full for plan in plans
    ]
    torch.testing.assert_close(predicted.fractions, torch.tensor(expected, dtype=torch.double))


@pytest.mark.parametrize('gates', small.MIXES)
@pytest.mark.parametrize('size', [(64, 64), (52, 84)])
def test_everything_runs_at_budget_one(gates, size):
    """As at inference: the policy is not asked, and is not paid for."""
    network = small.network(gates)
    images = torch.randn(3, 3, *size)
    with torch.no_grad():
        predicted = network.forward_train(images, torch.ones(3), ['depth'], temperature=0.5)
        plain = network(images, 1.0, ['depth'])
    torch.testing.assert_close(predicted.maps['depth'], plain.maps['depth'], atol=1e-5, rtol=1e-4)
    assert predicted.fractions.tolist() == [cost.fraction for cost in plain.costs] == [1, 1, 1]


@pytest.mark.parametrize('gates', small.MIXES)
def test_images_at_budget_one_do_not_change_the_others(gates):
    network = small.network(gates).train()
    generator = torch.Generator()
    below, mixed = (
        network.forward_train(IMAGES, torch.tensor(budgets), None, 1.0, generator.manual_seed(3))
        for budgets in ([0.5, 0.5, 0.5], [1.0, 0.5, 1.0])
    )
    torch.testing.assert_close(mixed.fractions[1], below.fractions[1])
    torch.testing.assert_close(mixed.maps['depth'][1], below.maps['depth'][1], atol=5e-5, rtol=1e-4)
    assert mixed.fractions[[0, 2]].tolist() == [1, 1]
    assert (below.fractions[[0, 2]] != 1).all()


def test_the_policy_learns_nothing_from_images_at_budget_one():
    network = small.network().train()
    predicted = network.forward_train(IMAGES, torch.ones(3), temperature=2.0)
    loss = sum(raw.square().mean() for raw in predicted.maps.values())
    (loss + predicted.fractions.sum()).backward()
    for name, weight in network.policy.named_parameters():
        assert not weight.grad.any(), name
    assert all(weight.grad.any() for weight in network.decoders.parameters())


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('gates', small.MIXES)
def test_no_nan_under_autocast(dtype, gates):
    network = small.network(gates).train()
    with torch.autocast('cpu', dtype):
        predicted = network.forward_train(IMAGES * 5, torch.full((3,), 0.5), temperature=0.5)
        loss = sum(raw.float().square().mean() for raw in predicted.maps.values())
    (loss + predicted.fractions.mean()).backward()
    assert all(raw.isfinite().all() for raw in predicted.maps.values())
    assert predicted.fractions.isfinite().all()
    for name, weight in network.named_parameters():
        assert weight.grad is None or weight.grad.isfinite().all(), name
