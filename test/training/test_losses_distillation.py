# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Distillation loss of tasks without labels."""

import pytest
import torch
from helpers import small

from adamtl_ros.tasks import TASKS
from adamtl_ros.training.losses import distillation_loss, teacher_outputs

torch.set_num_threads(1)


@pytest.mark.parametrize('name', TASKS)
def test_distillation_loss_is_minimal_where_the_maps_are_equal(name):
    task = TASKS[name]
    before = torch.randn(2, task.channels, 4, 6, generator=torch.Generator().manual_seed(1))
    same = before.clone().requires_grad_()
    distillation_loss(task, same, before).backward()
    torch.testing.assert_close(
        distillation_loss(task, same, before), torch.tensor(0.0), atol=1e-6, rtol=0
    )
    assert same.grad.abs().max() < 1e-6
    near, far = (distillation_loss(task, before + by, before.clone()) for by in _steps(before))
    assert 0 < near < far


def _steps(like):
    step = torch.randn(like.shape, generator=torch.Generator().manual_seed(2))
    return 0.1 * step, 0.5 * step


def test_distillation_loss_by_hand():
    evens, sure = torch.zeros(1, 1, 1, 1), torch.full((1, 1, 1, 1), 0.75).logit()
    expected = 0.75 * torch.tensor(1.5).log() + 0.25 * torch.tensor(0.5).log()
    torch.testing.assert_close(distillation_loss(TASKS['edges'], evens, sure), expected)
    torch.testing.assert_close(distillation_loss(TASKS['depth'], evens, sure), sure[0, 0, 0, 0])


def test_teacher_outputs_are_those_at_full_budget():
    network, images = small.network(), torch.randn(2, 3, 64, 64)
    found = teacher_outputs(network, images, ['edges', 'semseg'])
    assert list(found) == ['edges', 'semseg']
    with torch.no_grad():
        expected = network(images).maps
    for name, raw in found.items():
        assert not raw.requires_grad
        torch.testing.assert_close(raw, expected[name], atol=1e-5, rtol=1e-4)
