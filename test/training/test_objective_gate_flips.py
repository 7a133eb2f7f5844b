# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Gate flips: an unbiased gradient of the expected loss."""

import itertools

import pytest
import torch

from adamtl_ros.nn.gating.gates import Gates, gumbel_sigmoid
from adamtl_ros.training.objective import gate_flip_gradient, sample_gate_flip

SCORES = torch.tensor([[0.3, -1.2, 2.0, 0.0]], dtype=torch.double)


def curved(gates):
    """Return a loss that no gate has a part of on its own, (B, 4) to (B,)."""
    a, b, c, d = gates.unbind(1)
    return (a + 2 * b - c) ** 2 + 3 * a * b * d - torch.exp(c * d)


def drawn(scores, seed, **others):
    generator = torch.Generator().manual_seed(seed)
    gates = gumbel_sigmoid(Gates(blocks=scores), 1.0, generator).present['blocks'].detach()
    return Gates(blocks=gates, **others), generator


def exact_slope():
    """Return the gradient of the expected loss, summed over all sixteen outcomes."""
    scores = SCORES.clone().requires_grad_()
    chance = scores.sigmoid()[0]
    total = torch.zeros((), dtype=torch.double)
    for outcome in itertools.product([0.0, 1.0], repeat=4):
        gates = torch.tensor(outcome, dtype=torch.double)
        probability = torch.where(gates == 1, chance, 1 - chance).prod()
        total = total + probability * curved(gates[None])[0]
    total.backward()
    return scores.grad[0]


def test_the_slope_is_that_of_the_expected_loss():
    draws = 40_000
    scores = SCORES.expand(draws, 4).clone().requires_grad_()
    gates, generator = drawn(scores.detach(), 0)
    flip = sample_gate_flip(Gates(blocks=scores), gates, generator)
    before, after = curved(gates.blocks), curved(flip.gates.blocks)
    value = gate_flip_gradient(flip, before, after)
    assert not value.any()
    value.sum().backward()
    found, error = scores.grad.mean(0), scores.grad.std(0) / draws**0.5
    assert ((found - exact_slope()).abs() < 4 * error).all()
    assert (error < 0.1).all()


def test_a_gate_that_lowers_the_loss_is_opened():
    scores = torch.zeros(1, 1, requires_grad=True)
    for was in (0.0, 1.0):
        flip = sample_gate_flip(Gates(blocks=scores), Gates(blocks=torch.full((1, 1), was)))
        shut, open_ = torch.tensor([2.0]), torch.tensor([0.5])
        losses = (shut, open_) if was == 0 else (open_, shut)
        scores.grad = None
        gate_flip_gradient(flip, *losses).sum().backward()
        # (0.5 - 2) * sigmoid'(0)
        assert scores.grad.item() == pytest.approx(-1.5 * 0.25)  # type: ignore[attr-defined]


def test_one_gate_of_each_image_is_flipped_and_no_window():
    scores = torch.randn(50, 4)
    windows = (torch.rand(50, 4, 6) > 0.5).float()
    widths = (torch.rand(50, 4) > 0.5).float()
    gates, generator = drawn(scores, 1, widths=widths, windows=windows)
    votes = Gates(blocks=scores, widths=torch.randn(50, 4), windows=torch.randn(50, 4, 6))
    flip = sample_gate_flip(votes, gates, generator)
    changed = (flip.gates.blocks != gates.blocks).sum(1) + (flip.gates.widths != widths).sum(1)
    assert (changed == 1).all()
    assert flip.gates.windows is windows
    total = (flip.gates.blocks - gates.blocks).sum(1) + (flip.gates.widths - widths).sum(1)
    assert torch.equal(total, flip.direction)


def test_uncertain_gates_are_flipped_more_often_but_certain_ones_too():
    scores = torch.tensor([[0.0, 20.0]]).expand(4000, 2)
    gates, generator = drawn(scores, 2)
    flip = sample_gate_flip(Gates(blocks=scores), gates, generator)
    tried = (flip.gates.blocks != gates.blocks).double().mean(0)
    # 0.25 + 0.05 against 0 + 0.05
    assert tried.tolist() == pytest.approx([6 / 7, 1 / 7], abs=0.02)
