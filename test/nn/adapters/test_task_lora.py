# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Branches of tasks beside everything that skips parts of a network, and what they cost."""

from dataclasses import replace

import pytest
import torch
from helpers import small
from helpers.flops import attention_flops
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from adamtl_ros.nn.adapters.inject import inject, merge
from adamtl_ros.nn.adapters.lora import LoraConfig, Ranks, TaskSwinBlock
from adamtl_ros.nn.cost.budget import to_plans
from adamtl_ros.nn.gating.execution import PlannedExecution
from adamtl_ros.nn.gating.gates import GRANULARITIES, gumbel_sigmoid
from adamtl_ros.nn.gating.plan import OFF, BlockPlan, uniform_plan
from adamtl_ros.nn.network import random_network
from adamtl_ros.tasks import TASKS

IMAGES = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
HRNET = replace(small.ARCH, decoder='hrnet')


@pytest.mark.parametrize(('layers', 'form'), small.KINDS)
@pytest.mark.parametrize('folded', [False, True])
@pytest.mark.parametrize('arch', [small.ARCH, HRNET])
def test_gates_equal_the_plans_they_stand_for(layers, form, folded, arch):
    """At every granularity together, with another plan for each image."""
    network = small.adapted(GRANULARITIES, TASKS, layers, form, arch=arch)
    if folded:
        merge(network)
    names = list(TASKS)[:3]
    with torch.no_grad():
        tokens = network.encoder.patch_embed(IMAGES)
        votes = network.policy(tokens, torch.full((3,), 0.5), names, branches=True)
        drawn = gumbel_sigmoid(
            votes.map(lambda s: s - s[s.isfinite()].median()),
            1.0,
            torch.Generator().manual_seed(2),
        )
        plans = to_plans(drawn.map(lambda g: g > 0.5), 3, network.complexity(64, 64), names)
        planned = network.forward_plans(IMAGES, plans, names).maps
        small.close(network.forward_gated(tokens, drawn, names), planned)
        for index, plan in enumerate(plans):
            alone = network.forward_plans(IMAGES[index : index + 1], [plan], names).maps
            small.close(alone, {name: raw[index : index + 1] for name, raw in planned.items()})
    assert len(set(plans)) == 3
    assert len({plan.stages[0][1].tasks for plan in plans}) > 1


@settings(max_examples=30, deadline=None)
@given(
    plans=st.lists(small.PLANS, min_size=1, max_size=2),
    kind=st.sampled_from(small.KINDS),
    folded=st.booleans(),
    hrnet=st.booleans(),
    tasks=st.sets(st.sampled_from(list(TASKS)), min_size=1),
)
def test_macs_are_those_of_the_executed_operators(plans, kind, folded, hrnet, tasks):
    network = small.adapted(layers=kind[0], form=kind[1], arch=HRNET if hrnet else small.ARCH)
    if folded:
        merge(network)
    images = IMAGES[: len(plans)]
    mapping = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_flops}
    with torch.inference_mode():
        network(images, 1.0, tasks)  # products of weights are made once
        with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
            costs = network.forward_plans(images, plans, tasks).costs
    assert sum(cost.macs for cost in costs) == counter.get_total_flops() // 2


@pytest.mark.parametrize('folded', [False, True])
@pytest.mark.parametrize('gates', small.MIXES)
def test_budgets_are_kept_and_shares_are_what_plans_cost(gates, folded):
    network = small.adapted(gates)
    if folded:
        merge(network)
    model = network.budget_model((64, 64))
    with torch.no_grad():
        for budget in (0.4, 0.7, 0.95):
            prediction = network(IMAGES, budget)
            least = model.floor / model.full
            assert all(cost.fraction <= max(budget, least) for cost in prediction.costs)
        relaxed = network.forward_train(IMAGES, torch.full((3,), 0.5))
        plans = to_plans(relaxed.gates.map(lambda g: g > 0.5), 3, model.complexity, TASKS)
    spent = [model.complexity.total(plan, TASKS) + model.policy_macs for plan in plans]
    expected = torch.tensor(spent, dtype=torch.double) / model.full
    torch.testing.assert_close(relaxed.fractions, expected)


def test_folded_costs_exceed_the_plain_networks_by_the_branches_only():
    network = random_network('tiny')
    plain = network.complexity(224, 224)
    inject(network, LoraConfig.uniform(4, TASKS, 64, 4, task_layers=('proj', 'fc2')))
    merge(network)
    counts, tasks = network.complexity(224, 224), list(TASKS)[:2]
    # For each token of a last block and each task: codes of attention and of the hidden
    # channels, and both times directions: 4 * (C + 4 C + 2 C).
    extra = sum(2 * tokens * 28 * dim for tokens, dim in zip(
        (56 * 56, 28 * 28, 14 * 14, 7 * 7), network.arch.dims, strict=True
    ))  # fmt: skip
    assert counts.full(tasks) - plain.full(tasks) == extra
    assert counts.full([]) == plain.full([])


def test_a_skipped_block_leaves_a_task_the_shared_stream():
    network, names = small.adapted(), ['depth', 'edges']
    last_off = uniform_plan(small.ARCH.depths).replace(0, 1, OFF).replace(1, 1, OFF)
    with torch.inference_mode():
        without = network.forward_plans(IMAGES, [last_off] * 3, names)
        for layer in network.encoder.layers:
            TaskSwinBlock.revert(layer.blocks[-1])
        small.close(without.maps, network.forward_plans(IMAGES, [last_off] * 3, names).maps)


def test_unwanted_tasks_and_tasks_without_a_branch():
    network = small.network()
    shared = Ranks.uniform(2, 2)
    inject(network, LoraConfig(shared, (('depth', Ranks((2, 0), (4.0, 4.0))),)))
    with torch.inference_mode():
        plain = network(IMAGES).maps
        for key, weight in network.named_parameters():
            if '.branches.' in key and key.endswith('.b'):
                torch.nn.init.normal_(weight)
        some = network(IMAGES, 1.0, ['depth', 'normals'])
        alone = network(IMAGES, 1.0, ['normals'])
    assert not torch.equal(some.maps['depth'], plain['depth'])
    small.close({'normals': some.maps['normals']}, {'normals': plain['normals']})
    small.close(alone.maps, {'normals': plain['normals']})
    bare = small.network()
    unfolded = LoraConfig(shared)
    inject(bare, unfolded)
    assert alone.costs[0].macs == bare(IMAGES, 1.0, ['normals']).costs[0].macs


def test_a_plan_on_some_windows_leaves_the_others_alone():
    """Also in the form 'matrix', whose tasks add to a stream of their own."""
    network = small.adapted(form='matrix')
    off = uniform_plan(small.ARCH.depths, OFF)
    some = off.replace(1, 1, BlockPlan(windows=(0,)))
    with torch.inference_mode():
        tokens = network.encoder.patch_embed(IMAGES)
        before, after = (
            network.encoder(tokens, PlannedExecution([plan] * 3), ['depth'])[1]
            for plan in (off, some)
        )
    changed = (after[0] != before).any(-1)
    assert after.dim() == 5
    assert changed.sum((1, 2)).tolist() == [16, 16, 16]
