# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A policy that is trained for a minute spends more on harder images, and where it helps."""

from itertools import pairwise

import pytest
import torch
from helpers import toy

from adamtl_ros.nn.calibrate import calibrate
from adamtl_ros.nn.gating.plan import FULL, OFF, Plan

IMAGES = 256


@pytest.fixture(scope='module', params=[('blocks',), ('blocks', 'windows')], ids='+'.join)
def network(request):
    trained = toy.train(request.param, backbone_steps=900 if 'windows' in request.param else 500)
    boards = toy.draw(IMAGES, torch.Generator().manual_seed(100))
    trained.calibration = calibrate(trained, [boards.images])
    return trained


@pytest.fixture(scope='module')
def boards():
    return toy.draw(IMAGES, torch.Generator().manual_seed(200))


def shares(prediction):
    return torch.tensor([cost.fraction for cost in prediction.costs])


def rank_correlation(one, other):
    """Return Spearman's; equal values share their mean rank."""
    ranks = [
        (x[:, None] > x).double().sum(1) + (x[:, None] == x).double().sum(1) / 2
        for x in (one, other)
    ]
    return torch.corrcoef(torch.stack(ranks))[0, 1].item()


@pytest.mark.timeout(1800)
def test_harder_images_get_more(network, boards):
    with torch.inference_mode():
        spent = shares(network(boards.images, 0.5))
    assert rank_correlation(spent, boards.difficulty) >= 0.5
    hard = boards.difficulty > boards.difficulty.median()
    assert spent[hard].mean() > spent[~hard].mean() + 0.02


@pytest.mark.timeout(1800)
def test_better_than_a_random_policy_of_the_same_macs(network, boards):
    """Against random blocks, and against the same plans dealt to other images.

    At a budget at which compute is scarce: half of it is enough for all that one of the
    networks knows, and then it does not matter where it goes.
    """
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        chosen = network(boards.images, 0.4)
        dealt, random = [], []
        for _ in range(5):
            order = torch.randperm(IMAGES, generator=generator).tolist()
            plans = [chosen.plans[index] for index in order]
            dealt.append(toy.accuracy(network.forward_plans(boards.images, plans), boards))
            plans = [random_plan(network, cost.macs, generator) for cost in chosen.costs]
            guess = network.forward_plans(boards.images, plans)
            assert shares(guess).mean() >= shares(chosen).mean()
            random.append(toy.accuracy(guess, boards))
    best = toy.accuracy(chosen, boards)
    assert best > max(dealt)
    assert best > max(random)


def random_plan(network, macs, generator):
    """Blocks in random order until at least so many MACs are spent."""
    model = network.budget_model((64, 64))
    blocks = [OFF] * network.arch.block_count
    for index in torch.randperm(len(blocks), generator=generator).tolist():
        blocks[index] = FULL
        plan = Plan.from_blocks(blocks, network.arch.depths)
        if model.complexity.total(plan, model.tasks) >= macs:
            break
    return plan


@pytest.mark.timeout(1800)
def test_one_set_of_weights_serves_every_budget(network, boards):
    means, accuracies = [], []
    with torch.inference_mode():
        for budget in (0.2, 0.35, 0.5, 0.75, 1.0):
            prediction = network(boards.images, budget)
            means.append(shares(prediction).mean().item())
            accuracies.append(toy.accuracy(prediction, boards))
            assert means[-1] <= budget + 0.01  # other images than those of the calibration
            assert shares(prediction).max() <= min(1, budget + 0.1)
    assert all(low < high for low, high in pairwise(means))
    assert accuracies[-1] > 0.7
    # Half of the compute keeps most of what all of it knows and the floor does not.
    assert accuracies[2] - accuracies[0] > 0.6 * (accuracies[-1] - accuracies[0])
