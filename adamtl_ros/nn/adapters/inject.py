# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Low-rank adapters on a whole network: inject, train, merge, remove.

Agiza, Neseem and Reda 2024, "MTLoRA", sections 3 and 4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from adamtl_ros.nn.adapters.lora import TaskLoRA, TaskSwinBlock, layer_of
from adamtl_ros.nn.layers import LoRALayer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import torch
    from torch import Tensor, nn

    from adamtl_ros.nn.adapters.lora import LoraConfig
    from adamtl_ros.nn.layers import LoRALinear
    from adamtl_ros.nn.network import AdaptiveNetwork
    from adamtl_ros.nn.swin.encoder import SwinBlock, SwinEncoder, SwinStage

PARTS = ('shared', 'task', 'norm', 'patch_embed', 'merging', 'position_bias', 'decoders')
"""Groups of parameters that are trained with adapters."""


def inject(
    network: AdaptiveNetwork, config: LoraConfig, generator: torch.Generator | None = None
) -> None:
    """Add adapters to a network that has none; its output is the same until they are trained.

    Args:
        network: Network to change, in place.
        config: Layers with adapters, and their ranks.
        generator: Random generator of the matrices A.

    Raises:
        ValueError: The network has adapters, or these do not fit it.

    """
    if network.adapters is not None:
        raise ValueError('the network has adapters already, remove them first')
    config.check(network.arch, network.tasks)
    for number, stage in enumerate(_stages(network)):
        _inject_stage(stage, config, number, generator)
    network.adapters = config
    network.encoder.train(network.encoder.training)


def remove(network: AdaptiveNetwork) -> None:
    """Remove the adapters of a network; one without any does not change."""
    unmerge(network)
    for linear in network.encoder.linears:
        linear.shared = None
    for block in _blocks(network):
        TaskSwinBlock.revert(block)
    network.adapters = None


def merge(network: AdaptiveNetwork) -> None:
    """Merge the shared pairs into the weights, but for those that task pairs bypass."""
    config = network.adapters
    if config is None:
        return
    bypassed = {id(linear) for linear in _bypassed(network, config)}
    for linear in network.encoder.linears:
        if id(linear) not in bypassed:
            linear.merge()


def unmerge(network: AdaptiveNetwork) -> None:
    """Restore the weights of the base, bit for bit."""
    for linear in network.encoder.linears:
        linear.unmerge()


def trainable_parameters(network: AdaptiveNetwork) -> dict[str, dict[str, nn.Parameter]]:
    """Return the parameters that are trained with adapters, by part, of `PARTS`, and by name.

    As published: the pairs, the patch embedding, all norms, the position biases, the merging's
    reduction where it has no pair, and the decoders. The policy is trained apart.
    """
    found: dict[str, dict[str, nn.Parameter]] = {part: {} for part in PARTS}
    merging_pairs = network.adapters is not None and network.adapters.merging is not None
    for name, parameter in network.named_parameters():
        part = _part_of(name)
        if part is not None and not (part == 'merging' and merging_pairs):
            found[part][name] = parameter
    return found


def freeze(network: AdaptiveNetwork) -> None:
    """Unmerge, and freeze all but the parameters that `trainable_parameters()` returns."""
    unmerge(network)
    chosen = {name for part in trainable_parameters(network).values() for name in part}
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in chosen)


def adapter_state(network: AdaptiveNetwork) -> dict[str, Tensor]:
    """Return the state that training with adapters changes, without the rest of the base."""
    chosen = {name for part in trainable_parameters(network).values() for name in part}
    running = {name for name, _ in network.named_buffers() if name.startswith('decoders.')}
    state = network.state_dict()
    return {name: state[name] for name in state if name in chosen | running}


def load_adapter_state(network: AdaptiveNetwork, state: Mapping[str, Tensor]) -> None:
    """Load the state that `adapter_state()` returned; the network is unmerged then.

    Tensors are replaced, not overwritten: the network may share them with its base.

    Raises:
        ValueError: A missing or unexpected name, or another shape; nothing is changed then.

    """
    expected = adapter_state(network)
    for name in sorted(set(expected) | set(state)):
        if name not in state:
            raise ValueError(f"adapters: '{name}' is missing")
        if name not in expected:
            raise ValueError(f"adapters: '{name}' belongs to no adapter of this network")
        if state[name].shape != expected[name].shape:
            shapes = f'{tuple(state[name].shape)}, expected {tuple(expected[name].shape)}'
            raise ValueError(f"adapters: '{name}' has shape {shapes}")
    unmerge(network)
    tensors = {name: state[name].to(old, copy=True) for name, old in expected.items()}
    network.load_state_dict(tensors, strict=False, assign=True)


def _inject_stage(
    stage: SwinStage, config: LoraConfig, number: int, generator: torch.Generator | None
) -> None:
    rank, scale = config.shared.ranks[number], config.shared.scales[number]
    for block in stage.blocks:
        for name in config.shared_layers:
            _add_pair(layer_of(cast('SwinBlock', block), name), rank, scale, config, generator)
    ranks = config.task_ranks(number)
    if ranks:
        last = cast('SwinBlock', stage.blocks[-1])
        branches = TaskLoRA(
            last,
            config.task_layers,
            ranks,
            bypass=config.form == 'matrix',
            dropout=config.dropout,
            generator=generator,
        )
        TaskSwinBlock.convert(last, branches)
    if config.merging is not None and stage.downsample is not None:
        rank, scale = config.merging.ranks[number], config.merging.scales[number]
        _add_pair(stage.downsample.reduction, rank, scale, config, generator)


def _add_pair(
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
    for stage in _stages(network):
        yield from stage.blocks  # type: ignore[misc]


def _stages(network: AdaptiveNetwork) -> list[SwinStage]:
    """Return the stages of a network whose encoder `LoraConfig.check()` has accepted."""
    return list(cast('SwinEncoder', network.encoder).layers)  # type: ignore[arg-type]


def _bypassed(network: AdaptiveNetwork, config: LoraConfig) -> Iterator[LoRALinear]:
    """Yield the layers whose pair cannot be merged."""
    for number, stage in enumerate(_stages(network)):
        last = cast('SwinBlock', stage.blocks[-1])
        for name in config.shared_layers:
            if not config.can_merge(name, number, last=True):
                yield layer_of(last, name)


def _part_of(name: str) -> str | None:
    """Return the part, of `PARTS`, that a parameter belongs to; None if it stays frozen."""
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
