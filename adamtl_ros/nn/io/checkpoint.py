# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Networks as files: safetensors with a JSON header that says what the weights are."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from adamtl_ros.nn.adapters.config import LoraConfig
from adamtl_ros.nn.adapters.inject import inject, merge
from adamtl_ros.nn.gating.calibration import Calibration
from adamtl_ros.nn.gating.policy import PolicyConfig
from adamtl_ros.nn.network import AdaptiveNetwork, random_network
from adamtl_ros.nn.swin.architecture import ARCHITECTURES, Architecture
from adamtl_ros.tasks import TASKS, Task

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 2
HEADER_KEY = 'adamtl'
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class CheckpointError(ValueError):
    """A file that is missing, damaged or of another network."""


@dataclass
class Model:
    """A network and what is needed to use it.

    Attributes:
        network: The network, in evaluation mode.
        name: For people: the architecture's name, or the file's.
        mean: Subtracted from RGB values in 0..1.
        std: Divides them afterwards.
        trained: False for random weights, whose predictions mean nothing.
        notes: Anything else worth keeping: recipe, data, seed, metrics.

    """

    network: AdaptiveNetwork
    name: str
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    trained: bool = False
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width that the network is meant for."""
        return self.network.arch.input_size


def load_model(source: str, seed: int = 0) -> Model:
    """Load weights that ship with the package, or a file; or draw random ones.

    Args:
        source: Name of shipped weights, path of a `.safetensors` file, or the name of an
            architecture for random weights.
        seed: Seed of random weights.

    Raises:
        CheckpointError: Neither a file nor a name; or the file cannot be used.

    """
    if source in (shipped := shipped_weights()):
        return read_model(shipped[source])
    if source in ARCHITECTURES:
        return Model(random_network(source, seed), f'{source} (random weights)')
    if not Path(source).is_file():
        random, trained = ', '.join(ARCHITECTURES), ', '.join(shipped)
        raise CheckpointError(
            f"model '{source}': no such file; give the path of a .safetensors file, {trained}, "
            f'or for random weights one of: {random}'
        )
    return read_model(Path(source))


def shipped_weights() -> dict[str, Path]:
    """Return the files of weights that come with the package, by name."""
    folder = Path(__file__).parents[2] / 'weights'
    return {path.stem: path for path in sorted(folder.glob('*.safetensors'))}


def find_file(source: str) -> Path | None:
    """Return the file that `load_model()` reads; None where it draws random weights."""
    path = shipped_weights().get(source, Path(source))
    return path if path.is_file() else None


def save_model(model: Model, path: Path) -> None:
    """Write a model to one `.safetensors` file; adapters apart from what they are folded into."""
    network = model.network
    header = {
        'format': FORMAT,
        'architecture': network.arch.to_dict(),
        'policy': network.policy.config.to_dict(),
        'adapters': network.adapters.to_dict() if network.adapters else None,
        'calibration': network.calibration.to_dict() if network.calibration else None,
        'tasks': {name: list(task.classes) for name, task in network.tasks.items()},
        'mean': model.mean,
        'std': model.std,
        'trained': model.trained,
        'notes': model.notes,
    }
    tensors = {key: value.contiguous() for key, value in network.state_dict().items()}
    path.write_bytes(save(tensors, {HEADER_KEY: json.dumps(header)}))  # by the umask, not 0600


def read_model(path: Path) -> Model:
    """Read a model that `save_model()` wrote; its adapters are folded where they can be.

    Raises:
        CheckpointError: Not such a file, damaged, or its weights do not fit its header.

    """
    header, tensors = _read(path)
    try:
        model = _from_header(header, path.stem)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        reason = f'{type(error).__name__}: {error}'
        raise CheckpointError(f'{path}: unusable header: {reason}') from error
    _fill(model.network, tensors, path)
    return model


def _from_header(header: dict[str, Any], name: str) -> Model:
    """Build the model that a header describes, its weights still to be filled in."""
    arch = Architecture.from_dict(header['architecture'])
    tasks = {name: _task(name, classes) for name, classes in header['tasks'].items()}
    mean, std = (tuple(float(value) for value in header[key]) for key in ('mean', 'std'))
    if len(mean) != 3 or len(std) != 3 or not min(std) > 0:
        raise ValueError(f'mean {mean} and std {std} must be three numbers each, std positive')
    network = AdaptiveNetwork(arch, tasks, PolicyConfig.from_dict(header['policy'])).eval()
    if header.get('adapters') is not None:  # files from before there were any lack the entry
        inject(network, LoraConfig.from_dict(header['adapters']))
    if header['calibration'] is not None:
        network.calibration = Calibration.from_dict(header['calibration'])
    return Model(network, name, mean, std, bool(header['trained']), dict(header['notes']))


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, 'pt') as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f'{path}: not a whole safetensors file: {error}') from error
    if HEADER_KEY not in metadata:
        raise CheckpointError(f"{path}: has no '{HEADER_KEY}' header, so it is not one of ours")
    try:
        header = json.loads(metadata[HEADER_KEY])
    except json.JSONDecodeError as error:
        raise CheckpointError(f'{path}: unusable header: {error}') from error
    found = header.get('format') if isinstance(header, dict) else None
    if found != FORMAT:
        raise CheckpointError(f'{path}: format {found}, this version reads {FORMAT}')
    return header, tensors


def _task(name: str, classes: list[str]) -> Task:
    if name not in TASKS:
        raise ValueError(f"unknown task '{name}', known are: {', '.join(TASKS)}")
    return TASKS[name].with_classes(classes)


def _fill(network: AdaptiveNetwork, tensors: dict[str, Tensor], path: Path) -> None:
    """Load weights into the network, naming the first key that does not fit."""
    expected = network.state_dict()
    for key, value in expected.items():
        if key not in tensors:
            raise CheckpointError(
                f"{path}: '{key}' is missing, expected shape {tuple(value.shape)}"
            )
        if tensors[key].shape != value.shape:
            found, wanted = tuple(tensors[key].shape), tuple(value.shape)
            raise CheckpointError(f"{path}: '{key}' has shape {found}, expected {wanted}")
    surplus = sorted(set(tensors) - set(expected))
    if surplus:
        raise CheckpointError(f"{path}: '{surplus[0]}' belongs to no part of the network")
    network.load_state_dict(tensors)
    merge(network)
