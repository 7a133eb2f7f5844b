# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Models and adapters as files: safetensors with a JSON header that describes the weights.

A model file holds a whole network, an adapter file what training with adapters changes. Headers
have a format number:

    model    1    before there were gates; no longer read
             2    architecture, policy, calibration, tasks, mean, std, trained, notes; and since
                  there are adapters, 'adapters', which may be missing; and since depth
                  follows the lens, 'focal', which may be missing
    adapter  1    base (digest of its weights), base_name, adapters, tasks, notes
"""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save

from adamtl_ros.files import file_problem, is_regular, write_file
from adamtl_ros.focal import check_focal
from adamtl_ros.nn.adapters.inject import adapter_state, inject, load_adapter_state, merge
from adamtl_ros.nn.adapters.lora import LoraConfig
from adamtl_ros.nn.architecture import ARCHITECTURES, Architecture
from adamtl_ros.nn.gating.calibration import Calibration
from adamtl_ros.nn.gating.policy import PolicyConfig
from adamtl_ros.nn.network import AdaptiveNetwork, random_network
from adamtl_ros.tasks import TASKS, Task
from adamtl_ros.text import one_line, quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

DEFAULT_WEIGHTS = 'indoor_lite0'
"""Name of the weights that are used if none are named."""
MODEL_FORMAT, ADAPTER_FORMAT = 2, 1
MODEL_KEY, ADAPTER_KEY = 'adamtl', 'adamtl_adapter'
"""Keys of the headers in the metadata of a file."""
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CALIBRATION, POLICY = 'calibration', 'policy.'
"""Name and prefix in an adapter file of what is not from `adapter_state()`."""
ADAPTER_MARKS = ('.shared.', '.branches.')
"""Marks in the names of parameters that adapters add to a network."""
ROUNDING = 1e-3
"""Largest rounding error of 16 bits, relative to a tensor's largest value; else it keeps 32."""
MAX_HEADER, MAX_CALIBRATION = 16 << 20, 4 << 20
"""Largest number of characters of a header and of a calibration; those of this package have
30,000 and 150,000."""
NAME_LIMIT = 80
"""Largest number of characters of a name or a digest."""
MAX_FILE = 4 << 30
"""Largest file that is read [bytes]."""


class CheckpointError(ValueError):
    """A file that is missing, damaged or of another network."""


@dataclass
class Model:
    """A network and what is needed to use it.

    Attributes:
        network: Network, in evaluation mode.
        name: Human-readable name: that of the architecture or of the file.
        mean: Mean that is subtracted from RGB values in 0..1.
        std: Standard deviation that divides them afterwards.
        trained: Whether the weights are trained; predictions of random ones mean nothing.
        notes: Further information: recipe, data, seed, metrics.
        focal: Canonical relative focal length (see `adamtl_ros.focal`): the depth map is that of
            a camera of this focal length. None if the model does not know of lenses.

    """

    network: AdaptiveNetwork
    name: str
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    trained: bool = False
    notes: dict[str, Any] = field(default_factory=dict)
    focal: float | None = None

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width that the network is meant for, in pixels."""
        return self.network.arch.input_size


def load_model(
    source: str | None = None, adapter: Path | str | None = None, *, seed: int = 0
) -> Model:
    """Load weights by name or file, or create random ones; with adapters if given.

    Args:
        source: Name of shipped weights, path of a `.safetensors` file, or name of an
            architecture for random weights; `DEFAULT_WEIGHTS` by default.
        adapter: Path of an adapter file for these weights; none by default.
        seed: Seed of random weights.

    Raises:
        CheckpointError: Neither a file nor a name; a file that cannot be used; or adapters of
            another model.

    Examples:
        >>> model = load_model()
        >>> model.name, model.input_size
        ('indoor_lite0', (192, 256))

    """
    model = _load_base(DEFAULT_WEIGHTS if source is None else source, seed)
    return load_adapted(model, Path(adapter)) if adapter else model


def _load_base(source: str, seed: int) -> Model:
    if source in (shipped := shipped_weights()):
        return read_model(shipped[source])
    if source in ARCHITECTURES:
        return Model(random_network(source, seed), f'{source} (random weights)')
    if problem := file_problem(Path(source)):
        random, trained = ', '.join(ARCHITECTURES), ', '.join(shipped)
        raise CheckpointError(
            f"model '{source}': {problem}; give the path of a .safetensors file, {trained}, "
            f'or for random weights one of: {random}'
        )
    return read_model(Path(source))


def shipped_weights() -> dict[str, Path]:
    """Return the weight files that come with the package, by name."""
    folder = Path(__file__).parents[2] / 'weights'
    return {path.stem: path for path in sorted(folder.glob('*.safetensors'))}


def model_file(source: str) -> Path | None:
    """Return the file that `load_model()` reads; None if it creates random weights."""
    path = shipped_weights().get(source, Path(source))
    return path if is_regular(path) else None


def check_sha256(source: str, expected: str) -> None:
    """Check that the file of a model is the one that is meant.

    Args:
        source: Name or path of the model.
        expected: SHA-256 of its file, as hex.

    Raises:
        CheckpointError: Another file, or a source without one.

    """
    path = model_file(source)
    if path is None:
        raise CheckpointError(f"model '{source}' is no file, so it has no SHA-256; leave it empty")
    with path.open('rb') as file:
        found = hashlib.file_digest(file, 'sha256').hexdigest()
    if found != expected.strip().lower():
        raise CheckpointError(
            f"model '{source}' has the SHA-256 {found}, expected was {quote(expected)}; get the "
            'file again, or change model_sha256'
        )


# Model files


def save_model(model: Model, path: Path, *, half: bool = False) -> None:
    """Write a model to one `.safetensors` file; adapters are stored unmerged.

    Args:
        model: Model to write.
        path: File to write.
        half: Store weights in 16 bits where that changes them by at most a thousandth of a
            tensor's largest value. They are read as 32 bits.

    """
    network = model.network
    header = {
        'format': MODEL_FORMAT,
        'architecture': network.arch.to_dict(),
        'policy': network.policy.config.to_dict(),
        'adapters': network.adapters.to_dict() if network.adapters else None,
        'calibration': network.calibration.to_dict() if network.calibration else None,
        'tasks': {name: list(task.classes) for name, task in network.tasks.items()},
        'mean': model.mean,
        'std': model.std,
        'trained': model.trained,
        'notes': model.notes,
        'focal': check_focal(model.focal),
    }
    tensors = {key: value.contiguous() for key, value in network.state_dict().items()}
    if half:
        tensors = {key: _to_half(value) for key, value in tensors.items()}
    write_file(path, save(tensors, {MODEL_KEY: json.dumps(header)}))


def read_model(path: Path) -> Model:
    """Read a model that `save_model()` wrote; its adapters are merged where they can be.

    Raises:
        CheckpointError: A file that is no model, damaged, or whose weights do not fit its header.

    """
    with _sentences(path):
        header, tensors = _read_model_file(path)
        try:
            model = _from_header(header, one_line(path.stem, NAME_LIMIT), _count(tensors))
        except Exception as error:
            raise _unusable_header(path, error) from error
        _check_finite(tensors, path)
        _load_weights(model.network, tensors, path)
        return model


@contextmanager
def _sentences(path: Path) -> Iterator[None]:
    """Turn every failure of a block into a `CheckpointError`: a file may hold anything."""
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:
        what = type(error).__name__
        raise CheckpointError(one_line(f'{path}: {what}: {error}')) from error


def _count(tensors: Mapping[str, Tensor]) -> int:
    return sum(value.numel() for value in tensors.values())


def _check_finite(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Refuse weights that are not finite: one of them makes every result meaningless."""
    for name, value in tensors.items():
        if value.is_floating_point() and not value.is_meta and not torch.isfinite(value).all():
            raise CheckpointError(f'{path}: {quote(name)} has values that are not finite')


def _read_model_file(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    _check_file(path, f'{path}')
    try:
        with safe_open(path, 'pt') as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error
    if MODEL_KEY not in metadata:
        raise CheckpointError(f"{path}: has no '{MODEL_KEY}' header, so it holds no model")
    header = _parse_header(metadata[MODEL_KEY], path)
    found = header.get('format') if isinstance(header, dict) else None
    if found != MODEL_FORMAT:
        raise CheckpointError(f'{path}: format {quote(found)}, this version reads {MODEL_FORMAT}')
    return header, tensors


def _check_file(path: Path, name: str) -> None:
    """Refuse what is no file, or is too large to be read into memory."""
    if problem := file_problem(path):
        raise CheckpointError(f'{name}: {problem}; give the path of a .safetensors')
    if (size := path.stat().st_size) > MAX_FILE:
        raise CheckpointError(f'{name}: {size} bytes, at most {MAX_FILE} are read')


def _damaged(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f'{path}: not a complete safetensors file: {one_line(error)}')


def _parse_header(text: str, path: Path) -> Any:
    if len(text) > MAX_HEADER:
        raise CheckpointError(
            f'{path}: a header of {len(text)} characters, at most {MAX_HEADER} are read'
        )
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _unusable_header(path, error) from error


def _from_header(header: dict[str, Any], name: str, weights: int) -> Model:
    """Create the model that a header describes, without its weights.

    Args:
        header: Header of the file.
        name: Name of the model.
        weights: Number of weights in the file: nothing is built that has more.

    """
    arch = Architecture.from_dict(header['architecture'])
    _check_count(arch.fewest_weights, weights)
    tasks = {name: _task(name, classes) for name, classes in header['tasks'].items()}
    mean, std = (tuple(float(value) for value in header[key]) for key in ('mean', 'std'))
    finite = all(map(math.isfinite, (*mean, *std)))
    if len(mean) != 3 or len(std) != 3 or not finite or not min(std) > 0:
        raise ValueError(
            f'mean {quote(mean)} and std {quote(std)} must be three numbers each, std positive'
        )
    network = AdaptiveNetwork(arch, tasks, PolicyConfig.from_dict(header['policy'])).eval()
    if header.get('adapters') is not None:  # missing in files from before there were adapters
        config = LoraConfig.from_dict(header['adapters'])
        config.check(arch, tasks)
        _check_count(config.fewest_weights(arch), weights)
        inject(network, config)
    if header['calibration'] is not None:
        network.calibration = Calibration.from_dict(header['calibration'])
    focal = header.get('focal')  # missing in files from before depth followed the lens
    focal = check_focal(None if focal is None else float(focal))
    return Model(network, name, mean, std, bool(header['trained']), dict(header['notes']), focal)


def _check_count(described: int, stored: int) -> None:
    if described > stored:
        raise ValueError(f'describes {described} weights or more, but the file holds {stored}')


def _task(name: str, classes: list[str]) -> Task:
    if name not in TASKS:
        raise ValueError(f"unknown task '{name}', known are: {', '.join(TASKS)}")
    return TASKS[name].with_classes(classes)


def _load_weights(network: AdaptiveNetwork, tensors: dict[str, Tensor], path: Path) -> None:
    """Load weights into a network, or name the first key that does not fit."""
    expected = network.state_dict()
    for key, value in expected.items():
        if key not in tensors:
            raise CheckpointError(
                f"{path}: '{key}' is missing, expected shape {tuple(value.shape)}"
            )
        if tensors[key].shape != value.shape:
            shapes = f'{tuple(tensors[key].shape)}, expected {tuple(value.shape)}'
            raise CheckpointError(f"{path}: '{key}' has shape {shapes}")
    surplus = sorted(set(tensors) - set(expected))
    if surplus:
        raise CheckpointError(f"{path}: '{surplus[0]}' belongs to no part of the network")
    network.load_state_dict(tensors)
    merge(network)


def _unusable_header(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f'{path}: unusable header: {type(error).__name__}: {one_line(error)}')


# Adapter files


@dataclass(frozen=True)
class AdapterHeader:
    """Header of an adapter file.

    Attributes:
        base: `base_digest()` of the network that the adapters belong to.
        base_name: Human-readable name of that network.
        config: Layers with adapters, and their ranks.
        tasks: Classes of each task.
        notes: Further information: recipe, data, metrics.

    """

    base: str
    base_name: str
    config: LoraConfig
    tasks: dict[str, list[str]]
    notes: dict[str, Any]


def base_digest(network: AdaptiveNetwork) -> str:
    """Return the SHA-256 of a network's weights without adapters, merged or not, as hex.

    It covers names, shapes, types and values, but not the name of the file.
    """
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        if not any(mark in name for mark in ADAPTER_MARKS):
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

    Weights are stored in 16 bits where that changes them little, so calibrate after reading
    them back if a threshold must hold to the last digit.

    Args:
        model: Model with adapters, merged or not; its calibration is written, too.
        base: `base_digest()` of the network before it was adapted.
        path: File to write.
        notes: Further information: recipe, data, metrics.
        policy: Whether to write the policy, too; otherwise that of the base is used.

    Raises:
        ValueError: The network has no adapters.

    """
    network = model.network
    if network.adapters is None:
        raise ValueError(f"'{model.name}' has no adapters to save, inject them first")
    header = {
        'format': ADAPTER_FORMAT,
        'base': base,
        'base_name': model.name,
        'adapters': network.adapters.to_dict(),
        'tasks': {name: list(task.classes) for name, task in network.tasks.items()},
        'notes': notes or {},
    }
    state = adapter_state(network)
    if policy:
        state |= {f'{POLICY}{key}': value for key, value in network.policy.state_dict().items()}
    tensors = {name: _to_half(value) for name, value in state.items()}
    if network.calibration is not None:
        tensors[CALIBRATION] = _compress(network.calibration)
    write_file(path, save(tensors, {ADAPTER_KEY: json.dumps(header)}))


def read_adapter_header(path: Path) -> AdapterHeader:
    """Read the header of an adapter file, without its weights.

    Raises:
        CheckpointError: A missing or damaged file, or one of something else.

    """
    with _sentences(path):
        return _read_adapter_file(path, weights=False)[0]


def check_base(header: AdapterHeader, base: Model, digest: str, path: Path) -> None:
    """Check that adapters belong to a model.

    Args:
        header: Header of the adapter file.
        base: Model without adapters.
        digest: `base_digest()` of its network.
        path: Adapter file, for the message.

    Raises:
        CheckpointError: They belong to another one, or the model has adapters already.

    """
    if base.network.adapters is not None:
        raise CheckpointError(f"{path}: model '{base.name}' has adapters; give one without any")
    if header.base != digest:
        raise CheckpointError(
            f'{path}: made for the base {quote(header.base_name)} (SHA-256 {header.base}), but the '
            f"model is '{base.name}' ({digest}); load that base, or adapt this model again"
        )
    classes = {name: list(task.classes) for name, task in base.network.tasks.items()}
    if header.tasks != classes:
        raise CheckpointError(
            f'{path}: tasks and classes {quote(header.tasks)} are not those of '
            f"'{base.name}', {quote(classes)}"
        )


def load_adapted(base: Model, path: Path, digest: str = '') -> Model:
    """Return a new model: the base with the adapters of a file, merged where they can be.

    Args:
        base: Model that the adapters belong to; it does not change and may run meanwhile. The
            new model shares the weights with it that adapters do not change, so train neither.
        path: File that `save_adapter()` wrote.
        digest: `base_digest()` of the base, if known; computed otherwise.

    Raises:
        CheckpointError: A missing or damaged file, or adapters of another base.

    """
    with _sentences(path):
        header, tensors = _read_adapter_file(path, weights=True)
        check_base(header, base, digest or base_digest(base.network), path)
        _check_finite(tensors, path)
        header.config.check(base.network.arch, base.network.tasks)
        _check_count(header.config.fewest_weights(base.network.arch), _count(tensors))
        network = _share_weights(base.network)
        inject(network, header.config)
        network.to(next(base.network.parameters()).device)
        _load_adapter_weights(network, tensors)
        merge(network)
        _check_finite(network.state_dict(), path)  # a sum of finite weights may overflow
    name = f'{base.name}+{one_line(path.stem.removesuffix(".adapter"), NAME_LIMIT)}'
    notes = {**base.notes, 'adapter': header.notes}
    return Model(network, name, base.mean, base.std, base.trained, notes, base.focal)


def _share_weights(network: AdaptiveNetwork) -> AdaptiveNetwork:
    """Return a network with the same weights, in the same memory, without a calibration.

    A deep copy would also copy the caches of a running network, while its thread writes them.
    """
    made = AdaptiveNetwork(network.arch, network.tasks, network.policy.config).eval()
    made.load_state_dict(network.state_dict(), assign=True)
    return made


def _load_adapter_weights(network: AdaptiveNetwork, tensors: dict[str, Tensor]) -> None:
    calibration = tensors.pop(CALIBRATION, None)
    policy = {name: value for name, value in tensors.items() if name.startswith(POLICY)}
    load_adapter_state(network, {name: v for name, v in tensors.items() if name not in policy})
    if policy:
        old = network.policy.state_dict()
        new = {name.removeprefix(POLICY): value for name, value in policy.items()}
        network.policy.load_state_dict(
            {name: value.to(old.get(name, value)) for name, value in new.items()}, assign=True
        )
    if calibration is not None:
        network.calibration = Calibration.from_dict(json.loads(_decompress(calibration)))


def _decompress(calibration: Tensor) -> bytes:
    """Return what `_compress()` was given; a few kB may stand for gigabytes, and are refused."""
    reader = zlib.decompressobj()
    text = reader.decompress(calibration.numpy().tobytes(), MAX_CALIBRATION)
    if not reader.eof:
        raise ValueError(
            f'error while decompressing the calibration: cut off, or more than {MAX_CALIBRATION} '
            'bytes'
        )
    return text


def _read_adapter_file(path: Path, *, weights: bool) -> tuple[AdapterHeader, dict[str, Tensor]]:
    _check_file(path, f"adapter '{path}'")
    try:
        with safe_open(path, 'pt') as file:
            text = (file.metadata() or {}).get(ADAPTER_KEY)
        # Not by get_tensor(), which leaks some 60 bytes each time: 20 kB for each adapter.
        tensors = load(path.read_bytes()) if weights else {}
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error
    if text is None:
        raise CheckpointError(f"{path}: has no '{ADAPTER_KEY}' header, so it holds no adapters")
    header = _parse_header(text, path)
    try:
        return _adapter_header(header), tensors
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise _unusable_header(path, error) from error


def _adapter_header(values: dict[str, Any]) -> AdapterHeader:
    if values['format'] != ADAPTER_FORMAT:
        raise ValueError(f'format {quote(values["format"])}, this version reads {ADAPTER_FORMAT}')
    config = LoraConfig.from_dict(values['adapters'])
    tasks = {str(name): list(classes) for name, classes in values['tasks'].items()}
    return AdapterHeader(
        one_line(values['base'], NAME_LIMIT),
        str(values['base_name']),
        config,
        tasks,
        dict(values['notes']),
    )


def _to_half(value: Tensor) -> Tensor:
    """Return a tensor in half precision where its rounding error is small enough."""
    value = value.detach().cpu().contiguous()
    if not value.is_floating_point() or not value.numel():
        return value
    half = value.half()  # more digits than bfloat16, and weights need none of its range
    error = (half.float() - value).abs().max()
    return half if error <= ROUNDING * value.abs().max() else value


def _compress(calibration: Calibration) -> Tensor:
    """Return a calibration as bytes; as text it would be a quarter of the size of the weights."""
    text = json.dumps(calibration.to_dict()).encode()
    return torch.frombuffer(bytearray(zlib.compress(text, 9)), dtype=torch.uint8)
