# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Adapters on a whole network: folded, trained, saved, taken off."""

import copy
import pickle

import pytest
import torch
from helpers import small

from adamtl_ros.nn.adapters.inject import (
    adapter_state,
    freeze,
    inject,
    load_adapter_state,
    merge,
    remove,
    trainable_parameters,
    unmerge,
)
from adamtl_ros.nn.adapters.lora import LoraConfig, Ranks, TaskSwinBlock
from adamtl_ros.nn.io.checkpoint import Model, load_model, save_model
from adamtl_ros.nn.network import random_network
from adamtl_ros.tasks import TASKS

IMAGES = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize('name', ['nano', 'tiny'])
@pytest.mark.parametrize('form', ['matrix', 'foldable'])
def test_folding_changes_nothing(name, form):
    network = random_network(name)
    image = torch.randn(1, 3, *network.arch.input_size)
    with torch.inference_mode():
        plain = network(image).maps
    inject(network, LoraConfig.uniform(4, TASKS, 16, 4, form=form, merging=True))
    network.eval()
    with torch.inference_mode():
        small.close(network(image).maps, plain)
        for weight in (w for key, w in network.named_parameters() if key.endswith('.b')):
            torch.nn.init.normal_(weight, std=0.02)
        before = {key: value.clone() for key, value in network.state_dict().items()}
        apart = network(image).maps
        assert (apart['depth'] - plain['depth']).abs().max() > 0.1
        merge(network)
        assert network.merged
        for key, raw in network(image).maps.items():
            assert (raw - apart[key]).abs().max() <= 1e-5 * apart[key].abs().max()
        assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
        unmerge(network)
        assert all(torch.equal(network(image).maps[k], apart[k]) for k in apart)
        remove(network)
        assert all(torch.equal(network(image).maps[k], plain[k]) for k in plain)


@pytest.mark.parametrize(('layers', 'form'), small.KINDS)
def test_gradients_reach_what_is_trained_and_nothing_else(layers, form):
    network = small.adapted(layers=layers, form=form, merging=True)
    merge(network)
    freeze(network)
    # As published, the last shared pair serves a stream that no decoder sees.
    idle = 'layers.1.blocks.1.mlp.fc2.shared' if form == 'matrix' and 'fc2' in layers else ' '

    network.train()
    maps = network(IMAGES.repeat(2, 1, 1, 1)).maps
    sum(raw.square().mean() for raw in maps.values()).backward()
    chosen = {name for part in trainable_parameters(network).values() for name in part}
    for name, weight in network.named_parameters():
        assert weight.requires_grad == (name in chosen)
        learns = weight.grad is not None and weight.grad.any()
        assert learns == (name in chosen and idle not in name), name


def test_adapters_alone_carry_what_was_learnt():
    taught, other = small.adapted(), small.adapted(rank=3)
    for weight in (w for part in trainable_parameters(taught).values() for w in part.values()):
        torch.nn.init.normal_(weight, std=0.1)
    state = {key: value.clone() for key, value in adapter_state(taught).items()}
    frozen = {'encoder.layers.0.blocks.0.attn.qkv.weight', 'policy.squeeze.weight'}
    assert not frozen & set(state)
    other.policy.load_state_dict(taught.policy.state_dict())
    merge(other)
    load_adapter_state(other, state)
    with torch.inference_mode():
        small.close(other(IMAGES).maps, taught(IMAGES).maps)
    state.pop('encoder.patch_embed.proj.bias')
    with pytest.raises(ValueError, match=r"adapters: 'encoder.patch_embed.proj.bias' is missing"):
        load_adapter_state(other, state)
    with pytest.raises(ValueError, match=r"'more' belongs to no adapter"):
        load_adapter_state(other, {**adapter_state(other), 'more': torch.zeros(1)})


def test_files(tmp_path):
    """What is saved is the base and the pairs apart, whatever is folded."""
    network = small.adapted(form='matrix', merging=True)
    for step in (lambda: None, lambda: merge(network)):
        step()
        save_model(Model(network, 'x'), tmp_path / 'x.safetensors')
        loaded = load_model(str(tmp_path / 'x.safetensors')).network
        assert loaded.adapters == network.adapters
        assert loaded.merged
        with torch.inference_mode():
            small.close(loaded(IMAGES).maps, network(IMAGES).maps)
        unmerge(loaded)
        saved = network.state_dict()
        assert all(torch.equal(value, saved[key]) for key, value in loaded.state_dict().items())


def test_adapters_that_do_not_fit():
    network = small.network(tasks={'depth': TASKS['depth']})
    with pytest.raises(ValueError, match='shared: 3 ranks for 2 stages'):
        inject(network, LoraConfig(Ranks.uniform(2, 3)))
    with pytest.raises(ValueError, match="adapters for unknown task 'edges', known: depth"):
        inject(network, LoraConfig.uniform(2, ['edges'], 2, 2))
    inject(network, LoraConfig.uniform(2, ['depth'], 2, 2))
    with pytest.raises(ValueError, match='has adapters already'):
        inject(network, LoraConfig.uniform(2, ['depth'], 2, 2))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_low_precision(dtype):
    network = small.adapted()
    with torch.inference_mode(), torch.autocast('cpu', dtype):
        for budget in (1.0, 0.7):
            maps = network(IMAGES, budget).maps
            assert all(raw.isfinite().all() for raw in maps.values())
        maps = network.forward_train(IMAGES, torch.full((3,), 0.7)).maps
        assert all(raw.isfinite().all() for raw in maps.values())
    network.to(dtype)
    with torch.inference_mode():
        for budget in (1.0, 0.7):
            maps = network(IMAGES.to(dtype), budget).maps
            assert all(raw.dtype == dtype and raw.isfinite().all() for raw in maps.values())


@pytest.mark.parametrize('duplicate', [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])  # noqa: S301
def test_adapted_blocks_are_copied_and_reverted(duplicate):
    """The class of a block changes in place; its weights and their names do not."""
    plain, network = small.network(), small.adapted()
    with torch.inference_mode():
        expected = network(IMAGES).maps
        copied = duplicate(network)
        small.close(copied(IMAGES).maps, expected)
    assert list(copied.state_dict()) == list(network.state_dict())
    assert 'encoder.layers.0.blocks.1.branches.proj.depth.a' in copied.state_dict()
    for stage in copied.encoder.layers:
        assert [isinstance(block, TaskSwinBlock) for block in stage.blocks] == [False, True]
    remove(copied)
    assert list(copied.state_dict()) == list(plain.state_dict())
    with torch.inference_mode():
        small.close(copied(IMAGES).maps, plain(IMAGES).maps)
        small.close(network(IMAGES).maps, expected)
