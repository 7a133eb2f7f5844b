# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Adapter files that change visibly what a network says, and some that are not right."""

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from adamtl_ros.nn.adapters.inject import inject, trainable_parameters
from adamtl_ros.nn.adapters.lora import LoraConfig
from adamtl_ros.nn.io.checkpoint import base_digest, load_model, save_adapter

RANKS = {'rank': 8, 'task_rank': 4, 'merging': True}


def trained(source='scenes_nano', seed=0, shift=0.0, **config):
    """Return a model whose adapters, and what is trained with them, are not the base's.

    `shift` is added to every bias of the decoders.
    """
    model = load_model(source)
    tasks, stages = model.network.tasks, len(model.network.arch.depths)
    inject(model.network, LoraConfig.uniform(stages, tasks, **{**RANKS, **config}))
    generator = torch.Generator().manual_seed(seed)
    for part, weights in trainable_parameters(model.network).items():
        for name, weight in weights.items():
            noise = torch.randn(weight.shape, generator=generator)
            weight.data += 0.05 * (weight.std(correction=0).item() or 0.1) * noise
            weight.data += shift * (part == 'decoders' and name.endswith('bias'))
    model.network.eval()
    return model


def save(path, model, base='scenes_nano', **more):
    """Write the adapters of a model; return the path."""
    save_adapter(model, base_digest(load_model(base).network), path, **more)
    return path


def write(path, base='scenes_nano', **more):
    """Write made-up adapters of a base; return the path as text."""
    return str(save(path, trained(base, **more), base))


def two(folder):
    """Write two files, 'kitchen' and 'cellar', whose results differ at a glance."""
    return (
        write(folder / 'kitchen.adapter.safetensors', seed=1, shift=0.2),
        write(folder / 'cellar.adapter.safetensors', seed=2, shift=-0.2),
    )


def bad(source, path):
    """Write a copy whose header is right and whose weights are not all there."""
    tensors = load_file(source)
    tensors.pop(next(iter(tensors)))
    with safe_open(source, 'pt') as file:
        save_file(tensors, path, file.metadata())
    return str(path)
