# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A plain, slow forward pass of the released MTLoRA network, by the names of its own weights.

Written from the notes on its source: one task after the other, merging each task's stream for
itself, every low-rank pair beside its layer. Attention is the plain Swin's.
"""

import torch
from torch.nn import functional

from helpers import reference_swin as swin

SCALE = 4.0


def predict(weights, image, tasks, window, scale=SCALE, task_scale=SCALE):
    """Raw maps by (their) task name, at stride 8."""
    x = functional.conv2d(
        image,
        weights['backbone.patch_embed.proj.weight'],
        weights['backbone.patch_embed.proj.bias'],
        stride=4,
    )
    x = swin.norm(x.permute(0, 2, 3, 1), weights, 'backbone.patch_embed.norm')
    features = {task: [] for task in tasks}
    stages = 1 + max(int(key.split('.')[2]) for key in weights if '.blocks.' in key)
    for stage in range(stages):
        name = f'backbone.layers.{stage}'
        depth = 1 + max(int(k.split('.')[4]) for k in weights if k.startswith(f'{name}.blocks.'))
        streams = dict.fromkeys(tasks, x)
        for index in range(depth):
            shift = window // 2 if index % 2 and min(x.shape[1:3]) > window else 0
            x, streams = block(
                x, weights, f'{name}.blocks.{index}', window, shift, tasks, (scale, task_scale)
            )
        for task in tasks:
            own = streams[task]
            merged = own if stage == stages - 1 else merge(own, weights, name, scale)
            features[task].append(merged)
        if stage < stages - 1:
            x = merge(x, weights, name, scale)
    return {task: head(weights, task, features[task]) for task in tasks}


def adapted(x, own, weights, name, tasks, scales):
    """Return a layer's output on the shared stream, and of each task; None without a pair.

    `own` holds the input of each task; the frozen layer sees the shared one only.
    """
    if f'{name}.linear.weight' not in weights:
        return swin.linear(x, weights, name), None
    frozen = swin.linear(x, weights, f'{name}.linear')
    shared = frozen + scales[0] * low_rank(x, weights, name, 'shared_{}')
    if not any(key.startswith(f'{name}.lora_tasks_A') for key in weights):
        return shared, None
    return shared, {
        task: frozen + scales[1] * low_rank(own[task], weights, name, f'tasks_{{}}.{task}')
        for task in tasks
    }


def low_rank(x, weights, name, which):
    down = weights[f'{name}.lora_{which.format("A")}']
    up = weights[f'{name}.lora_{which.format("B")}']
    return x @ down.T @ up.T


def block(x, weights, name, window, shift, tasks, scales):
    """Run a block on the shared stream; what each task has is looked at one after the other."""
    heads = weights[f'{name}.attn.relative_position_bias_table'].shape[1]
    y = swin.norm(x, weights, f'{name}.norm1')
    y = torch.roll(y, (-shift, -shift), (1, 2))
    y = torch.roll(attend(y, weights, name, heads, window, shift, scales), (shift, shift), (1, 2))
    shared, own = adapted(y, dict.fromkeys(tasks, y), weights, f'{name}.attn.proj', tasks, scales)
    h = x + shared
    streams = {task: h if own is None else x + own[task] for task in tasks}
    normed = {task: swin.norm(streams[task], weights, f'{name}.norm2') for task in tasks}
    hidden, own = adapted(
        swin.norm(h, weights, f'{name}.norm2'), normed, weights, f'{name}.mlp.fc1', tasks, scales
    )
    activated = {task: functional.gelu(hidden if own is None else own[task]) for task in tasks}
    change, own = adapted(
        functional.gelu(hidden), activated, weights, f'{name}.mlp.fc2', tasks, scales
    )
    out = h + change
    if own is None:
        return out, dict.fromkeys(tasks, out)
    return out, {task: streams[task] + own[task] for task in tasks}


def attend(x, weights, name, heads, window, shift, scales):
    """Attention without its last layer, which is the identity here."""
    dim = x.shape[-1]
    layer = f'{name}.attn.qkv'
    matrix = weights[f'{layer}.linear.weight']
    pair = weights[f'{layer}.lora_shared_B'] @ weights[f'{layer}.lora_shared_A']
    plain = {
        'a.qkv.weight': matrix + scales[0] * pair,
        'a.qkv.bias': weights[f'{layer}.linear.bias'],
        'a.proj.weight': torch.eye(dim),
        'a.proj.bias': torch.zeros(dim),
        'a.relative_position_bias_table': weights[f'{name}.attn.relative_position_bias_table'],
    }
    return swin.attend(x, plain, 'a', heads, window, shift)


def merge(x, weights, name, scale):
    parts = [x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]]
    normed = swin.norm(torch.cat(parts, -1), weights, f'{name}.downsample.norm')
    shared, _ = adapted(normed, {}, weights, f'{name}.downsample.reduction', (), (scale, 0))
    return shared


def head(weights, task, features):
    """Apply the 1x1 layers of one task to its four scales."""
    maps = [
        functional.conv2d(
            feature.permute(0, 3, 1, 2), weights[f'downsampler.{task}.downsample_{level}.weight']
        )
        for level, feature in enumerate(features)
    ]
    size = maps[0].shape[-2:]
    maps = [functional.interpolate(one, size, mode='bilinear', align_corners=False) for one in maps]
    name = f'decoders.decoders.{task}.last_layer'
    x = functional.conv2d(
        torch.cat(maps, 1), weights[f'{name}.0.weight'], weights[f'{name}.0.bias']
    )
    x = functional.batch_norm(
        x,
        weights[f'{name}.1.running_mean'],
        weights[f'{name}.1.running_var'],
        weights[f'{name}.1.weight'],
        weights[f'{name}.1.bias'],
    )
    return functional.conv2d(
        functional.relu(x), weights[f'{name}.3.weight'], weights[f'{name}.3.bias']
    )
