# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Weights of others: `.pth` files, and those of Microsoft's Swin repository on ImageNet."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from adamtl_ros.nn.checkpoint import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path

    from adamtl_ros.nn.swin import SwinEncoder

WRAPPERS = ('model', 'state_dict')
"""Keys under which training scripts put the weights beside other things."""

DERIVED = ('attn_mask', 'relative_position_index')
"""Ends of the names of what an encoder computes itself."""


class _Settings:
    """What stands for the yacs settings of a training script: a plain dictionary.

    Scripts that descend from Swin's save them beside the weights. No code of that package, or
    of the file, runs.
    """

    def __new__(cls) -> OrderedDict[str, object]:  # type: ignore[misc]
        return OrderedDict()


_Settings.__module__, _Settings.__qualname__ = 'yacs.config', 'CfgNode'
torch.serialization.add_safe_globals([_Settings])


def read_pth(path: Path) -> dict[str, Tensor]:
    """Read the weights of a `.pth` file, without running code that it may hold.

    Args:
        path: A file of `torch.save`: the weights by name, or a dictionary that holds them as
            'model' or 'state_dict'.

    Raises:
        CheckpointError: A missing or damaged file, one that holds other objects than tensors
            and plain values, or no weights.

    """
    try:
        content = torch.load(path, map_location='cpu', weights_only=True)
    except OSError as error:
        raise CheckpointError(f'{path}: cannot be read: {error}') from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(
            f'{path}: not a whole file of weights alone ({reason}); save its weights only'
        ) from error
    for key in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    weights = content if isinstance(content, dict) else {}
    weights = {key: value for key, value in weights.items() if isinstance(value, Tensor)}
    if not weights:
        raise CheckpointError(f"{path}: holds no weights, nor does 'model' or 'state_dict' in it")
    return weights


def load_swin(encoder: SwinEncoder, path: Path) -> None:
    """Load an official ImageNet file into an encoder of the same size.

    The classifier, attention masks and index tables of the file are not needed. The norms of
    the first three stages are not in it and stay as they are.

    Args:
        encoder: The encoder; nothing of it changes if the file does not fit.
        path: A file as Microsoft's repository saves them.

    Raises:
        CheckpointError: The file cannot be read, or its weights do not fit: the first key that
            is missing, surplus or of another shape is named.

    """
    weights = _encoder_weights(read_pth(path))
    expected = encoder.state_dict()
    last = len(encoder.norms) - 1
    ours = tuple(f'norms.{stage}.' for stage in range(last))
    for key, value in expected.items():
        if key.startswith(ours):
            continue
        name = key.replace(f'norms.{last}.', 'norm.')
        if name not in weights:
            raise CheckpointError(f"{path}: '{name}' is missing, expected {tuple(value.shape)}")
        found = weights.pop(name)
        if found.shape != value.shape:
            shapes = f'{tuple(found.shape)}, expected {tuple(value.shape)}'
            raise CheckpointError(f"{path}: '{name}' has shape {shapes}")
        expected[key] = found
    if weights:
        raise CheckpointError(f"{path}: '{min(weights)}' belongs to no part of the encoder")
    encoder.load_state_dict(expected)


def _encoder_weights(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Leave out what an encoder computes itself or does not have."""
    return {
        key: value
        for key, value in weights.items()
        if not key.startswith('head.') and not key.endswith(DERIVED)
    }
