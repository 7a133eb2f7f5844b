# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Gates: union, decisions, drawn gates, and what they say as plans."""

import pytest
import torch
from helpers import small
from hypothesis import given, settings
from hypothesis import strategies as st

from adamtl_ros.nn.cost.budget import to_plans
from adamtl_ros.nn.cost.macs import complexity
from adamtl_ros.nn.gating.gates import Gates, apply_threshold, gumbel_sigmoid, noisy_or
from adamtl_ros.nn.gating.plan import OFF, BlockPlan
from adamtl_ros.nn.gating.policy import PolicyConfig

SCORES = st.lists(st.floats(-30, 30), min_size=1, max_size=6)


@settings(deadline=None)
@given(SCORES)
def test_union_is_the_soft_or_of_probabilities(scores):
    """1 - prod(1 - p), worked out in double precision."""
    joined = noisy_or(torch.tensor([scores], dtype=torch.double))
    closed = torch.sigmoid(-torch.tensor(scores, dtype=torch.double)).prod()
    torch.testing.assert_close(torch.sigmoid(-joined[0]), closed, atol=1e-12, rtol=1e-6)


def test_union_by_hand():
    # Two heads at one half: three quarters; a head that is sure decides alone.
    torch.testing.assert_close(torch.sigmoid(noisy_or(torch.zeros(1, 2))), torch.tensor([0.75]))
    assert noisy_or(torch.tensor([[-40.0, 25.0]])).item() == pytest.approx(25)
    assert noisy_or(torch.tensor([[-3.5]])).item() == -3.5


@settings(deadline=None)
@given(SCORES)
def test_union_has_gradients_for_every_head(scores):
    votes = torch.tensor([scores], requires_grad=True)
    noisy_or(votes).sum().backward()
    assert votes.grad.isfinite().all()
    # Where all heads are sure that a gate is open, the gradient is shared among them.
    assert votes.grad.sum() > 0.1


def test_a_gate_that_no_head_has_stays_shut():
    assert noisy_or(torch.full((1, 3), float('-inf'))).item() == float('-inf')


def test_decide_by_hand():
    scores = Gates(blocks=torch.tensor([[0.0, 1.0], [2.0, 3.0]]), windows=torch.ones(2, 2, 3))
    gates = apply_threshold(scores, torch.tensor([0.5, 2.0]))
    assert gates.blocks.tolist() == [[False, True], [False, True]]
    assert gates.windows.all((1, 2)).tolist() == [True, False]


@pytest.mark.parametrize('temperature', [5.0, 1.0, 0.1])
def test_drawn_gates_open_as_often_as_their_score_says(temperature):
    scores = torch.tensor([-2.0, 0.0, 1.0]).repeat(20000, 1)
    drawn = gumbel_sigmoid(
        Gates(blocks=scores), temperature, torch.Generator().manual_seed(0)
    ).blocks
    assert set(drawn.unique().tolist()) == {0, 1}
    torch.testing.assert_close(drawn.mean(0), torch.sigmoid(scores[0]), atol=0.015, rtol=0)


def test_colder_gates_reach_less_far():
    """Gradients of gates far from their flip fade as the temperature falls."""
    reach = []
    for temperature in (2.0, 0.5):
        score = torch.full((1, 1000), 3.0, requires_grad=True)
        drawn = gumbel_sigmoid(Gates(blocks=score), temperature, torch.Generator().manual_seed(0))
        drawn.blocks.sum().backward()
        reach.append(score.grad.median().item())
    assert reach[0] > 5 * reach[1] > 0


@pytest.mark.parametrize('temperature', [0.0, -1.0, float('nan')])
def test_impossible_temperatures(temperature):
    with pytest.raises(ValueError, match='temperature must be positive, got'):
        gumbel_sigmoid(Gates(blocks=torch.zeros(1, 2)), temperature)


def test_missing_windows_stay_shut_and_quiet():
    score = torch.tensor([[0.0, float('-inf')]], requires_grad=True)
    drawn = gumbel_sigmoid(Gates(blocks=score), 1.0).blocks
    drawn.sum().backward()
    assert drawn[0, 1] == 0
    assert score.grad.isfinite().all()


def test_plans_of_gates():
    counts = complexity(small.ARCH, (64, 64), (), PolicyConfig(narrow=0.25))
    windows = torch.zeros(1, 4, 16, dtype=torch.bool)
    windows[0, 0] = True  # all 16
    windows[0, 1, [2, 5]] = True
    windows[0, 2, :4] = True  # all 4 that there are
    gates = Gates(
        blocks=torch.tensor([[True, True, False, True]]),
        widths=torch.tensor([[False, True, True, True]]),
        windows=windows,
    )
    (plan,) = to_plans(gates, 1, counts)
    assert plan.blocks == (BlockPlan(width=0.25), BlockPlan(windows=(2, 5)), OFF, OFF)
