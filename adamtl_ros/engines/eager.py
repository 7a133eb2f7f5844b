# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Eager engine: the torch network itself, for any plan and device. The reference of the others."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from adamtl_ros.engines.backend import RawMaps, UnsupportedPrecision
from adamtl_ros.nn.efficientnet.fold import fold_batch_norms

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray
    from torch import Tensor

    from adamtl_ros.engines.backend import Graph
    from adamtl_ros.nn.io.checkpoint import Model
    from adamtl_ros.nn.network import Prediction


class Predict(Protocol):
    """Callable that decides what runs, and runs it, such as the network."""

    def __call__(self, batch: Tensor, budget: float, tasks: Iterable[str]) -> Prediction:
        """Return the prediction for a normalized (1, 3, h, w) batch."""


class Normalizer(torch.nn.Module):
    """Conversion of RGB images to what a model expects, (B, h, w, 3) uint8 to (B, 3, h, w)."""

    scale: Tensor
    offset: Tensor

    def __init__(self, model: Model) -> None:
        super().__init__()
        mean, deviation = (np.array(values, np.float32) for values in (model.mean, model.std))
        scale = 1 / (255 * deviation)
        self.register_buffer('scale', torch.from_numpy(scale.astype(np.float32)))
        self.register_buffer('offset', torch.from_numpy(mean / deviation))

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalize; the result is channels last in memory."""
        return (pixels.float() * self.scale - self.offset).permute(0, 3, 1, 2)


class TorchBackend:
    """Network in eager mode, its norms folded, in float32 or under autocast to bfloat16.

    Attributes:
        network: Network that runs.
        device: Device that it is on.
        predict: Callable for budgets at which the policy looks at the image; the network.

    """

    name = 'torch'

    def __init__(
        self,
        model: Model,
        device: torch.device | str = 'cpu',
        precision: str = 'float32',
        threads: int | None = None,
    ) -> None:
        """Move a model to a device.

        Args:
            model: Network and its normalization.
            device: Torch device.
            precision: 'float32', or 'bfloat16' for convolutions and matrix products.
            threads: Number of threads to set for each run; the present number is left alone if
                not given.

        Raises:
            EngineError: The device has no bfloat16.

        """
        self.device, self.precision = torch.device(device), precision
        if precision == 'bfloat16' and not _has_bfloat16(self.device):
            raise UnsupportedPrecision(f'{self.device} has no bfloat16')
        self.network = fold_batch_norms(model.network.eval().to(self.device))
        self.predict: Predict = self.network
        self._normalizer = Normalizer(model).to(self.device)
        self._threads = threads

    def prepare(self, graph: Graph, *, wait: bool = True) -> None:
        """Do nothing: any plan can run at once."""

    def run(self, pixels: NDArray[np.uint8], graph: Graph) -> RawMaps:
        """Run a plan; see `Backend`."""
        with self._settings():
            batch = self.normalized(pixels)
            maps = self.network.forward_scaled(batch, graph.plan, graph.tasks)
            return RawMaps(_to_numpy(maps), graph.tasks, self.name, self.precision)

    def run_policy(
        self, pixels: NDArray[np.uint8], budget: float, tasks: tuple[str, ...]
    ) -> tuple[RawMaps, Prediction]:
        """Let the policy decide what runs within a budget, and run it.

        Args:
            pixels: RGB image, (h, w, 3) uint8.
            budget: Fraction of the full MACs that may be spent.
            tasks: Names of the requested tasks.

        """
        with self._settings():
            prediction = self.predict(self.normalized(pixels), budget, tasks)
            maps = _to_numpy(prediction.maps)
        return RawMaps(maps, tasks, self.name, self.precision), prediction

    def normalized(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Return an (h, w, 3) image as a normalized batch (1, 3, h, w) on the device."""
        batch: Tensor = self._normalizer(torch.from_numpy(pixels)[None].to(self.device))
        return batch

    def close(self) -> None:
        """Do nothing."""

    @contextmanager
    def _settings(self) -> Iterator[None]:
        autocast: AbstractContextManager[object] = nullcontext()
        if self.precision == 'bfloat16':
            autocast = torch.autocast(self.device.type, torch.bfloat16)
        with torch_threads(self._threads), torch.inference_mode(), autocast:
            yield


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """Set the number of threads of torch on this thread for a while; None leaves it alone."""
    before = torch.get_num_threads()
    if count in (None, before):
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _has_bfloat16(device: torch.device) -> bool:
    """Whether torch has kernels for bfloat16; on a CPU they may still be slow."""
    if device.type == 'cuda':
        return torch.cuda.is_bf16_supported()
    return device.type == 'cpu' and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001


def _to_numpy(maps: dict[str, Tensor]) -> dict[str, NDArray[np.float32]]:
    return {name: raw[0].float().cpu().numpy() for name, raw in maps.items()}
