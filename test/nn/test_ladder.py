# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Ladders: rungs as plans, their cost, their choice by a budget, and batches of several sizes."""

from dataclasses import replace

import pytest
import torch
from helpers import small
from helpers.flops import attention_flops
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from adamtl_ros.nn.gating.plan import FULL, OFF, Plan, Rung, scaled_size, uniform_plan
from adamtl_ros.nn.network import resize_images
from adamtl_ros.tasks import TASKS

IMAGES = torch.randn(4, 3, 64, 80, generator=torch.Generator().manual_seed(5))


def swin(ladder=small.RUNGS):
    return small.network(arch=replace(small.ARCH, ladder=ladder))


ATTENTION = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_flops}
NETWORKS = pytest.mark.parametrize('make', [swin, small.lite])


def replace_ladder(network, ladder):
    network.arch = replace(network.arch, ladder=ladder)
    return network


def fraction(network, rung, size=(64, 80)):
    """Fraction of the full MACs as torch counts them."""
    counts = []
    for plan in (rung.plan(network.arch.depths), uniform_plan(network.arch.depths)):
        counter = FlopCounterMode(display=False, custom_mapping=ATTENTION)
        with torch.inference_mode(), counter:
            network.forward_plans(torch.zeros(1, 3, *size), [plan])
        counts.append(counter.get_total_flops())
    return counts[0] / counts[1]


def test_a_rung_is_a_plan():
    plan = Rung(0.5, (0, 3)).plan((2, 2))
    assert plan == Plan(((OFF, FULL), (FULL, OFF)), 0.5)
    assert plan.replace(0, 0, FULL).scale == 0.5
    with pytest.raises(ValueError, match=r'scale of a plan must lie in \(0, 1\], got 1.5'):
        Plan(((FULL,),), 1.5)


@pytest.mark.parametrize(
    ('size', 'scale', 'scaled'),
    [((192, 256), 0.75, (144, 192)), ((192, 256), 0.7, (136, 180)), ((97, 131), 1, (97, 131)),
     ((8, 400), 0.1, (4, 40))],
)  # fmt: skip
def test_scaled_sizes_are_multiples_of_the_finest_stride(size, scale, scaled):
    assert scaled_size(size, scale) == scaled


@NETWORKS
def test_a_budget_takes_the_largest_rung_within_it(make):
    network = make()
    costs = sorted((fraction(network, rung), rung) for rung in network.arch.ladder)
    for cost, rung in costs:
        with torch.inference_mode():
            prediction = network(IMAGES[:1], min(1.0, cost + 1e-9))
            assert prediction.plans[0] == rung.plan(network.arch.depths)
            assert prediction.costs[0].fraction == pytest.approx(cost)
            assert not prediction.costs[0].floor
    with torch.inference_mode():
        below = network(IMAGES[:1], costs[0][0] - 0.01)
    assert below.plans[0] == costs[0][1].plan(network.arch.depths)
    assert below.costs[0].floor


@NETWORKS
def test_fractions_of_the_rungs_are_those_that_torch_counts(make):
    network = make()
    counted = [fraction(network, rung) for rung in network.arch.ladder]
    assert network.rung_fractions((64, 80)) == pytest.approx(counted)
    assert network.rung_fractions((64, 80))[0] == 1
    assert replace_ladder(network, ()).rung_fractions((64, 80)) == ()


@NETWORKS
def test_images_of_several_sizes_keep_their_order(make):
    network = make()
    plans = [network.arch.ladder[number].plan(network.arch.depths) for number in (3, 0, 2, 0)]
    with torch.inference_mode():
        together = network.forward_plans(IMAGES, plans)
        for number, plan in enumerate(plans):
            alone = network.forward_plans(IMAGES[number : number + 1], [plan])
            assert together.costs[number] == alone.costs[0]
            for name, raw in alone.maps.items():
                height, width = scaled_size((64, 80), plan.scale)
                assert raw.shape == (1, TASKS[name].channels, height // 4, width // 4)
                grown = functional.interpolate(raw, (16, 20), mode='bilinear')
                torch.testing.assert_close(
                    together.maps[name][number : number + 1], grown, atol=1e-4, rtol=1e-4
                )


def test_a_smaller_image_is_the_mean_of_what_it_covers():
    image = torch.zeros(1, 3, 64, 64)
    image[..., 32:] = 1
    small_image = resize_images(image, 0.5)
    assert small_image.shape == (1, 3, 32, 32)
    torch.testing.assert_close(small_image[..., :14], torch.zeros(1, 3, 32, 14))
    torch.testing.assert_close(small_image[..., 18:], torch.ones(1, 3, 32, 14))
    assert resize_images(image, 1.0) is image


@pytest.mark.parametrize(
    ('ladder', 'message'),
    [
        ((Rung(0.5),), 'the first rung must be the full network'),
        ((Rung(), Rung(1.0, (4,))), r'skips blocks of 0\.\.3'),
        ((Rung(), Rung(1.0, (2, 1))), 'ascending'),
        ((Rung(), Rung(0.0)), r'scale in \(0, 1\]'),
    ],
)
def test_ladders_that_cannot_be_climbed_are_refused(ladder, message):
    with pytest.raises(ValueError, match=message):
        replace(small.ARCH, ladder=ladder)
