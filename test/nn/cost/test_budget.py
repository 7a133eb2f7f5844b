# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What thresholds cost, and the one that keeps a limit."""

import pytest
import torch
from helpers import small
from hypothesis import given, settings
from hypothesis import strategies as st

from adamtl_ros.nn.gating.gates import apply_threshold

NETWORKS = {gates: small.network(gates) for gates in small.MIXES}
# Tasks with branches have gates of their own where blocks or windows are gated.
NETWORKS |= {('adapted', *gates): small.adapted(gates) for gates in small.MIXES}
MIXES = list(NETWORKS)
IMAGES = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def scored(gates):
    network = NETWORKS[gates]
    model = network.budget_model((64, 64))
    with torch.inference_mode():
        tokens = network.encoder.patch_embed(IMAGES)
        half = torch.full((3,), 0.5)
        scores = network.policy(tokens, half, network.tasks, branches=model.branch_gates)
    return scores, model


def every_step(scores, model, image):
    """Share at each score of an image as a threshold, from the lowest on, tried one by one."""
    one = scores.map(lambda score: score[image : image + 1])
    candidates = [float('-inf'), *sorted(one.flat()[0].unique().tolist())]
    return {
        at: model.fraction(apply_threshold(one, torch.tensor([at]))).item() for at in candidates
    }


@pytest.mark.parametrize('gates', MIXES)
def test_steps_equal_gates_tried_one_by_one(gates):
    scores, model = scored(gates)
    curve = model.curve(scores)
    for image in range(3):
        for at, share in every_step(scores, model, image).items():
            found = curve.fraction(torch.full((3,), at))[image].item()
            assert found == pytest.approx(share, abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(gates=st.sampled_from(MIXES), limit=st.floats(0, 1.1))
def test_lowest_threshold_within_the_limit(gates, limit):
    scores, model = scored(gates)
    found = model.curve(scores).lowest_within(limit)
    for image in range(3):
        tried = every_step(scores, model, image)
        within = [at for at, share in tried.items() if share <= limit]
        at = found[image].item()
        if within:
            assert model.fraction(apply_threshold(scores, found))[image] <= limit
            # No lower score does; scores that open nothing lie in between.
            assert all(share > limit for other, share in tried.items() if other < at)
        else:
            assert model.fraction(apply_threshold(scores, found))[image] == min(tried.values())


def test_shares_by_hand():
    scores, model = scored(('blocks',))
    counts = model.complexity
    nothing = model.fraction(apply_threshold(scores, torch.full((3,), float('inf'))))
    everything = model.fraction(apply_threshold(scores, torch.full((3,), float('-inf'))))
    fixed = counts.fixed + sum(counts.decoders.values())
    assert model.floor == fixed
    expected = torch.tensor([fixed + model.policy_macs] * 3, dtype=torch.double) / model.full
    torch.testing.assert_close(nothing, expected)
    torch.testing.assert_close(everything, expected - fixed / model.full + 1)
