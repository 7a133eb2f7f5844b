# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Closed-form MACs against what the executed operators cost."""

import pytest
import torch
from helpers import small
from helpers.flops import attention_flops
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from adamtl_ros.nn.network import random_network
from adamtl_ros.tasks import TASKS

NETWORKS = {name: random_network(name) for name in ('nano', 'tiny')}


def executed_macs(network, size, images=1, **options):
    mapping = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_flops}
    with torch.inference_mode(), FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        prediction = network(torch.randn(images, 3, *size), **options)
    return counter.get_total_flops() // 2, sum(cost.macs for cost in prediction.costs)


@pytest.mark.parametrize('name', NETWORKS)
@pytest.mark.parametrize('size', [(224, 224), (192, 256), (199, 301)])
@pytest.mark.parametrize('budget', [1.0, 0.6, 0.01])
def test_equal_to_executed_operators(name, size, budget):
    executed, counted = executed_macs(NETWORKS[name], size, budget=budget)
    assert counted == executed


@settings(max_examples=25, deadline=None)
@given(
    gates=st.sampled_from(small.MIXES),
    size=st.tuples(st.integers(4, 130), st.integers(4, 130)),
    tasks=st.sets(st.sampled_from(list(TASKS)), min_size=1),
    budget=st.floats(0.01, 1),
    task_aware=st.booleans(),
)
def test_equal_to_executed_operators_anywhere(gates, size, tasks, budget, task_aware):
    """Any gates, size, tasks and budget, with another plan for each image of a batch."""
    network = small.network(gates, task_aware=task_aware)
    executed, counted = executed_macs(network, size, images=2, budget=budget, tasks=tasks)
    assert counted == executed


@settings(max_examples=25, deadline=None)
@given(small.PLANS)
def test_any_plan_equal_to_executed_operators(plan):
    network = small.network()
    mapping = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_flops}
    with torch.inference_mode(), FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        prediction = network.forward_plans(torch.zeros(1, 3, 64, 64), [plan])
    assert prediction.costs[0].macs == counter.get_total_flops() // 2


def test_swin_tiny_is_the_published_one():
    # Liu et al. 2021 report 4.5 G for 224x224; here without the classifier.
    counts = NETWORKS['tiny'].complexity(224, 224)
    encoder = counts.full([])
    assert encoder == pytest.approx(4.49e9, rel=0.005)


def test_decoders_are_cheap():
    """Six decoders cost at most a fifth of the encoder (the released four cost 29 %)."""
    for network, size in ((NETWORKS['tiny'], (224, 224)), (NETWORKS['nano'], (192, 256))):
        counts = network.complexity(*size)
        encoder = counts.full([])
        assert sum(counts.decoders.values()) <= 0.2 * encoder
