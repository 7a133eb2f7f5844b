# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Values that are computed from weights once, and again when these change."""

import torch
from helpers import small

from adamtl_ros.nn.adapters.inject import adapter_state, load_adapter_state
from adamtl_ros.nn.layers import WeightCache


def test_made_again_only_when_a_weight_changes():
    made, kept = [], WeightCache(2)
    weight = torch.nn.Parameter(torch.ones(2))

    def twice(key='a', tensor=weight):
        return kept.get(key, [tensor], lambda: made.append(key) or 2 * tensor.detach())

    with torch.inference_mode():
        assert twice() is twice()
        weight.add_(1)
        assert twice().tolist() == [4, 4]
        assert twice(tensor=weight.detach().clone()).tolist() == [4, 4]
        assert twice(tensor=weight.double()).dtype == torch.double
        assert len(made) == 4
        # Its own changes cannot be seen of a tensor that was made here: nothing is kept.
        inside = torch.ones(2)
        assert twice(tensor=inside) is not twice(tensor=inside)
    assert twice() is not twice()  # gradients are recorded


def test_only_so_many_are_kept():
    kept, weights = WeightCache(2), [torch.ones(1)]
    with torch.no_grad():
        first = kept.get(0, weights, object)
        assert kept.get(1, weights, object) is not first
        assert kept.get(0, weights, object) is first
        kept.get(2, weights, object)
        assert kept.get(0, weights, object) is not first


def test_branches_follow_their_weights():
    """Changed in place, loaded, and of other tasks than before."""
    network, other = small.adapted(), small.adapted()
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before = [network(image, 1.0, some).maps for some in (['depth'], ['depth', 'edges'])]
        small.close({'depth': before[1]['depth']}, before[0])
        for weight in other.parameters():
            weight.mul_(1.1)
        expected = other(image).maps
        network.load_state_dict(other.state_dict())
        small.close(network(image).maps, expected)
        state = {key: 2 * value for key, value in adapter_state(other).items()}
        for made in (network, other):
            load_adapter_state(made, state)
        found = network(image).maps
        small.close(found, other(image).maps)
    assert not torch.allclose(found['depth'], expected['depth'])
