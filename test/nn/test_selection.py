# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Keeping a limit on every image."""

import small
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adamtl_ros.nn.gating import decide
from adamtl_ros.nn.selection import fit, select

NETWORKS = {gates: small.network(gates) for gates in small.MIXES}
IMAGES = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def scored(gates):
    network = NETWORKS[gates]
    with torch.inference_mode():
        tokens = network.encoder.patch_embed(IMAGES)
        scores = network.policy(tokens, torch.full((3,), 0.5), network.tasks)
    return scores, network.spending((64, 64))


@settings(max_examples=60, deadline=None)
@given(gates=st.sampled_from(small.MIXES), limit=st.floats(0, 1.1))
def test_fit_is_the_lowest_threshold_within_the_limit(gates, limit):
    """Against trying every score as a threshold, from the lowest on."""
    scores, spending = scored(gates)
    found = fit(scores, spending, limit)
    for image in range(3):
        one = scores.map(lambda s, image=image: s[image : image + 1])
        candidates = [float('-inf'), *sorted(one.flat()[0].unique().tolist())]
        shares = [spending.share(decide(one, torch.tensor([value]))).item() for value in candidates]
        lowest = next(
            (value for value, share in zip(candidates, shares, strict=True) if share <= limit),
            candidates[-1],
        )
        assert found[image].item() == lowest


@settings(max_examples=40, deadline=None)
@given(gates=st.sampled_from(small.MIXES), threshold=st.floats(-3, 3), limit=st.floats(0.1, 1.1))
def test_select_keeps_the_threshold_or_the_limit(gates, threshold, limit):
    scores, spending = scored(gates)
    plain = decide(scores, torch.full((3,), threshold))
    chosen = select(scores, spending, threshold, limit)
    wanted, spent = spending.share(plain), spending.share(chosen)
    least = (spending.floor + spending.asking) / spending.full
    assert (spent <= max(limit, least) + 1e-12).all()
    if (wanted <= limit).all():
        assert torch.equal(chosen.flat(), plain.flat())
    # What is shut for the limit is shut for its score: never more than the threshold opens.
    assert (chosen.flat() <= plain.flat()).all()


def test_shares_by_hand():
    scores, spending = scored(('blocks',))
    counts = spending.counts
    nothing = spending.share(decide(scores, torch.full((3,), float('inf'))))
    everything = spending.share(decide(scores, torch.full((3,), float('-inf'))))
    fixed = counts.fixed + sum(counts.decoders.values())
    assert spending.floor == fixed
    expected = torch.tensor([fixed + spending.asking] * 3, dtype=torch.double) / spending.full
    torch.testing.assert_close(nothing, expected)
    torch.testing.assert_close(everything, expected - fixed / spending.full + 1)
