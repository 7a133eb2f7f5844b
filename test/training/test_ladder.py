# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Ladder stages: which rungs a step has, what their loss is, and norms that stay."""

import itertools
from dataclasses import replace

import pytest
import torch
from helpers import small

from adamtl_ros.nn.gating.plan import Rung
from adamtl_ros.nn.io.checkpoint import IMAGENET_MEAN, IMAGENET_STD
from adamtl_ros.nn.io.convert import package_weights
from adamtl_ros.tasks import TASKS
from adamtl_ros.training.build import build_architecture
from adamtl_ros.training.objective import MultiTaskLoss
from adamtl_ros.training.optim import set_norm_statistics
from adamtl_ros.training.recipe import DataConfig, Recipe, RecipeError, Stage

torch.set_num_threads(1)
NORMALIZATION = IMAGENET_MEAN, IMAGENET_STD
WEIGHTS = {'depth': 2.0, 'saliency': 1.0}
IMAGES = torch.randint(
    0, 256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
)
LABELS = {'depth': 1 + torch.rand(2, 64, 64), 'saliency': (torch.rand(2, 64, 64) > 0.5).float()}


def objective(ladder, **stage):
    network = small.lite(ladder).train()
    set_norm_statistics(network, trained=False)
    return MultiTaskLoss(network, Stage('ladder', 10, **stage), NORMALIZATION, 4, WEIGHTS)


def test_a_step_has_the_largest_the_smallest_and_some_between():
    made = objective(small.RUNGS, rungs=3)
    plans = [rung.plan(small.LITE.depths) for rung in small.RUNGS]
    seen = set()
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        full, between, smallest = made._sample_rungs(generator)
        assert (full, smallest) == (plans[0], plans[-1])
        seen.add(plans.index(between))
    assert seen == {1, 2}
    made.stage = replace(made.stage, rungs=9)
    assert made._sample_rungs(torch.Generator()) == plans


def test_without_the_sandwich_every_rung_is_as_likely():
    made = objective(small.RUNGS, rungs=2, sandwich=False)
    plans = [rung.plan(small.LITE.depths) for rung in small.RUNGS]
    pairs = set()
    for seed in range(60):
        drawn = made._sample_rungs(torch.Generator().manual_seed(seed))
        pairs.add(tuple(map(plans.index, drawn)))
    assert pairs == set(itertools.combinations(range(4), 2))


def test_a_static_stage_trains_the_rung_it_is_told():
    """Its loss is that of the rung alone: with less than full size, other than the full one's."""
    network = small.lite(small.RUNGS).eval()
    losses = [
        MultiTaskLoss(network, Stage('static', 1, rung=rung), NORMALIZATION, 4, WEIGHTS)(
            IMAGES, LABELS, 1.0, 0
        )
        for rung in (0, 3)
    ]
    pixels = (IMAGES.float() - 255 * torch.tensor(IMAGENET_MEAN).view(3, 1, 1)) / (
        255 * torch.tensor(IMAGENET_STD).view(3, 1, 1)
    )
    plan = small.RUNGS[3].plan(small.LITE.depths)
    maps = network.forward_plans(pixels, [plan] * 2, WEIGHTS).maps
    expected = objective(small.RUNGS)._task_losses(maps, LABELS, {})
    for name in WEIGHTS:
        torch.testing.assert_close(losses[1][name], expected[name].detach(), rtol=1e-3, atol=1e-4)
        assert losses[0][name] != losses[1][name]


def test_the_loss_by_hand():
    """Rungs that are the full network have its loss, and nothing to distill."""
    made = objective((Rung(), Rung(), Rung()), rungs=3, distillation=0.25, rung_weight=0.4)
    losses = made(IMAGES, LABELS, 1.0, 0)
    full = 2 * losses['depth'] + losses['saliency']
    torch.testing.assert_close(losses['rungs'], 2 * 0.75 * full)
    torch.testing.assert_close(losses['loss'].detach(), full + 0.4 * losses['rungs'])


def test_distillation_moves_the_rung_and_not_its_teacher():
    """The gradient is that towards fixed outputs of the full network."""
    made = objective((Rung(), Rung(0.5)), rungs=2, distillation=1.0, rung_weight=1.0)
    made(IMAGES, LABELS, 1.0, 0)['loss'].backward()
    both = made.network.encoder.conv_stem.weight.grad.clone()
    made.zero_grad()
    made.stage = replace(made.stage, rung_weight=0.0)
    made(IMAGES, LABELS, 1.0, 0)['loss'].backward()
    of_labels = made.network.encoder.conv_stem.weight.grad.clone()
    made.zero_grad()
    pixels = ((IMAGES.float() - made.mean) / made.std).contiguous()
    full, smallest = (rung.plan(small.LITE.depths) for rung in made.network.arch.ladder)
    with torch.no_grad():
        targets = made.network.forward_plans(pixels, [full] * 2, WEIGHTS).maps
    maps = made.network.forward_plans(pixels, [smallest] * 2, WEIGHTS).maps
    made._weighted_sum(made._distillation_losses(maps, targets)).backward()
    distilled = made.network.encoder.conv_stem.weight.grad
    torch.testing.assert_close(both, of_labels + distilled, rtol=1e-3, atol=1e-5)
    assert distilled.abs().sum() > 0


@pytest.mark.parametrize('trained', [True, False])
def test_norms_follow_the_batches_or_stay(trained):
    network = small.lite().train()
    norm = network.encoder.blocks[5].bn1
    before = norm.running_mean.clone()
    set_norm_statistics(network, trained=trained)
    network.forward_plans(IMAGES.float(), [small.RUNGS[0].plan(small.LITE.depths)] * 2)
    assert torch.equal(norm.running_mean, before) != trained


def test_a_ladder_stage_needs_rungs():
    with pytest.raises(ValueError, match="'ladder' needs at least 2 rungs, 'small_lite' has 0"):
        objective(())
    with pytest.raises(ValueError, match="'static' needs at least 5 rungs, 'small_lite' has 4"):
        MultiTaskLoss(small.lite(), Stage('static', 1, rung=4), NORMALIZATION, 4, WEIGHTS)
    with pytest.raises(RecipeError, match='rung 0 or more'):
        Stage('static', 1, rung=-1)
    with pytest.raises(RecipeError, match=r'distillation in 0\.\.1'):
        Stage('ladder', 1, distillation=1.5)


def test_a_recipe_changes_size_and_ladder():
    data = DataConfig('scenes')
    recipe = Recipe('x', data, data, (Stage('static', 1),), 'lite0')
    assert len(build_architecture(recipe).ladder) > 1
    values = {**recipe.to_dict(), 'input_size': [96, 128], 'ladder': [{}, {'scale': 0.5}]}
    arch = build_architecture(Recipe.from_dict(values))
    assert (arch.input_size, arch.ladder) == ((96, 128), (Rung(), Rung(0.5)))
    assert build_architecture(replace(recipe, ladder=())).ladder == ()
    with pytest.raises(ValueError, match='the first rung must be the full network'):
        build_architecture(replace(recipe, ladder=(Rung(0.5),)))


def test_every_task_has_a_distillation_loss():
    made = objective((Rung(), Rung(0.5)), rungs=2)
    made.weights = dict.fromkeys(TASKS, 1.0)
    maps = {name: torch.randn(1, task.channels, 8, 8) for name, task in TASKS.items()}
    other = {name: torch.randn(1, task.channels, 16, 16) for name, task in TASKS.items()}
    losses = made._distillation_losses(maps, other)
    assert all(value > 0 for value in losses.values())
    same = made._distillation_losses(maps, maps)
    assert all(abs(value) < 1e-6 for value in same.values())


def test_a_package_that_is_not_there():
    assert package_weights('no-such-package-of-weights') is None
