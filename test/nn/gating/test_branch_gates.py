# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A task's branch follows the task's own gate: its score, what it lets through, what it costs."""

from dataclasses import replace

import pytest
import torch
from helpers import small
from hypothesis import given, settings
from hypothesis import strategies as st

from adamtl_ros.nn.adapters.inject import inject
from adamtl_ros.nn.adapters.lora import LoraConfig, Ranks, TaskSwinBlock
from adamtl_ros.nn.calibrate import calibrate
from adamtl_ros.nn.cost.budget import to_plans
from adamtl_ros.nn.gating.gates import GRANULARITIES, Gates, combine_heads
from adamtl_ros.nn.gating.plan import OFF, BlockPlan, Plan
from adamtl_ros.tasks import TASKS

IMAGES = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
HRNET = replace(small.ARCH, decoder='hrnet')
SOME = ('normals', 'depth')
VOTES = st.lists(st.floats(-30, 30), min_size=1, max_size=6)
CLOSE = {'atol': 1e-4, 'rtol': 1e-4}


def branch_scores(votes, kind='blocks'):
    """Score of a block, or of its windows, and of the branches of tasks."""
    scores = combine_heads(Gates(**{kind: votes}), branches=True)
    return scores.present[kind][0, 0], scores.branches[0, 0]


@settings(deadline=None)
@given(VOTES)
def test_a_block_lies_between_its_branches(votes):
    """So where a block runs, at least one of them may."""
    block, branches = branch_scores(torch.tensor([[votes]]))
    assert branches.min() - 1e-4 <= block <= branches.max() + 1e-4
    assert branches[torch.tensor(votes).argmax()] == branches.max()


@settings(deadline=None)
@given(st.lists(VOTES.map(lambda votes: (votes * 6)[:6]), min_size=1, max_size=4))
def test_a_window_lies_below_the_greatest_branch(votes):
    windows, branches = branch_scores(torch.tensor([[votes]]), 'windows')
    assert windows.max() <= branches.max() + 1e-4


@settings(deadline=None)
@given(st.floats(-30, 30), st.integers(1, 6))
def test_tasks_that_agree_are_served_with_the_block(vote, count):
    block, branches = branch_scores(torch.full((1, 1, count), vote))
    torch.testing.assert_close(branches, block.expand(count), **CLOSE)
    if count == 1:
        assert branches == block == vote


def test_scores_by_hand():
    """Two votes for p = 0.5 are a probability of 3/4, two for 0.2 one of 9/25."""
    votes = torch.tensor([[[0.5, 0.2]]]).logit()
    expected = torch.tensor([0.75, 0.36])
    torch.testing.assert_close(branch_scores(votes)[1].sigmoid(), expected)
    # Of windows the largest vote counts; a block runs where it and a window of it do.
    windows = torch.tensor([[[[0.5, 0.1], [0.3, 0.2], [0.0, 0.0]]]]).logit()
    torch.testing.assert_close(branch_scores(windows, 'windows')[1].sigmoid(), expected)
    both = combine_heads(Gates(blocks=votes, windows=windows.flip(-1)), branches=True)
    torch.testing.assert_close(both.branches[0, 0].sigmoid(), torch.tensor([0.36, 0.36]))


def test_own_gates_where_they_are_asked_for():
    pairs = LoraConfig(Ranks.uniform(2, 2), (('depth', Ranks.uniform(2, 2)),))
    shared_only = LoraConfig(Ranks.uniform(2, 2))
    cases = [
        (('blocks',), pairs, {}, ['depth', 'edges'], True),
        (('windows', 'tokens'), pairs, {}, None, True),
        (('blocks',), None, {}, None, False),
        (('blocks',), shared_only, {}, None, False),
        (('blocks',), pairs, {'task_aware': False}, None, False),
        (('blocks',), pairs, {}, ['depth'], False),
        (('blocks',), pairs, {}, ['normals', 'edges'], False),
        (('widths', 'tokens'), pairs, {}, None, False),
    ]
    for gates, config, more, tasks, expected in cases:
        network = small.network(gates, **more)
        if config:
            inject(network, config)
        with torch.no_grad():
            drawn = network.forward_train(IMAGES, torch.full((3,), 0.5), tasks).gates
        assert (drawn.branches is not None) == expected, (gates, more, tasks)
        if expected:
            assert drawn.branches.shape == (3, 4, len(tasks or TASKS))


def test_plans_by_hand():
    """Only blocks with branches name tasks, and only where some do not run."""
    counts = small.adapted().complexity(64, 64)
    branches = torch.tensor([[[0, 0], [0, 1], [0, 1], [1, 1]], [[1, 1], [0, 0], [0, 1], [1, 1]]])
    blocks = torch.tensor([[1, 1, 1, 1], [0, 1, 1, 0]])
    one, other = to_plans(Gates(blocks=blocks, branches=branches), 2, counts, ['depth', 'edges'])
    full = BlockPlan()
    assert one.blocks == (full, BlockPlan(tasks=('edges',)), full, full)
    assert other.blocks == (OFF, BlockPlan(tasks=()), full, OFF)


@settings(max_examples=30, deadline=None)
@given(
    plans=st.lists(small.PLANS, min_size=3, max_size=3),
    kind=st.sampled_from(small.KINDS),
    hrnet=st.booleans(),
)
def test_each_task_gets_what_it_would_alone_and_without_the_branches_that_are_shut(
    plans, kind, hrnet
):
    """Whatever the others of the batch, and the other tasks, get."""
    network = small.adapted(layers=kind[0], form=kind[1], arch=HRNET if hrnet else small.ARCH)
    last = [layer.blocks[-1] for layer in network.encoder.layers]
    branches, names = [block.branches for block in last], list(TASKS)[:3]
    with torch.inference_mode():
        together = network.forward_plans(IMAGES, plans, names).maps
        for index, plan in enumerate(plans):
            unnamed = [replace(block, tasks=None) for block in plan.blocks]
            for name in names:
                for stage, block in enumerate(last):
                    served = plan.stages[stage][-1].allowed_branches([name])
                    if served:
                        TaskSwinBlock.convert(block, branches[stage])
                    else:
                        TaskSwinBlock.revert(block)
                alone = network.forward_plans(
                    IMAGES[[index]], [Plan.from_blocks(unnamed, small.ARCH.depths)], [name]
                )
                small.close(alone.maps, {name: together[name][[index]]})


@pytest.mark.parametrize('form', ['matrix', 'foldable'])
@pytest.mark.parametrize('open_', [0.0, 1.0])
def test_gradients_reach_the_gates_of_branches(form, open_):
    """Of each task in the last block of each stage, and there alone."""
    network, names = small.adapted(('blocks',), form=form), list(TASKS)[:3]
    gates = Gates(branches=torch.full((3, 4, 3), open_, requires_grad=True))
    tokens = network.encoder.patch_embed(IMAGES)
    maps = network.forward_gated(tokens, gates, reversed(names))
    assert list(maps) == names
    sum(raw.square().mean() for raw in maps.values()).backward()
    reached = gates.branches.grad != 0
    assert reached.all((0, 2)).tolist() == reached.any(2).any(0).tolist() == [0, 1, 0, 1]


def test_a_gate_is_that_of_its_task_whatever_the_order_of_names():
    network, names = small.adapted(), list(TASKS)[:3]
    gates = Gates(branches=torch.eye(3)[:, None].expand(3, 4, 3))
    with torch.no_grad():
        tokens = network.encoder.patch_embed(IMAGES)
        small.close(
            network.forward_gated(tokens, gates, names[::-1]),
            network.forward_gated(tokens, gates, names),
        )


@pytest.mark.parametrize('gates', [('blocks',), ('windows',), GRANULARITIES])
def test_the_score_of_a_branch_teaches_its_own_head_alone(gates):
    """The score of a branch is a matter of its own task's head."""
    network = small.adapted(gates).train()
    tokens = network.encoder.patch_embed(IMAGES)
    scores = network.policy(tokens, torch.full((3,), 0.5), TASKS, branches=True)
    scores.branches.sigmoid()[..., 0].sum().backward()
    learnt = network.policy.heads.weight.grad.abs().sum((1, 2)) > 0
    assert learnt.tolist() == [True] + [False] * 5


@pytest.mark.parametrize('gates', [('blocks',), ('blocks', 'windows'), ('windows',)])
def test_calibrated_budgets_are_spent(gates):
    """On plans of which some leave out the branch of a task that has no need of the block."""
    network = small.adapted(gates, {name: TASKS[name] for name in SOME}, task_rank=8)
    with torch.no_grad():
        network.policy.heads.bias[:, [1, 3]] = torch.tensor([[2.0], [-2.0]])
    images = torch.randn(60, 3, 64, 64) * 3 * torch.rand(60, 1, 1, 1)
    network.calibration = calibrate(network, [images], [0.5, 0.7, 0.9])
    assert list(network.calibration.levels) == ['normals', 'depth', 'normals,depth']
    chosen = []
    for tasks, levels in network.calibration.levels.items():
        for level in levels:
            with torch.inference_mode():
                prediction = network(images, level.budget, tasks.split(','))
            shares = [cost.fraction for cost in prediction.costs]
            assert sum(shares) / len(shares) == pytest.approx(level.fraction, abs=1e-3)
            assert level.fraction <= level.budget
            chosen += [block.tasks for plan in prediction.plans for block in plan.blocks]
    assert {None, ('normals',)} == set(chosen) - {('depth',)}
