# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The whole network: tasks, budgets, batches, determinism."""

import pytest
import torch
from helpers import small

from adamtl_ros.nn.gating.execution import PlannedExecution
from adamtl_ros.nn.gating.gates import GRANULARITIES
from adamtl_ros.nn.gating.plan import OFF, BlockPlan, Plan, uniform_plan
from adamtl_ros.nn.network import random_network
from adamtl_ros.tasks import TASKS

NETWORK = random_network('nano')


@pytest.fixture(autouse=True)
def _inference():
    with torch.inference_mode():
        yield


def test_shapes_of_all_maps():
    prediction = NETWORK(torch.randn(2, 3, 199, 301))
    assert list(prediction.maps) == list(TASKS)
    for name, raw in prediction.maps.items():
        assert raw.shape == (2, TASKS[name].channels, 50, 76)


def test_same_seed_same_network_whatever_the_global_state():
    torch.manual_seed(1)
    one = random_network('nano', seed=5)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    other = random_network('nano', seed=5)
    assert torch.equal(state, torch.get_rng_state())
    image = torch.randn(1, 3, 64, 64)
    for name in TASKS:
        assert torch.equal(one(image).maps[name], other(image).maps[name])
    assert not torch.equal(
        one(image).maps['depth'], random_network('nano', seed=6)(image).maps['depth']
    )


@pytest.mark.parametrize('budget', [1.0, 0.5])
def test_bit_for_bit_the_same_twice(budget):
    image = torch.randn(1, 3, 96, 128)
    first, second = NETWORK(image, budget), NETWORK(image, budget)
    for name in TASKS:
        assert torch.equal(first.maps[name], second.maps[name])


@pytest.mark.parametrize('gates', small.MIXES)
@pytest.mark.parametrize('size', [(64, 64), (49, 75)])
def test_batch_equals_one_by_one(gates, size):
    """Also where each image of the batch gets a plan of its own."""
    network = small.network(gates)
    images = torch.randn(4, 3, *size) * torch.tensor([0.2, 1, 2, 4]).view(-1, 1, 1, 1)
    together = network(images, 0.75)
    for index in range(4):
        alone = network(images[index : index + 1], 0.75)
        assert alone.plans[0] == together.plans[index]
        assert alone.costs[0] == together.costs[index]
        for name in TASKS:
            torch.testing.assert_close(
                together.maps[name][index], alone.maps[name][0], atol=1e-5, rtol=1e-4
            )


@pytest.mark.parametrize('gates', small.MIXES)
@pytest.mark.parametrize('count', [1, 2, 6])
def test_budget_is_kept_on_every_image_without_calibration(gates, count):
    network, tasks = small.network(gates), list(TASKS)[:count]
    model = network.budget_model((64, 64), tasks)
    least = model.floor / model.full
    images = torch.randn(8, 3, 64, 64)
    for budget in (0.05, 0.3, 0.5, 0.75, 0.95, 1.0):
        costs = network(images, budget, tasks).costs
        assert all(cost.fraction <= max(budget, least) for cost in costs)
        assert all(cost.floor == (least > budget) for cost in costs)


def test_everything_on_is_the_plain_network():
    """At budget 1, and with every window named in a plan."""
    network, images = small.network(), torch.randn(2, 3, 64, 64)
    features = small.encode(network.encoder, images)
    plain = [network.decoders[name](features) for name in TASKS]
    everything = network(images)
    windows = [tuple(range(cost.windows)) for cost in network.complexity(64, 64).blocks]
    plan = Plan.from_blocks([BlockPlan(windows=some) for some in windows], small.ARCH.depths)
    named = network.forward_plans(images, [plan, plan])
    for name, expected in zip(TASKS, plain, strict=True):
        torch.testing.assert_close(everything.maps[name], expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(named.maps[name], expected, atol=1e-5, rtol=1e-5)
    assert [cost.fraction for cost in everything.costs] == [1, 1]


def test_everything_off_is_the_floor():
    network, images = small.network(), torch.randn(1, 3, 64, 64)
    floor = uniform_plan(small.ARCH.depths, OFF)
    low, named = network(images, 0.01), network.forward_plans(images, [floor])
    assert low.plans == (floor,)
    assert low.costs[0].floor
    for name in TASKS:
        torch.testing.assert_close(low.maps[name], named.maps[name], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ('block', 'message'),
    [
        (BlockPlan(windows=(3, 99)), r'block 0 of the plan, windows must ascend within 0\.\.15'),
        (BlockPlan(windows=(1, 1)), 'windows must ascend'),
        (BlockPlan(windows=(-1, 2)), 'windows must ascend'),
        (BlockPlan(tokens=(0, 256)), r'tokens must ascend within 0\.\.255'),
        (BlockPlan(windows=()), 'block 0 of the plan runs on no window'),
        (BlockPlan(tasks=('depth', 'sky')), "block 0 of the plan: unknown task 'sky', choose from"),
    ],
)
def test_plans_that_do_not_fit(block, message):
    plan = uniform_plan(small.ARCH.depths).replace(0, 0, block)
    with pytest.raises(ValueError, match=message):
        small.network().forward_plans(torch.zeros(1, 3, 64, 64), [plan])
    with pytest.raises(ValueError, match=r'stages of \(2,\) blocks, the network has \(2, 2\)'):
        small.network().forward_plans(torch.zeros(1, 3, 64, 64), [uniform_plan((2,))])


def test_plans_for_another_number_of_images():
    with pytest.raises(ValueError, match='2 images need as many plans, got 1'):
        NETWORK.forward_plans(torch.zeros(2, 3, 32, 32), [uniform_plan((1, 2, 6, 1))])


@pytest.mark.parametrize('budget', [0, -0.1, 1.001, float('nan'), float('inf')])
def test_impossible_budgets(budget):
    with pytest.raises(ValueError, match=r'budget must lie in \(0, 1\], got'):
        NETWORK(torch.zeros(1, 3, 32, 32), budget)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_low_precision(dtype):
    """Converted as a whole, and under autocast."""
    network, images = random_network('nano'), torch.randn(2, 3, 199, 301)
    for budget in (1.0, 0.5):
        with torch.autocast('cpu', dtype):
            mixed = network(images, budget)
        # The policy looks at the patch embedding, which autocast rounds; no more than that.
        assert all(cost.fraction <= budget for cost in mixed.costs)
        assert all(raw.isfinite().all() for raw in mixed.maps.values())
    shares = [cost.fraction for cost in network(images, 0.5).costs]
    network.to(dtype)
    for budget in (1.0, 0.5):
        prediction = network(images.to(dtype), budget)
        assert all(raw.dtype == dtype and raw.isfinite().all() for raw in prediction.maps.values())
    # The policy itself stays in float32, so it chooses nearly the same.
    assert [cost.fraction for cost in prediction.costs] == pytest.approx(shares, abs=0.02)
    assert all(weight.dtype == torch.float32 for weight in network.policy.parameters())


@pytest.mark.parametrize('gates', small.MIXES)
def test_every_granularity_under_autocast(gates):
    """Also where the stream is in float32 and its branches are not, as on a GPU."""
    network, images = small.network(gates), torch.randn(2, 3, 64, 64)
    with torch.autocast('cpu', torch.bfloat16):
        mixed = network(images, 0.8)
        tokens = network.encoder.patch_embed(images).float()
        features = network.encoder(tokens, PlannedExecution(mixed.plans))
    assert all(raw.isfinite().all() for raw in mixed.maps.values())
    assert all(feature.isfinite().all() for feature in features)


def test_recording_gradients_does_not_change_the_result():
    """Memory is reused only where no gradient is asked for."""
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode(mode=False):
        network = small.network(GRANULARITIES)
        recorded = network(images.clone(), 0.8)
        sum(raw.sum() for raw in recorded.maps.values()).backward()
    plain = network(images, 0.8)
    assert recorded.plans == plain.plans
    for name in TASKS:
        torch.testing.assert_close(
            recorded.maps[name].detach(), plain.maps[name], atol=5e-5, rtol=1e-4
        )


def test_unwanted_tasks_do_not_run():
    called = []
    hooks = [
        decoder.head.register_forward_hook(lambda *_, name=name: called.append(name))
        for name, decoder in NETWORK.decoders.items()
    ]
    prediction = NETWORK(torch.zeros(1, 3, 64, 64), tasks=['edges', 'depth', 'edges'])
    for hook in hooks:
        hook.remove()
    assert called == list(prediction.maps) == ['depth', 'edges']
    assert prediction.costs[0].macs < NETWORK(torch.zeros(1, 3, 64, 64)).costs[0].macs


def test_a_task_does_not_depend_on_the_others():
    image = torch.randn(1, 3, 64, 96)
    torch.testing.assert_close(
        NETWORK(image, tasks=['normals']).maps['normals'],
        NETWORK(image).maps['normals'],
        atol=1e-5,
        rtol=1e-4,
    )


def test_cost_reports_budget_and_floor():
    image = torch.zeros(1, 3, 192, 256)
    full, half, floor = (NETWORK(image, budget).costs[0] for budget in (1.0, 0.5, 0.01))
    assert full.fraction == 1
    assert full.blocks_run == full.blocks_total == 10
    assert full.windows_run == full.windows_total == 48 + 2 * 12 + 6 * 4 + 1
    assert half.fraction <= 0.5
    assert not half.floor
    assert half.windows_run < full.windows_run
    assert floor.floor
    assert floor.blocks_run == floor.windows_run == 0
    assert floor.macs == NETWORK.complexity(192, 256).fixed_macs(TASKS)


def test_unknown_task_and_name():
    with pytest.raises(ValueError, match="unknown task 'sky', choose from: semseg"):
        NETWORK(torch.zeros(1, 3, 32, 32), tasks=['sky'])
    with pytest.raises(ValueError, match="unknown architecture 'huge', choose from: nano"):
        random_network('huge')
    with pytest.raises(ValueError, match='no task is requested, choose from: semseg'):
        NETWORK(torch.zeros(1, 3, 32, 32), tasks=[])


def test_budget_changes_the_answer():
    """A network that ignored its budget would pass every test of cost."""
    image = torch.randn(1, 3, 64, 64)
    assert not torch.equal(NETWORK(image, 1.0).maps['depth'], NETWORK(image, 0.4).maps['depth'])


def test_spatial_layout_of_the_decoders():
    """Without attention, a bright patch changes the maps around its own place and only there.

    A decoder that takes (H, W, C) memory for (C, H, W), as the released one does, spreads it.
    """
    dark = torch.zeros(1, 3, 128, 512)
    bright = dark.clone()
    bright[..., 32:48, 256:272] = 3
    for name, changed in NETWORK(bright, 0.01).maps.items():
        difference = (changed - NETWORK(dark, 0.01).maps[name]).abs().amax((0, 1))
        assert (difference[8:12, 64:68] > 1e-4).all()
        # The coarsest tokens are 8 cells wide, and resampling reaches one further either way.
        assert (difference[:, : 64 - 24] < 1e-5).all()
        assert (difference[:, 68 + 24 :] < 1e-5).all()
