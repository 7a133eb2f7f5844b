# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A plain, slow Swin written from the paper, to compare with. Weights by the same names.

A plan leaves parts of blocks out by looking at every window and token in turn.
"""

import torch
from torch.nn import functional


def encode(weights, image, depths, heads, window, plan=None):
    """Features of each stage before its merging, (B, H, W, C), after the norm of the stage.

    The usual way: roll, cut, attend with a mask of -100, glue, roll back. The token grid must
    divide into windows, except where one window covers all of it.
    """
    x = functional.conv2d(
        image, weights['patch_embed.proj.weight'], weights['patch_embed.proj.bias'], stride=4
    )
    x = norm(x.permute(0, 2, 3, 1), weights, 'patch_embed.norm')
    features = []
    for stage, depth in enumerate(depths):
        for index in range(depth):
            shift = window // 2 if index % 2 and min(x.shape[1:3]) > window else 0
            name = f'layers.{stage}.blocks.{index}'
            part = plan.stages[stage][index] if plan else None
            x = block(x, weights, name, heads[stage], window, shift, part)
        features.append(norm(x, weights, f'norms.{stage}'))
        if stage < len(depths) - 1:
            x = merge(x, weights, f'layers.{stage}.downsample')
    return features


def norm(x, weights, name):
    return functional.layer_norm(
        x, x.shape[-1:], weights[f'{name}.weight'], weights[f'{name}.bias']
    )


def linear(x, weights, name):
    return functional.linear(x, weights[f'{name}.weight'], weights.get(f'{name}.bias'))


def block(x, weights, name, heads, window, shift, plan=None):
    if plan and not plan.run:
        return x
    attended, changed = allowed(x, window, plan)
    attended, changed = (torch.roll(mask, (shift, shift), (0, 1)) for mask in (attended, changed))
    y = norm(x, weights, f'{name}.norm1')
    y = torch.roll(y, (-shift, -shift), (1, 2))
    y = attend(y, weights, f'{name}.attn', heads, window, shift)
    x = x + torch.roll(y, (shift, shift), (1, 2)) * attended[..., None]
    hidden = functional.gelu(linear(norm(x, weights, f'{name}.norm2'), weights, f'{name}.mlp.fc1'))
    if plan:
        hidden[..., max(1, round(plan.width * hidden.shape[-1])) :] = 0
    return x + linear(hidden, weights, f'{name}.mlp.fc2') * changed[..., None]


def allowed(x, window, plan):
    """Which tokens of the rolled grid attention and MLP change, two (H, W) masks."""
    height, width = x.shape[1:3]
    attended, changed = torch.zeros(2, height, width)
    for row in range(height):
        for column in range(width):
            number = row // window * (width // window) + column // window
            token = number * window**2 + row % window * window + column % window
            runs = not plan or plan.windows is None or number in plan.windows
            attended[row, column] = runs
            changed[row, column] = runs and (
                not plan or plan.tokens is None or token in plan.tokens
            )
    return attended, changed


def attend(x, weights, name, heads, window, shift):
    batch, height, width, dim = x.shape
    out = torch.empty_like(x)
    bias = position_bias(weights[f'{name}.relative_position_bias_table'], window)
    areas = area_numbers(height, width, window, shift)
    for top in range(0, height, window):
        for left in range(0, width, window):
            cut = (slice(None), slice(top, top + window), slice(left, left + window))
            tokens = x[cut].reshape(batch, -1, dim)
            area = areas[cut[1:]].reshape(-1)
            mask = torch.where(area[:, None] == area[None, :], 0.0, -100.0)
            q, k, v = (
                part.view(batch, -1, heads, dim // heads).transpose(1, 2)
                for part in linear(tokens, weights, f'{name}.qkv').chunk(3, -1)
            )
            scores = q @ k.transpose(-1, -2) * (dim // heads) ** -0.5 + bias + mask
            mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, -1, dim)
            out[cut] = linear(mixed, weights, f'{name}.proj').view(batch, window, window, dim)
    return out


def position_bias(table, window):
    """Bias by pair of slots, looked up one pair after the other."""
    slots = [(row, column) for row in range(window) for column in range(window)]
    rows = [
        table[(a[0] - b[0] + window - 1) * (2 * window - 1) + a[1] - b[1] + window - 1]
        for a in slots
        for b in slots
    ]
    return torch.stack(rows).view(len(slots), len(slots), -1).permute(2, 0, 1)


def area_numbers(height, width, window, shift):
    """Areas of the rolled grid that were neighbours before it was rolled."""
    areas = torch.zeros(height, width)
    if shift:
        for number, (rows, columns) in enumerate(
            (r, c)
            for r in (slice(0, -window), slice(-window, -shift), slice(-shift, None))
            for c in (slice(0, -window), slice(-window, -shift), slice(-shift, None))
        ):
            areas[rows, columns] = number
    return areas


def merge(x, weights, name):
    parts = [x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]]
    return linear(norm(torch.cat(parts, -1), weights, f'{name}.norm'), weights, f'{name}.reduction')
