# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Loss of each kind of stage, and the parameters that get gradients from it."""

from dataclasses import replace

import pytest
import torch
from helpers import small

from adamtl_ros.nn.gating.gates import GRANULARITIES, Gates
from adamtl_ros.nn.io.checkpoint import IMAGENET_MEAN, IMAGENET_STD
from adamtl_ros.sample import unknown_label
from adamtl_ros.tasks import TASKS, Kind
from adamtl_ros.training.losses import downsample_labels, task_loss
from adamtl_ros.training.objective import MultiTaskLoss, random_gates
from adamtl_ros.training.optim import parameter_groups
from adamtl_ros.training.recipe import KINDS, Stage

torch.set_num_threads(1)
SIZE = (64, 64)
WEIGHTS = {name: task.loss_weight for name, task in TASKS.items()}


def images(count=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, *SIZE), generator=generator, dtype=torch.uint8)


def label(task, count, generator):
    if task.kind is Kind.NORMALS:
        vectors = torch.randn(count, 3, *SIZE, generator=generator)
        return torch.nn.functional.normalize(vectors, dim=1)
    if task.kind is Kind.DEPTH:
        return 0.5 + 5 * torch.rand(count, *SIZE, generator=generator)
    most = max(task.channels, 2)
    return torch.randint(0, most, (count, *SIZE), generator=generator, dtype=torch.uint8)


def labels(count=4, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return {name: label(task, count, generator) for name, task in TASKS.items()}


def unknown(count):
    made = {}
    for name, task in TASKS.items():
        plane = torch.from_numpy(unknown_label(name, *SIZE)).expand(count, *SIZE, -1)
        made[name] = plane.permute(0, 3, 1, 2) if task.kind is Kind.NORMALS else plane[..., 0]
    return made


def objective(kind, gates=('blocks', 'windows'), weights=WEIGHTS, **config):
    arch = replace(small.ARCH, ladder=small.RUNGS) if kind == 'ladder' else small.ARCH
    network = small.network(gates, arch=arch).train()
    stage = Stage(kind, 10, batch=4, size=SIZE, **config)
    parameter_groups(network, stage, 0.02)
    return MultiTaskLoss(network, stage, (IMAGENET_MEAN, IMAGENET_STD), 4, weights)


def normalized(pixels):
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (IMAGENET_MEAN, IMAGENET_STD))
    return (pixels / 255 - mean) / std


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('gates', [('blocks',), GRANULARITIES])
def test_every_loss_of_every_stage_is_finite(kind, gates):
    made = objective(kind, gates)
    losses = made(images(), labels(), 1.0, 4096 * 5)
    spent = ['spending', 'share', 'budget'] if kind in ('policy', 'joint') else []
    rungs = ['rungs'] if kind == 'ladder' else []
    assert list(losses) == ['loss', *TASKS, *rungs, *spent]
    assert all(value.isfinite() and value.dim() == 0 for value in losses.values())
    assert [name for name, value in losses.items() if value.requires_grad] == ['loss']
    expected = sum(weight * losses[name] for name, weight in WEIGHTS.items())
    if rungs:
        expected = expected + made.stage.rung_weight * losses['rungs']
    if spent:
        expected = expected + made.stage.spending_weight * losses['spending']
    torch.testing.assert_close(losses['loss'].detach(), expected, atol=1e-5, rtol=1e-5)


def test_static_is_the_network_at_budget_one():
    made, truth = objective('static'), labels()
    losses = made(images(), truth, 1.0, 0)
    maps = made.network(normalized(images()), 1.0).maps
    for name, task in TASKS.items():
        expected = task_loss(task, maps[name], downsample_labels(task, truth[name], 4))
        torch.testing.assert_close(losses[name], expected.detach(), rtol=1e-5, atol=1e-6)


def test_static_and_everything_open_are_the_same():
    """Whatever the stage, a batch that has everything on gives the losses of the plain network."""
    expected = objective('static')(images(), labels(), 1.0, 0)
    for kind in ('backbone', 'joint', 'policy'):
        found = objective(kind, full=1.0)(images(), labels(), 1.0, 0)
        assert list(found) == ['loss', *TASKS]
        for name, value in found.items():
            torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-5)


def test_labels_of_another_stride_are_met_by_resizing():
    made = objective('static')
    made.label_stride = 2
    losses = made(images(), labels(), 1.0, 0)
    assert all(value.isfinite() for value in losses.values())


def test_only_tasks_with_a_weight_count():
    made = objective('static', weights={'depth': 3.0})
    losses = made(images(), labels(), 1.0, 0)
    assert list(losses) == ['loss', 'depth']
    torch.testing.assert_close(losses['loss'].detach(), 3 * losses['depth'])


def test_focus_weighs_images_by_what_is_still_wrong():
    """By hand, image by image: a mean over images whose weights have the mean 1."""
    made, pixels, truth = objective('static', focus=0.5), images(), labels()
    truth['depth'][0] *= 100
    plain = objective('static')
    alone = [
        plain(pixels[[k]], {name: plane[[k]] for name, plane in truth.items()}, 1.0, 0)
        for k in range(4)
    ]
    weight = torch.stack([losses['loss'].detach() for losses in alone]).sqrt()
    weight = weight / weight.mean()
    assert weight[0] == weight.max()
    for name, value in made(pixels, truth, 1.0, 0).items():
        expected = weight * torch.stack([losses[name].detach() for losses in alone])
        torch.testing.assert_close(value.detach(), expected.mean(), rtol=1e-4, atol=1e-5)


def test_processes_share_the_budget_of_a_step_but_not_the_gates():
    made = objective('joint', full=0.0)
    one, again, other, later = (
        made(images(), labels(), 1.0, seed) for seed in (4096 * 7, 4096 * 7, 4096 * 7 + 1, 4096 * 8)
    )
    assert one['budget'] == other['budget'] != later['budget']
    assert one['share'] == again['share'] != other['share']
    assert one['loss'] == again['loss'] != other['loss']


def test_budgets_lie_where_the_recipe_wants_them():
    made = objective('joint', budgets=(0.4, 0.6))
    drawn = torch.stack([made._sample_budgets(4, 4096 * step) for step in range(200)])
    assert (drawn[:, 0] == 1).all()
    assert (drawn[:, 1:] == drawn[:, 1:2]).all()
    assert 0.4 <= drawn[:, 1].min() < 0.42
    assert 0.58 < drawn[:, 1].max() <= 0.6
    assert (objective('joint', budgets=(1.0, 1.0))._sample_budgets(4, 0)[1:] < 1).all()


def test_spending_is_the_squared_distance_of_the_mean_from_the_budget():
    made = objective('joint', full=0.25)
    seed = 4096 * 3 + 2
    losses = made(images(8), labels(8), 0.7, seed)
    budgets = made._sample_budgets(8, seed)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(seed)
        shares = made.network.forward_train(
            normalized(images(8)), budgets, None, 0.7, generator
        ).fractions.float()
    assert (budgets[:2] == 1).all()
    assert (budgets[2:] < 1).all()
    torch.testing.assert_close(losses['share'], shares[2:].mean())
    assert losses['budget'] == budgets[2]
    torch.testing.assert_close(losses['spending'], (shares[2:].mean() - budgets[2]) ** 2)


@pytest.mark.parametrize('gates', small.MIXES)
def test_random_gates_leave_a_share_open(gates):
    network = small.network(gates)
    with torch.no_grad():
        tokens = network.encoder.patch_embed(torch.zeros(400, 3, *SIZE))
        drawn = random_gates(network, tokens, 0.25, torch.Generator().manual_seed(0))
    assert set(drawn.present) == set(gates)
    for value in drawn.present.values():
        assert ((value == 0) | (value == 1)).all()
        assert (value[:100] == 1).all()
        # The mean of the root of a uniform number, or of its fourth root.
        expected = 2 / 3 if len(gates) == 1 else 4 / 5
        assert value[100:].mean() == pytest.approx(expected, abs=0.04)
    rest = drawn.flat()[100:].mean(1)
    assert rest.min() < 0.5
    assert rest.max() > 0.95


def test_random_gates_follow_their_generator():
    network = small.network()
    tokens = torch.zeros(4, 16, 16, 8)
    one, again, other = (
        random_gates(network, tokens, 0.0, torch.Generator().manual_seed(seed)).flat()
        for seed in (1, 1, 2)
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


@pytest.mark.parametrize('kind', KINDS)
def test_each_stage_gives_gradients_to_its_own_parts(kind):
    made = objective(kind)
    made(images(8), labels(8), 2.0, 4096)['loss'].backward()
    learnt = {
        part: [name for name, weight in module.named_parameters() if weight.grad is not None]
        for part, module in made.network.named_children()
    }
    every = {
        part: [name for name, _ in module.named_parameters()]
        for part, module in made.network.named_children()
    }
    policy = every['policy'] if kind in ('policy', 'joint') else []
    backbone = kind != 'policy'
    assert learnt['policy'] == policy
    assert learnt['encoder'] == (every['encoder'] if backbone else [])
    assert learnt['decoders'] == (every['decoders'] if backbone else [])
    for name, weight in made.network.named_parameters():
        assert weight.grad is None or weight.grad.isfinite().all(), name


@pytest.mark.parametrize('kind', KINDS)
def test_images_without_labels_leave_finite_gradients(kind):
    """Some of a batch for some tasks, and all of it for all: what is unknown adds no loss."""
    some, none = labels(), unknown(4)
    some['depth'][:2] = torch.nan
    some['normals'][1:] = torch.nan
    some['semseg'][:] = 255
    some['edges'][3] = 255
    for truth in (some, none):
        made = objective(kind)
        losses = made(images(), truth, 1.0, 4096)
        losses['loss'].backward()
        assert all(value.isfinite() for value in losses.values())
        assert losses['semseg'].item() == pytest.approx(0, abs=1e-9)
        for name, weight in made.network.named_parameters():
            assert weight.grad is None or weight.grad.isfinite().all(), name
    assert [losses[name].item() for name in TASKS] == pytest.approx([0] * len(TASKS), abs=1e-9)


def test_weights_of_images_count_in_every_kind_of_stage():
    """Two of four images without weight for depth: as if their depth were unknown."""
    for kind in KINDS:
        made = objective(kind, ('blocks',), weights={'depth': 1.0, 'saliency': 1.0}, full=0.5)
        truth = labels()
        weights = {'depth': torch.tensor([1.0, 0, 1, 0]).view(4, 1, 1)}
        found = made(images(), truth, 1.0, 4096, weights)
        truth['depth'][1::2] = torch.nan
        expected = made(images(), truth, 1.0, 4096)
        for name in ('depth', 'saliency'):
            torch.testing.assert_close(found[name], expected[name], rtol=1e-5, atol=1e-6)
        found['loss'].backward()


def test_the_loss_of_an_image_is_in_proportion_to_its_weight():
    made, truth = objective('static'), labels()
    maps = made.network(normalized(images()), 1.0).maps
    plain = made._losses_per_image(maps, truth)
    weight = torch.tensor([1.0, 0.5, 0, 2]).view(4, 1, 1)
    found = made._losses_per_image(maps, truth, dict.fromkeys(TASKS, weight.expand(4, *SIZE)))
    for name, loss in plain.items():
        torch.testing.assert_close(found[name], weight[:, 0, 0] * loss)


def silence(blocks):
    """Let blocks change nothing."""
    for block in blocks:
        for layer in (block.mlp.fc2, block.attn.proj):
            torch.nn.init.zeros_(layer.weight)
            torch.nn.init.zeros_(layer.bias)


@pytest.mark.parametrize('std', [1.0, 30.0])
def test_a_block_opens_or_closes_by_its_effect_on_the_loss(std):
    """The other blocks change nothing, and the large one is far from where a slope is true."""
    made = objective('policy', ('blocks',), full=0.0, spending_weight=0.0, budgets=(0.5, 0.5))
    blocks = [block for layer in made.network.encoder.layers for block in layer.blocks]
    silence(blocks)
    torch.nn.init.normal_(blocks[1].mlp.fc2.weight, std=std)
    optimizer = torch.optim.Adam([p for p in made.parameters() if p.requires_grad], 0.01)
    tokens = made.network.encoder.patch_embed(normalized(images()))
    for step in range(25):
        optimizer.zero_grad()
        made(images(), labels(), 1.0, 4096 * step)['loss'].backward()
        optimizer.step()
    with torch.no_grad():
        score = made.network.policy(tokens, torch.full((4,), 0.5), TASKS).blocks[:, 1]
        shut, opened = (
            made._weighted_sum(
                made._task_losses(made.network.forward_gated(tokens, gates, TASKS), labels())
            )
            for gates in (Gates(blocks=torch.zeros(4, 4)), Gates(blocks=torch.ones(4, 4)))
        )
    assert ((score > 2) == (opened < shut)).all()
    assert ((score < -2) == (opened > shut)).all()


def test_flipped_gates_get_no_gradient_through_the_maps():
    """Without places to gate, nothing of the policy's gradient comes through the maps."""
    made = objective('policy', ('blocks',), full=0.0, spending_weight=0.0)
    silence(block for layer in made.network.encoder.layers for block in layer.blocks)
    made(images(), labels(), 1.0, 4096)['loss'].backward()
    # Blocks that change nothing are worth nothing.
    assert not made.network.policy.heads.weight.grad.any()


def test_gates_of_branches_learn_by_slopes(monkeypatch):
    """They are not turned over; here blocks do nothing but what their tasks' branches do."""
    made = objective('policy', ('blocks',), full=0.0, spending_weight=0.0)
    monkeypatch.setattr(made, '_gate_flip_loss', lambda *_: 0.0)
    network = made.network = small.adapted(('blocks',)).train()
    for linear in network.encoder.linears:
        linear.shared = None
    silence(block for layer in network.encoder.layers for block in layer.blocks)
    made(images(8), labels(8), 1.0, 4096)['loss'].backward()
    # (heads, blocks): every task, for the last block of each stage.
    learnt = network.policy.heads.weight.grad.abs().sum(2) > 0
    assert learnt.tolist() == [[False, True, False, True]] * len(TASKS)
