# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Low-rank adapters on a whole network: attach, train, fold, take off.

Agiza, Neseem and Reda 2024, "MTLoRA", sections 3 and 4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from adamtl_ros.nn.adapters.task_lora import TaskBranches, layer_of
from adamtl_ros.nn.layers import LoRALayer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import torch
    from torch import Tensor, nn

    from adamtl_ros.nn.adapters.config import LoraConfig
    from adamtl_ros.nn.layers import LoRALinear
    from adamtl_ros.nn.network import AdaptiveNetwork
    from adamtl_ros.nn.swin.encoder import SwinBlock, SwinStage

PARTS = ('shared', 'task', 'norm', 'patch_embed', 'merging', 'position_bias', 'decoders')
"""Kinds of parameters that are trained."""


def inject(
    network: AdaptiveNetwork, config: LoraConfig, generator: torch.Generator | None = None
) -> None:
    """Put adapters on a network that has none; its output stays the same until they learn.

    Args:
        network: The network.
        config: Where, and of what rank.
        generator: For the matrices A.

    Raises:
        ValueError: The network has adapters, or these do not fit it.

    """
    if network.adapters is not None:
        raise ValueError('the network has adapters already, detach them first')
    config.check(network.arch, network.tasks)
    for stage, layer in enumerate(network.encoder.layers):
        _attach_stage(cast('SwinStage', layer), config, stage, generator)
    network.adapters = config
    network.encoder.train(network.encoder.training)


def remove(network: AdaptiveNetwork) -> None:
    """Take the adapters off; nothing to do without any."""
    unmerge(network)
    for linear in network.encoder.linears:
        linear.shared = None
    for block in _blocks(network):
        block.branches = None
    network.adapters = None


def merge(network: AdaptiveNetwork) -> None:
    """Put the shared pairs inside the weights, where no task's branch leaves them out."""
    config = network.adapters
    if config is None:
        return
    beside = {id(linear) for linear in _beside(network, config)}
    for linear in network.encoder.linears:
        if id(linear) not in beside:
            linear.fold()


def unmerge(network: AdaptiveNetwork) -> None:
    """Restore the weights of the base, bit for bit."""
    for linear in network.encoder.linears:
        linear.unfold()


def trainable_parameters(network: AdaptiveNetwork) -> dict[str, dict[str, nn.Parameter]]:
    """Return what is trained with the adapters, by part, of `PARTS`, and by name.

    As published: the pairs, the patch embedding, all norms, the position biases, the merging's
    reduction where it has no pair, and the decoders. The policy has its own training.
    """
    found: dict[str, dict[str, nn.Parameter]] = {part: {} for part in PARTS}
    plus = network.adapters is not None and network.adapters.merging is not None
    for name, parameter in network.named_parameters():
        part = _part_of(name)
        if part is not None and not (part == 'merging' and plus):
            found[part][name] = parameter
    return found


def freeze(network: AdaptiveNetwork) -> None:
    """Unfold, and leave gradients to what `trainable_parameters()` names only."""
    unmerge(network)
    chosen = {name for part in trainable_parameters(network).values() for name in part}
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in chosen)


def adapter_state(network: AdaptiveNetwork) -> dict[str, Tensor]:
    """Return what training the adapters changes, without the rest of the base."""
    chosen = {name for part in trainable_parameters(network).values() for name in part}
    running = {name for name, _ in network.named_buffers() if name.startswith('decoders.')}
    state = network.state_dict()
    return {name: state[name] for name in state if name in chosen | running}


def load_adapter_state(network: AdaptiveNetwork, state: Mapping[str, Tensor]) -> None:
    """Put in what `adapter_state()` gave; the network is unfolded then.

    What was there is replaced, not overwritten: the network may share it with its base.

    Raises:
        ValueError: Missing or surplus names, or another shape; nothing is changed then.

    """
    expected = adapter_state(network)
    for name in sorted(set(expected) | set(state)):
        if name not in state:
            raise ValueError(f"adapters: '{name}' is missing")
        if name not in expected:
            raise ValueError(f"adapters: '{name}' belongs to no adapter of this network")
        if state[name].shape != expected[name].shape:
            found, wanted = tuple(state[name].shape), tuple(expected[name].shape)
            raise ValueError(f"adapters: '{name}' has shape {found}, expected {wanted}")
    unmerge(network)
    own = {name: state[name].to(held, copy=True) for name, held in expected.items()}
    network.load_state_dict(own, strict=False, assign=True)


def _attach_stage(
    stage: SwinStage, config: LoraConfig, number: int, generator: torch.Generator | None
) -> None:
    rank, scale = config.shared.ranks[number], config.shared.scales[number]
    for block in stage.blocks:
        for name in config.shared_layers:
            _pair(layer_of(cast('SwinBlock', block), name), rank, scale, config, generator)
    ranks = config.branching(number)
    if ranks:
        last = cast('SwinBlock', stage.blocks[-1])
        last.branches = TaskBranches(
            last,
            config.task_layers,
            ranks,
            bare=config.form == 'matrix',
            dropout=config.dropout,
            generator=generator,
        )
    if config.merging is not None and stage.downsample is not None:
        rank, scale = config.merging.ranks[number], config.merging.scales[number]
        _pair(stage.downsample.reduction, rank, scale, config, generator)


def _pair(
    linear: LoRALinear,
    rank: int,
    scale: float,
    config: LoraConfig,
    generator: torch.Generator | None,
) -> None:
    if rank:
        sizes = linear.in_features, linear.out_features
        linear.shared = LoRALayer(*sizes, rank, scale, config.dropout, generator)


def _blocks(network: AdaptiveNetwork) -> Iterator[SwinBlock]:
    for stage in network.encoder.layers:
        yield from cast('SwinStage', stage).blocks  # type: ignore[misc]


def _beside(network: AdaptiveNetwork, config: LoraConfig) -> Iterator[LoRALinear]:
    """Yield the layers whose pair does not fold."""
    for number, stage in enumerate(network.encoder.layers):
        last = cast('SwinBlock', cast('SwinStage', stage).blocks[-1])
        for name in config.shared_layers:
            if not config.folds(name, number, last=True):
                yield layer_of(last, name)


def _part_of(name: str) -> str | None:
    """Return which part of `PARTS` a parameter belongs to; None for what stays frozen."""
    if name.startswith('decoders.'):
        return 'decoders'
    if not name.startswith('encoder.'):
        return None
    marks = {
        '.shared.': 'shared',
        '.branches.': 'task',
        'patch_embed.': 'patch_embed',
        'relative_position_bias_table': 'position_bias',
        '.norm': 'norm',
        'reduction.weight': 'merging',
    }
    return next((part for mark, part in marks.items() if mark in name), None)
