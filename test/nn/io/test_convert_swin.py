# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Official Swin files, made here with random weights under the published names."""

from dataclasses import replace

import pytest
import torch
from helpers import reference_swin, small
from torch import nn

from adamtl_ros.nn.architecture import SwinArchitecture, architecture
from adamtl_ros.nn.io.checkpoint import CheckpointError
from adamtl_ros.nn.io.convert import load_swin, read_pth
from adamtl_ros.nn.swin.encoder import SwinEncoder

TINY = architecture('tiny')


def official_weights(arch, seed=0):
    """Return weights with the names and shapes that Microsoft's repository saves."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}

    def add(name, *shape):
        weights[name] = 0.05 * torch.randn(*shape, generator=generator)

    def add_layer(name, outputs, inputs, *kernel, bias=True):
        add(f'{name}.weight', outputs, inputs, *kernel)
        if bias:
            add(f'{name}.bias', outputs)

    def add_norm(name, dim):
        add(f'{name}.weight', dim)
        add(f'{name}.bias', dim)

    add_layer('patch_embed.proj', arch.embed_dim, 3, 4, 4)
    add_norm('patch_embed.norm', arch.embed_dim)
    side = arch.window**2
    for stage, dim in enumerate(arch.dims):
        heads = arch.heads[stage]
        for index in range(arch.depths[stage]):
            name = f'layers.{stage}.blocks.{index}'
            add_norm(f'{name}.norm1', dim)
            add(f'{name}.attn.relative_position_bias_table', (2 * arch.window - 1) ** 2, heads)
            weights[f'{name}.attn.relative_position_index'] = torch.zeros(side, side).long()
            if index % 2:
                weights[f'{name}.attn_mask'] = torch.zeros(4, side, side)
            add_layer(f'{name}.attn.qkv', 3 * dim, dim)
            add_layer(f'{name}.attn.proj', dim, dim)
            add_norm(f'{name}.norm2', dim)
            add_layer(f'{name}.mlp.fc1', 4 * dim, dim)
            add_layer(f'{name}.mlp.fc2', dim, 4 * dim)
        if stage < len(arch.dims) - 1:
            add_norm(f'layers.{stage}.downsample.norm', 4 * dim)
            add_layer(f'layers.{stage}.downsample.reduction', 2 * dim, 4 * dim, bias=False)
    add_norm('norm', arch.dims[-1])
    add_layer('head', 1000, arch.dims[-1])
    return weights


@pytest.fixture
def file(tmp_path):
    """Write a file as the repository does, with more than the weights in it."""

    def write(weights, wrap=True):
        path = tmp_path / 'swin.pth'
        torch.save({'model': weights, 'epoch': 300} if wrap else weights, path)
        return path

    return write


@pytest.mark.parametrize('name', ['tiny', 'base384'])
def test_features_equal_plain_swin(file, name):
    arch = architecture(name)
    assert isinstance(arch, SwinArchitecture)
    weights = official_weights(arch)
    encoder = SwinEncoder(arch).eval()
    load_swin(encoder, file(weights))
    for stage, dim in enumerate(arch.dims[:3]):
        weights[f'norms.{stage}.weight'] = torch.ones(dim)
        weights[f'norms.{stage}.bias'] = torch.zeros(dim)
    for part in ('weight', 'bias'):
        weights[f'norms.3.{part}'] = weights[f'norm.{part}']
    image = torch.randn(1, 3, *arch.input_size)
    with torch.no_grad():
        ours = small.encode(encoder, image)
        plain = reference_swin.encode(weights, image, arch.depths, arch.heads, arch.window)
    for got, expected in zip(ours, plain, strict=True):
        torch.testing.assert_close(got, expected, atol=2e-5, rtol=1e-3)


def test_bare_weights_load_too(file):
    load_swin(SwinEncoder(TINY), file(official_weights(TINY), wrap=False))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            lambda w: w.update({'layers.0.blocks.1.mlp.fc1.weight': torch.zeros(8, 96)}),
            r"'layers.0.blocks.1.mlp.fc1.weight' has shape \(8, 96\), expected \(384, 96\)",
        ),
        (lambda w: w.pop('norm.bias'), r"'norm.bias' is missing, expected \(768,\)"),
        (lambda w: w.update(extra=torch.zeros(1)), "'extra' belongs to no part"),
    ],
)
def test_files_that_do_not_fit(file, change, message):
    weights = official_weights(TINY)
    change(weights)
    encoder = SwinEncoder(TINY)
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    with pytest.raises(CheckpointError, match=message):
        load_swin(encoder, file(weights))
    for key, value in encoder.state_dict().items():
        assert torch.equal(value, before[key])


def test_file_of_another_size(file):
    with pytest.raises(CheckpointError, match=r'patch_embed.proj.weight.*expected \(128,'):
        load_swin(SwinEncoder(architecture('base')), file(official_weights(TINY)))


def test_truncated_file(file):
    path = file(official_weights(replace(TINY, depths=(1, 1, 1, 1))))
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(CheckpointError, match='not a whole file of weights alone'):
        read_pth(path)


def test_code_in_a_file_is_not_run(tmp_path):
    """A pickled module would run its code while loading; such files are refused."""
    path = tmp_path / 'module.pth'
    torch.save(nn.Linear(2, 2), path)
    with pytest.raises(CheckpointError, match='save its weights only'):
        read_pth(path)


@pytest.mark.parametrize('content', [{}, [1], {'model': {'epoch': 3}}, 5])
def test_files_without_weights(tmp_path, content):
    path = tmp_path / 'empty.pth'
    torch.save(content, path)
    with pytest.raises(CheckpointError, match='holds no weights'):
        read_pth(path)


def test_missing_file(tmp_path):
    with pytest.raises(CheckpointError, match='cannot be read'):
        read_pth(tmp_path / 'nowhere.pth')
