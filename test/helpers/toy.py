# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A toy task whose images are known to be easy or hard, and a short training on it.

An image is a board of cells. An easy cell is of one colour, its class. A hard one, somewhat
brighter, is of two, left and right, and its class stands in a table of all pairs: what a
decoder cannot know and blocks must learn. An image's difficulty is its share of hard cells.
"""

from dataclasses import dataclass, replace

import torch
from torch.nn import functional

from adamtl_ros.nn.architecture import SwinArchitecture
from adamtl_ros.nn.gating.execution import RelaxedExecution
from adamtl_ros.nn.gating.gates import Gates
from adamtl_ros.nn.gating.policy import PolicyConfig
from adamtl_ros.nn.network import AdaptiveNetwork, init_weights
from adamtl_ros.tasks import TASKS

ARCH = SwinArchitecture('toy', 12, (1, 6), (1, 2), 4, 6, (64, 64), mlp_ratio=1)
TASK = replace(TASKS['semseg'], classes=tuple('abcdefgh'))
CELL, CELLS, STRIDE = 8, 8, 4
COLOURS = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 3)
TABLE = torch.stack(
    [torch.randperm(8, generator=torch.Generator().manual_seed(row)) for row in range(8)]
)


@dataclass
class Boards:
    """Images (B, 3, 64, 64), classes at stride 4 (B, 16, 16), and difficulty (B,) in 0..1."""

    images: torch.Tensor
    classes: torch.Tensor
    difficulty: torch.Tensor


def draw(count, generator):
    """Draw boards; some have no hard cell at all."""
    share = (1.4 * torch.rand(count, 1, 1, generator=generator) - 0.4).clamp_min(0)
    hard = torch.rand(count, CELLS, CELLS, generator=generator) < share
    left, other = torch.randint(0, 8, (2, count, CELLS, CELLS), generator=generator)
    right = torch.where(hard, other, left)
    classes = torch.where(hard, TABLE[left, right], left)
    halves = torch.stack([left, right], -1).flatten(2)
    pixels = COLOURS[_enlarge(halves, CELL, CELL // 2)].permute(0, 3, 1, 2)
    noise = 0.3 * torch.randn(pixels.shape, generator=generator)
    images = pixels + 1.5 * _enlarge(hard, CELL, CELL)[:, None] + noise
    labels = _enlarge(classes, CELL // STRIDE, CELL // STRIDE)
    return Boards(images, labels, hard.float().mean((1, 2)))


def train(gates, seed=0, backbone_steps=500, policy_steps=350, batch=32):
    """Train as AdaMTL does: the backbone under gates at random first, then the policy with it."""
    with torch.random.fork_rng():
        network = AdaptiveNetwork(ARCH, {'semseg': TASK}, PolicyConfig(gates)).train()
    generator = torch.Generator().manual_seed(seed)
    init_weights(network, generator)
    policy = list(network.policy.parameters())
    backbone = [*network.encoder.parameters(), *network.decoders.parameters()]
    optimizer = torch.optim.AdamW(backbone, 4e-3, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, backbone_steps)
    for _ in range(backbone_steps):
        boards = draw(batch, generator)
        loss = _backbone_loss(network, boards, generator)
        _step(optimizer, schedule, loss, backbone)
    groups = [{'params': backbone, 'lr': 1.2e-3}, {'params': policy, 'lr': 4e-3}]
    optimizer = torch.optim.AdamW(groups, weight_decay=0, fused=True)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0.1, policy_steps)
    for step in range(policy_steps):
        temperature = 2 * 0.15 ** (step / policy_steps)
        boards = draw(batch, generator)
        loss = _policy_loss(network, boards, temperature, generator)
        _step(optimizer, schedule, loss, backbone, policy)
    return network.eval()


def accuracy(prediction, boards):
    """Share of right classes."""
    return (prediction.maps['semseg'].argmax(1) == boards.classes).float().mean().item()


def _backbone_loss(network, boards, generator):
    """Half of the images with everything on, the others with a random share of it."""
    count = len(boards.images)
    share = torch.rand(count, 1, generator=generator).sqrt()
    share[: count // 2] = 1
    drawn = {'blocks': torch.rand(count, 7, generator=generator) < share}
    if 'windows' in network.policy.config.gates:
        drawn['windows'] = torch.rand(count, 7, 16, generator=generator) < share[..., None]
    tokens = network.encoder.patch_embed(boards.images)
    execution = RelaxedExecution(Gates(**drawn), ARCH.depths, 0.5)
    maps = network.forward_tokens(tokens, execution, ['semseg'])
    return functional.cross_entropy(maps['semseg'], boards.classes)


def _policy_loss(network, boards, temperature, generator):
    """Return the loss under gates, plus the distance of the mean share from a random budget."""
    budget = 0.3 + 0.6 * torch.rand(1, generator=generator)
    budgets = budget.expand(len(boards.images))
    predicted = network.forward_train(boards.images, budgets, None, temperature, generator)
    task = functional.cross_entropy(predicted.maps['semseg'], boards.classes)
    return task + 10 * (predicted.fractions.float().mean() - budget).square().sum()


def _step(optimizer, schedule, loss, *groups):
    optimizer.zero_grad()
    loss.backward()
    for group in groups:
        torch.nn.utils.clip_grad_norm_(group, 1)
    optimizer.step()
    schedule.step()


def _enlarge(board, rows, columns):
    return board.repeat_interleave(rows, 1).repeat_interleave(columns, 2)
