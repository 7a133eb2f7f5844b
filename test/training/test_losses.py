# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Training losses against loops in plain numpy, and their gradients."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adamtl_ros.tasks import TASKS, UNLABELLED, Kind
from adamtl_ros.training.losses import balanced_bce, scale_aware_log, task_loss

SEEDS = st.integers(0, 10_000)
QUICK = settings(deadline=None, max_examples=20)
EVERY = pytest.mark.parametrize('task', TASKS.values(), ids=TASKS)


def unknown(task):
    return np.nan if task.kind in (Kind.NORMALS, Kind.DEPTH) else UNLABELLED


def pair(task, seed, batch=2, size=(3, 4), share=0.3):
    """Return a raw map in double precision and a label of which a share is unknown."""
    draw = np.random.default_rng(seed)
    raw = torch.from_numpy(draw.normal(size=(batch, task.channels, *size)))
    if task.kind is Kind.NORMALS:
        label = draw.normal(size=(batch, 3, *size))
        label /= np.linalg.norm(label, axis=1, keepdims=True)
    elif task.kind is Kind.DEPTH:
        label = draw.uniform(0.3, 9, (batch, *size))
    else:
        label = draw.integers(0, max(task.channels, 2), (batch, *size)).astype(np.uint8)
    gone = draw.random((batch, *size)) < share
    (np.moveaxis(label, 1, -1) if task.kind is Kind.NORMALS else label)[gone] = unknown(task)
    return raw, torch.from_numpy(label)


def known_pixels(task, raw, label):
    """Yield image number, raw values and label of each known pixel."""
    raw, label = raw.numpy(), label.numpy()
    for b, y, x in product(*map(range, (len(raw), *raw.shape[2:]))):
        truth = label[b, ..., y, x]
        if not (np.isnan(truth).any() if truth.dtype.kind == 'f' else truth == UNLABELLED):
            yield b, raw[b, :, y, x], truth


def expected_cross_entropy(pixels):
    return np.mean([np.log(np.exp(raw).sum()) - raw[truth] for _, raw, truth in pixels])


def expected_l1(pixels):
    return np.mean([abs(raw / np.linalg.norm(raw) - truth).mean() for _, raw, truth in pixels])


def expected_bce(pixels, weight=None):
    if weight is None:
        weight = np.mean([truth == 0 for *_, truth in pixels])
    terms = []
    for _, (logit,), truth in pixels:
        probability = 1 / (1 + np.exp(-logit))
        right = weight * np.log(probability) if truth else (1 - weight) * np.log(1 - probability)
        terms.append(-right)
    return np.mean(terms)


def expected_log(pixels):
    images = {}
    for b, (raw,), truth in pixels:
        images.setdefault(b, []).append(raw - np.log(truth))
    return np.mean([
        np.sqrt(np.mean(np.square(d)) - 0.5 * np.mean(d) ** 2) for d in images.values()
    ])  # fmt: skip


EXPECTED = {
    'cross_entropy': expected_cross_entropy,
    'l1': expected_l1,
    'balanced_bce': expected_bce,
    'edge_bce': lambda pixels: expected_bce(pixels, 0.95),
    'scale_aware_log': expected_log,
}


@EVERY
@QUICK
@given(seed=SEEDS, share=st.sampled_from([0, 0.3, 0.7]))
def test_values_are_those_of_plain_loops(task, seed, share):
    raw, label = pair(task, seed, share=share)
    pixels = list(known_pixels(task, raw, label))
    expected = EXPECTED[task.loss](pixels) if pixels else 0
    assert task_loss(task, raw, label).item() == pytest.approx(expected, abs=2e-4)


@EVERY
def test_gradients_are_right(task):
    raw, label = pair(task, 1)
    assert torch.autograd.gradcheck(
        lambda value: task_loss(task, value, label), raw.requires_grad_(), eps=1e-6, atol=1e-5
    )


@EVERY
@QUICK
@given(seed=SEEDS)
def test_unknown_pixels_have_no_say(task, seed):
    raw, label = pair(task, seed)
    raw.requires_grad_()
    loss = task_loss(task, raw, label)
    loss.backward()
    gone = label.isnan() if label.is_floating_point() else label == UNLABELLED
    gone = gone[:, :1] if gone.ndim == 4 else gone[:, None]
    assert raw.grad.isfinite().all()
    assert not raw.grad[gone.expand_as(raw)].any()
    changed = torch.where(gone, 5.0, raw.detach())
    assert task_loss(task, changed, label).item() == pytest.approx(loss.item(), rel=1e-9)


@EVERY
def test_nothing_known_is_zero_with_a_zero_gradient(task):
    raw, label = pair(task, 0)
    raw.requires_grad_()
    loss = task_loss(task, raw, torch.full_like(label, unknown(task)))
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-9)
    assert (raw.grad == 0).all()


@EVERY
def test_an_image_without_labels_leaves_the_mean_as_it_is(task):
    raw, label = pair(task, 3)
    nothing = torch.full_like(label[:1], unknown(task))
    more = torch.cat([raw, raw[:1]]), torch.cat([label, nothing])
    assert task_loss(task, *more).item() == pytest.approx(task_loss(task, raw, label).item())


@EVERY
def test_half_precision_is_computed_in_float32(task):
    raw, label = pair(task, 2, size=(16, 16))
    half = raw.bfloat16().requires_grad_()
    with torch.autocast('cpu', torch.bfloat16):
        loss = task_loss(task, half, label)
    loss.backward()
    assert loss.dtype == (torch.float64 if label.dtype == torch.float64 else torch.float32)
    assert loss.item() == pytest.approx(task_loss(task, half.detach().double(), label).item(), 1e-5)
    assert half.grad.isfinite().all()


@EVERY
def test_a_step_downhill_lowers_the_loss(task):
    raw, label = pair(task, 4, size=(8, 8))
    raw.requires_grad_()
    loss = task_loss(task, raw, label)
    (gradient,) = torch.autograd.grad(loss, raw)
    assert task_loss(task, raw - 0.1 * gradient, label) < loss


@EVERY
def test_shapes_that_do_not_fit(task):
    raw, label = pair(task, 0)
    for wrong in (label[:1], label[..., :1], label[:, None]):
        with pytest.raises(ValueError, match='do not fit, expected'):
            task_loss(task, raw, wrong)
    if task.kind is not Kind.LABELS:
        with pytest.raises(ValueError, match=f'expected {task.channels} channels'):
            task_loss(task, raw.repeat(1, 2, 1, 1), label)


@EVERY
@QUICK
@given(seed=SEEDS)
def test_a_weight_of_two_is_an_image_seen_twice(task, seed):
    """In weighted means, for the whole batch and for each image of depth."""
    raw, label = pair(task, seed)
    weight = torch.tensor([2.0, 1.0]).view(2, 1, 1)
    twice = task_loss(task, torch.cat([raw, raw[:1]]), torch.cat([label, label[:1]]))
    assert task_loss(task, raw, label, weight).item() == pytest.approx(twice.item(), abs=1e-7)
    # The scale of the weights does not matter.
    assert task_loss(task, raw, label, weight / 20).item() == pytest.approx(twice.item(), abs=1e-7)


@EVERY
@QUICK
@given(seed=SEEDS)
def test_a_weight_of_zero_is_an_unknown_pixel(task, seed):
    raw, label = pair(task, seed)
    weight = torch.from_numpy(np.random.default_rng(seed).integers(0, 2, (2, 3, 4)).astype(float))
    without = label.clone()
    (without.movedim(1, -1) if label.ndim == 4 else without)[weight == 0] = unknown(task)
    raw.requires_grad_()
    loss = task_loss(task, raw, label, weight)
    (gradient,) = torch.autograd.grad(loss, raw)
    assert loss.item() == pytest.approx(task_loss(task, raw, without).item(), abs=1e-7)
    assert not gradient.movedim(1, -1)[weight == 0].any()
    assert gradient.isfinite().all()


@EVERY
def test_weights_that_are_all_zero_leave_nothing(task):
    raw, label = pair(task, 5)
    raw.requires_grad_()
    loss = task_loss(task, raw, label, torch.zeros(2, 1, 1))
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-12)
    assert not raw.grad.any()


@EVERY
def test_gradients_with_weights_are_right(task):
    raw, label = pair(task, 1)
    weight = torch.rand(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.autograd.gradcheck(
        lambda value: task_loss(task, value, label, weight),
        raw.requires_grad_(),
        eps=1e-6,
        atol=1e-5,
    )


SOFT = pytest.mark.parametrize('name', ['saliency', 'edges'])


@SOFT
def test_zeros_and_ones_are_the_same_in_either_form(name):
    raw, label = pair(TASKS[name], 6)
    soft = torch.where(label == UNLABELLED, torch.nan, label.double())
    assert task_loss(TASKS[name], raw, soft) == task_loss(TASKS[name], raw, label)


def test_a_soft_label_is_the_probability_of_the_least_loss():
    label = torch.tensor([[[0.3, 0.8, torch.nan]]], dtype=torch.float64)
    logits = torch.logit(label.nan_to_num(0.5))[:, None].requires_grad_()
    loss = balanced_bce(logits, label, positive_weight=0.95)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient.flatten().tolist() == pytest.approx([0, 0, 0], abs=1e-12)

    def cost(t):  # entropy times the weight between those of a positive and a negative
        return -(0.95 * t + 0.05 * (1 - t)) * (t * np.log(t) + (1 - t) * np.log(1 - t))

    assert loss.item() == pytest.approx((cost(0.3) + cost(0.8)) / 2)


def test_balance_of_soft_labels_is_their_mean():
    label = torch.tensor([[[0.25, 0.5, 0.75, 0.0]]])
    given_weight = balanced_bce(torch.ones(1, 1, 1, 4), label, positive_weight=1 - 1.5 / 4)
    assert balanced_bce(torch.ones(1, 1, 1, 4), label).item() == pytest.approx(given_weight.item())


def test_class_ids_may_be_of_any_integer_type():
    raw, label = pair(TASKS['semseg'], 0)
    assert task_loss(TASKS['semseg'], raw, label) == task_loss(TASKS['semseg'], raw, label.long())


def test_both_kinds_weigh_the_same_in_balanced_bce():
    logits = torch.zeros(1, 1, 1, 4, requires_grad=True)
    label = torch.tensor([[[1, 0, 0, 0]]], dtype=torch.uint8)
    loss = balanced_bce(logits, label)
    loss.backward()
    assert loss.item() == pytest.approx(np.log(2) * (0.75 + 3 * 0.25) / 4)
    gradient = logits.grad.flatten().tolist()
    assert gradient == pytest.approx([-0.375 / 4, 0.125 / 4, 0.125 / 4, 0.125 / 4])
    one_kind = torch.zeros_like(label)
    assert balanced_bce(logits, one_kind) == 0
    assert balanced_bce(logits, one_kind, positive_weight=0.95).item() == (
        pytest.approx(0.05 * np.log(2))
    )


def test_normals_of_any_length():
    raw, label = pair(TASKS['normals'], 0, share=0)
    assert task_loss(TASKS['normals'], 7 * label, label).item() == pytest.approx(0, abs=1e-12)
    assert task_loss(TASKS['normals'], 3 * raw, label).item() == (
        pytest.approx(task_loss(TASKS['normals'], raw, label).item())
    )
    nothing = torch.zeros_like(raw, requires_grad=True)
    task_loss(TASKS['normals'], nothing, label).backward()
    assert nothing.grad.isfinite().all()


def test_depth_minds_a_wrong_scale_by_half():
    meters = torch.tensor([[[1.0, 2.0], [4.0, 8.0]]])
    raw = meters.log()[:, None]
    perfect = raw.clone().requires_grad_()
    loss = scale_aware_log(perfect, meters)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert perfect.grad.isfinite().all()
    assert scale_aware_log(raw + 0.6, meters).item() == pytest.approx(0.6 * 0.5**0.5, rel=1e-3)
    assert scale_aware_log(raw + 0.6, meters, lam=1).item() == pytest.approx(0, abs=1e-4)
    assert scale_aware_log(raw + 0.6, meters, lam=0).item() == pytest.approx(0.6, rel=1e-3)


@pytest.mark.parametrize('bad', [0.0, -1.0, np.inf])
def test_depth_that_is_no_depth_is_unknown(bad):
    """Such a pixel neither changes the loss nor gets a gradient."""
    raw = torch.tensor([[[[5.0, 0.3, -0.2]]]], requires_grad=True)
    loss = scale_aware_log(raw, torch.tensor([[[bad, 1.0, 2.0]]]))
    loss.backward()
    without = scale_aware_log(raw[..., 1:], torch.tensor([[[1.0, 2.0]]]))
    assert loss.item() == pytest.approx(without.item(), rel=1e-5)
    assert raw.grad[..., 0] == 0
    assert (raw.grad[..., 1:] != 0).all()
    assert raw.grad.isfinite().all()


@pytest.mark.parametrize('count', [1, 3, 16, 33])
def test_images_of_unknown_depth_leave_no_rest(count):
    """In double and in single precision, and for batches that fill a vector of the CPU or not."""
    for kind in (torch.float64, torch.float32):
        raw = torch.randn(count, 1, 2, 3, dtype=kind, requires_grad=True)
        loss = scale_aware_log(raw, torch.full((count, 2, 3), torch.nan, dtype=kind))
        loss.backward()
        assert loss.item() == pytest.approx(0, abs=1e-12)
        assert not raw.grad.any()


def test_a_loss_that_is_not_there():
    raw, label = pair(TASKS['depth'], 0)
    with pytest.raises(ValueError, match="asks for loss 'l3', choose from: cross_entropy, l1"):
        task_loss(replace(TASKS['depth'], loss='l3'), raw, label)
