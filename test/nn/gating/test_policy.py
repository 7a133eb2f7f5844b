# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The policy: what it looks at, who has a say, and where its scores belong."""

import pytest
import torch
from helpers import small

from adamtl_ros.nn.architecture import architecture
from adamtl_ros.nn.cost.macs import complexity
from adamtl_ros.nn.gating.gates import GRANULARITIES
from adamtl_ros.nn.gating.plan import OFF, BlockPlan
from adamtl_ros.nn.gating.policy import PolicyConfig
from adamtl_ros.tasks import TASKS

HALF = torch.full((1,), 0.5)


@pytest.fixture(autouse=True)
def _inference():
    with torch.inference_mode():
        yield


@pytest.mark.parametrize('size', [(64, 64), (199, 301), (5, 7)])
def test_scores_of_every_gate_at_any_size(size):
    network = small.network(GRANULARITIES)
    tokens = network.encoder.patch_embed(torch.randn(2, 3, *size))
    scores = network.policy(tokens, HALF.expand(2), TASKS)
    counts = network.complexity(*size)
    most = max(cost.windows for cost in counts.blocks)
    assert scores.blocks.shape == scores.widths.shape == (2, 4)
    assert scores.windows.shape == (2, 4, most)
    assert scores.tokens.shape == (2, 4, most, 16)
    for block, cost in enumerate(counts.blocks):
        real = scores.windows[:, block].isfinite().sum(1)
        assert real.tolist() == [cost.windows] * 2
    height, width = counts.grid
    assert scores.tokens[0, 0].isfinite().sum() == height * width


def test_only_the_tasks_in_use_have_a_say():
    network = small.network()
    tokens = network.encoder.patch_embed(torch.randn(1, 3, 64, 64))
    before = network.policy(tokens, HALF, ['depth', 'edges']).flat()
    heads = network.policy.head_indices(['semseg', 'saliency'])
    network.policy.heads.weight[heads] = 100
    network.policy.maps.weight[heads] = 100
    assert torch.equal(before, network.policy(tokens, HALF, ['depth', 'edges']).flat())
    assert not torch.equal(before, network.policy(tokens, HALF, ['depth', 'semseg']).flat())


def test_more_tasks_never_lower_a_score():
    network = small.network()
    tokens = network.encoder.patch_embed(torch.randn(1, 3, 64, 64))
    one, two, six = (
        network.policy(tokens, HALF, some).flat()
        for some in (['depth'], ['normals', 'depth'], TASKS)
    )
    assert (one <= two + 1e-5).all()
    assert (two <= six + 1e-5).all()
    assert (one + 1e-2 < six).any()


def test_a_shared_head_serves_all_tasks_alike():
    network = small.network(task_aware=False)
    tokens = network.encoder.patch_embed(torch.randn(1, 3, 64, 64))
    assert network.policy.names == ('shared',)
    assert torch.equal(
        network.policy(tokens, HALF, ['depth']).flat(), network.policy(tokens, HALF, TASKS).flat()
    )


def test_the_budget_is_heard():
    network = small.network()
    tokens = network.encoder.patch_embed(torch.randn(1, 3, 64, 64))
    low, high = (network.policy(tokens, torch.tensor([b]), TASKS).flat() for b in (0.3, 0.9))
    assert not torch.allclose(low, high)


def test_windows_follow_their_place():
    """What is bright in one corner changes the scores of windows there, in every block."""
    network = small.network(('windows',))
    policy = network.policy
    cells = torch.zeros(1, 4, 4, 2 * policy.config.channels)
    bright = cells.clone()
    bright[:, 3, 3] = 1.0
    policy.maps.weight.fill_(1.0)
    before, after = (policy.head_scores(c, (16, 16), HALF, TASKS) for c in (cells, bright))
    # The frame as a whole is seen too: what all windows gain is no matter of place.
    gained = (after.windows - before.windows)[0, ..., 0]
    corner = [gained[0, :16].argmax().item(), gained[2, :4].argmax().item()]
    assert corner == [15, 3]
    # Shifted by two tokens: the corner's 4 x 4 tokens are shared by four windows.
    shifted = gained[1, :16] > gained[1, :16].min() + 1e-6
    assert shifted.nonzero()[:, 0].tolist() == [10, 11, 14, 15]


@pytest.mark.parametrize('name', ['nano', 'tiny', 'small', 'base', 'base384'])
def test_cheap(name):
    arch = architecture(name)
    for config in (PolicyConfig(), PolicyConfig(GRANULARITIES)):
        counts = complexity(arch, arch.input_size, tuple(TASKS.values()), config)
        assert counts.policy_macs(TASKS) <= 0.02 * counts.full(TASKS)


def test_what_remains_with_all_gates_shut():
    assert PolicyConfig(('blocks', 'widths')).closed_block == OFF
    assert PolicyConfig(('windows', 'tokens')).closed_block == OFF
    assert PolicyConfig(('widths',), narrow=0.25).closed_block == BlockPlan(width=0.25)
    assert PolicyConfig(('tokens',)).closed_block == BlockPlan(tokens=())


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'gates': ('heads',)}, 'gates must be some of blocks, widths, windows, tokens'),
        ({'gates': ()}, 'gates must be some of'),
        ({'gates': ('blocks', 'blocks')}, 'each once'),
        ({'narrow': 1.0}, 'narrow must lie between 0 and 1, got 1.0'),
        ({'channels': 0}, 'sizes of a policy must be 1 to 1024'),
    ],
)
def test_impossible_configurations(values, message):
    with pytest.raises(ValueError, match=message):
        PolicyConfig(**values)


def test_configuration_round_trip():
    config = PolicyConfig(('windows',), task_aware=False, narrow=0.25)
    assert PolicyConfig.from_dict(config.to_dict()) == config
    with pytest.raises(ValueError, match='not a policy of this version'):
        PolicyConfig.from_dict({'gates': ['blocks'], 'colour': 3})
