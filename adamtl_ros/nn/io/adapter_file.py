# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A model, with the adapters that it is to have."""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save

from adamtl_ros.nn.adapters.config import LoraConfig
from adamtl_ros.nn.adapters.inject import adapter_state, inject, load_adapter_state, merge
from adamtl_ros.nn.gating.calibration import Calibration
from adamtl_ros.nn.io.checkpoint import CheckpointError, Model, load_model
from adamtl_ros.nn.network import AdaptiveNetwork

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

FORMAT = 1
HEADER_KEY = 'adamtl_adapter'
CALIBRATION, POLICY = 'calibration', 'policy.'
OWN = ('.shared.', '.branches.')
"""Marks in the names of what adapters add to a network."""
ROUNDING = 1e-3
"""Of the largest weight of a tensor; one that 16 bits would change by more keeps 32."""


@dataclass(frozen=True)
class AdapterHeader:
    """What a file of adapters says of itself.

    Attributes:
        base: `base_digest()` of the network that the adapters belong to.
        base_name: Its name, for people.
        config: Where the adapters are, and of what rank.
        tasks: Classes by task.
        notes: Anything else worth keeping.

    """

    base: str
    base_name: str
    config: LoraConfig
    tasks: dict[str, list[str]]
    notes: dict[str, Any]


def base_digest(network: AdaptiveNetwork) -> str:
    """Return the SHA-256 of a network's weights without adapters, folded or not, as hex.

    It covers names, shapes, types and values, and not what the file is called.
    """
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        if not any(mark in name for mark in OWN):
            digest.update(f'{name} {tuple(value.shape)} {value.dtype}\n'.encode())
            flat = value.detach().cpu().contiguous().reshape(-1)
            digest.update(flat.view(torch.uint8).numpy())
    return digest.hexdigest()


def save_adapter(
    model: Model,
    base: str,
    path: Path,
    notes: dict[str, Any] | None = None,
    *,
    policy: bool = False,
) -> None:
    """Write the adapters of a model, and what is trained with them, without the rest.

    Weights take 16 bits where that changes them little, so calibrate after reading them back
    where a threshold must hold to the last digit.

    Args:
        model: Its network has adapters, folded or not; its calibration is written, too.
        base: `base_digest()` of the network before it was adapted.
        path: File to write.
        notes: Recipe, data, metrics.
        policy: Write the policy, too; else that of the base is used.

    Raises:
        ValueError: The network has no adapters.

    """
    network = model.network
    if network.adapters is None:
        raise ValueError(f"'{model.name}' has no adapters to save, attach them first")
    header = {
        'format': FORMAT,
        'base': base,
        'base_name': model.name,
        'adapters': network.adapters.to_dict(),
        'tasks': {name: list(task.classes) for name, task in network.tasks.items()},
        'notes': notes or {},
    }
    state = adapter_state(network)
    if policy:
        state |= {f'{POLICY}{key}': value for key, value in network.policy.state_dict().items()}
    tensors = {name: _narrow(value) for name, value in state.items()}
    if network.calibration is not None:
        tensors[CALIBRATION] = _packed(network.calibration)
    path.write_bytes(save(tensors, {HEADER_KEY: json.dumps(header)}))  # by the umask, not 0600


def read_header(path: Path) -> AdapterHeader:
    """Read what a file of adapters says of itself; quick, no weights are read.

    Raises:
        CheckpointError: A missing or damaged file, or one of something else.

    """
    return _read(path, weights=False)[0]


def check_base(header: AdapterHeader, base: Model, digest: str, path: Path) -> None:
    """Check that adapters belong to a model.

    Args:
        header: Of the file of the adapters.
        base: The model.
        digest: `base_digest()` of its network.
        path: The file, for the message.

    Raises:
        CheckpointError: They belong to another one, or the model has adapters already.

    """
    if base.network.adapters is not None:
        raise CheckpointError(f"{path}: model '{base.name}' has adapters; give one without any")
    if header.base != digest:
        raise CheckpointError(
            f"{path}: made for the base '{header.base_name}' (SHA-256 {header.base}), but the "
            f"model is '{base.name}' ({digest}); load that base, or adapt this model anew"
        )
    classes = {name: list(task.classes) for name, task in base.network.tasks.items()}
    if header.tasks != classes:
        raise CheckpointError(
            f"{path}: tasks and classes {header.tasks} are not those of '{base.name}', {classes}"
        )


def load_adapted(base: Model, path: Path, digest: str = '') -> Model:
    """Return a new model: the base with the adapters of a file, folded where they can be.

    Args:
        base: The model that they belong to; it stays as it is, and may run meanwhile. The new
            one shares the weights with it that adapters leave alone, so no training of either.
        path: File of `save_adapter()`.
        digest: `base_digest()` of the base where it is known already.

    Raises:
        CheckpointError: A missing or damaged file, or adapters of another base.

    """
    header, tensors = _read(path, weights=True)
    check_base(header, base, digest or base_digest(base.network), path)
    network = _sharing(base.network)
    try:
        inject(network, header.config)
        network.to(next(base.network.parameters()).device)
        _fill(network, tensors)
        merge(network)
    except (KeyError, RuntimeError, TypeError, ValueError, zlib.error) as error:
        raise CheckpointError(f'{path}: {error}') from error
    name = f'{base.name}+{path.stem.removesuffix(".adapter")}'
    notes = {**base.notes, 'adapter': header.notes}
    return Model(network, name, base.mean, base.std, base.trained, notes)


def _sharing(network: AdaptiveNetwork) -> AdaptiveNetwork:
    """Return a network with the same weights, in the same memory, still without a calibration.

    A deep copy would also copy what a running network keeps between frames, and change places
    with the thread that writes it.
    """
    made = AdaptiveNetwork(network.arch, network.tasks, network.policy.config).eval()
    made.load_state_dict(network.state_dict(), assign=True)
    return made


def _fill(network: AdaptiveNetwork, tensors: dict[str, Tensor]) -> None:
    packed = tensors.pop(CALIBRATION, None)
    policy = {name: value for name, value in tensors.items() if name.startswith(POLICY)}
    load_adapter_state(network, {name: v for name, v in tensors.items() if name not in policy})
    if policy:
        held = network.policy.state_dict()
        own = {name.removeprefix(POLICY): value for name, value in policy.items()}
        network.policy.load_state_dict(
            {name: value.to(held.get(name, value)) for name, value in own.items()}, assign=True
        )
    if packed is not None:
        text = zlib.decompress(packed.numpy().tobytes())
        network.calibration = Calibration.from_dict(json.loads(text))


def _read(path: Path, *, weights: bool) -> tuple[AdapterHeader, dict[str, Tensor]]:
    if not path.is_file():
        raise CheckpointError(f"adapter '{path}': no such file; give the path of a .safetensors")
    try:
        with safe_open(path, 'pt') as file:
            text = (file.metadata() or {}).get(HEADER_KEY)
        # Not by get_tensor(), which loses some 60 bytes each time: 20 kB a swap.
        tensors = load(path.read_bytes()) if weights else {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f'{path}: not a whole safetensors file: {error}') from error
    if text is None:
        raise CheckpointError(f"{path}: has no '{HEADER_KEY}' header, so it holds no adapters")
    try:
        return _header(json.loads(text)), tensors
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = f'{type(error).__name__}: {error}'
        raise CheckpointError(f'{path}: unusable header: {reason}') from error


def _header(values: dict[str, Any]) -> AdapterHeader:
    if values['format'] != FORMAT:
        raise ValueError(f'format {values["format"]}, this version reads {FORMAT}')
    config = LoraConfig.from_dict(values['adapters'])
    tasks = {str(name): list(classes) for name, classes in values['tasks'].items()}
    return AdapterHeader(
        str(values['base']), str(values['base_name']), config, tasks, dict(values['notes'])
    )


def _narrow(value: Tensor) -> Tensor:
    """Return a tensor in half precision, where that is good enough."""
    value = value.detach().cpu().contiguous()
    if not value.is_floating_point() or not value.numel():
        return value
    half = value.half()  # more digits than bfloat16, and weights need none of its range
    error = (half.float() - value).abs().max()
    return half if error <= ROUNDING * value.abs().max() else value


def _packed(calibration: Calibration) -> Tensor:
    """Return a calibration as bytes; as text it would be as long as a quarter of the weights."""
    text = json.dumps(calibration.to_dict()).encode()
    return torch.frombuffer(bytearray(zlib.compress(text, 9)), dtype=torch.uint8)


def open_model(source: str, adapter: Path | None = None) -> Model:
    """Load a model by name or file, and adapters for it from another one.

    Args:
        source: As `load_model()` takes it.
        adapter: File that `save_adapter()` wrote; none if not given.

    Raises:
        CheckpointError: A file that cannot be used, or adapters of another model.

    """
    model = load_model(source)
    return load_adapted(model, adapter) if adapter else model
