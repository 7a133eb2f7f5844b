# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Plans carried out, against a plain Swin that looks at every window and token in turn."""

import pytest
import torch
from helpers import reference_swin, small
from hypothesis import given, settings
from hypothesis import strategies as st

from adamtl_ros.nn.gating.execution import PlannedExecution
from adamtl_ros.nn.gating.plan import OFF, BlockPlan, uniform_plan

ENCODER = small.encoder()
IMAGES = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def _inference():
    with torch.inference_mode():
        yield


@settings(max_examples=25, deadline=None)
@given(small.PLANS)
def test_any_plan_equals_the_plain_reference(plan):
    arch = small.ARCH
    with torch.inference_mode():
        ours = small.encode(ENCODER, IMAGES[:1], plan)
        plain = reference_swin.encode(
            ENCODER.state_dict(), IMAGES[:1], arch.depths, arch.heads, arch.window, plan
        )
    for got, expected in zip(ours, plain, strict=True):
        torch.testing.assert_close(got, expected, atol=2e-5, rtol=1e-4)


@settings(max_examples=25, deadline=None)
@given(st.lists(small.PLANS, min_size=3, max_size=3))
def test_a_batch_of_different_plans_equals_one_by_one(plans):
    with torch.inference_mode():
        together = small.encode(ENCODER, IMAGES, *plans)
        for index, plan in enumerate(plans):
            alone = small.encode(ENCODER, IMAGES[index : index + 1], plan)
            for both, one in zip(together, alone, strict=True):
                torch.testing.assert_close(both[index : index + 1], one, atol=1e-5, rtol=1e-4)


def test_all_windows_named_equals_none_named():
    named = BlockPlan(windows=tuple(range(4)), tokens=tuple(range(64)))
    everything = uniform_plan(small.ARCH.depths)
    plan = everything.replace(1, 0, named).replace(1, 1, named)
    for got, expected in zip(
        small.encode(ENCODER, IMAGES, plan), small.encode(ENCODER, IMAGES), strict=True
    ):
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('size', [(52, 84), (33, 40), (7, 5)])
def test_windows_of_padded_grids(size):
    """A window left out keeps its tokens, also where part of it is padding."""
    image = torch.randn(1, 3, *size)
    plan = uniform_plan(small.ARCH.depths, OFF).replace(0, 1, BlockPlan(windows=(0,)))
    all_of_it = uniform_plan(small.ARCH.depths, OFF).replace(0, 1, BlockPlan())
    before = small.encode(ENCODER, image, uniform_plan(small.ARCH.depths, OFF))[0]
    some, every = (small.encode(ENCODER, image, p)[0] for p in (plan, all_of_it))
    same = (some == before).all(-1)
    assert (same | torch.isclose(some, every, atol=1e-5).all(-1)).all()
    assert (~same).sum() <= 16
    assert (~same).any()


def test_what_is_left_out_is_not_called():
    called = []
    hooks = [
        block.register_forward_hook(lambda *_, key=(stage, index): called.append(key))
        for stage, layer in enumerate(ENCODER.layers)
        for index, block in enumerate(layer.blocks)
    ]
    small.encode(ENCODER, IMAGES, uniform_plan(small.ARCH.depths).replace(0, 1, OFF))
    for hook in hooks:
        hook.remove()
    assert called == [(0, 0), (1, 0), (1, 1)]


def test_the_input_is_left_alone():
    tokens = ENCODER.patch_embed(IMAGES)
    kept = tokens.clone()
    plan = uniform_plan(small.ARCH.depths, BlockPlan(windows=(0, 3), tokens=(1, 5, 50)))
    ENCODER(tokens, PlannedExecution([plan] * 3))
    assert torch.equal(tokens, kept)
