# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""One image in, the results of the wanted tasks out, with what they cost."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from adamtl_ros.runtime.postprocess import postprocess
from adamtl_ros.runtime.preprocess import Preprocessor
from adamtl_ros.tasks import select

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray
    from torch import Tensor

    from adamtl_ros.nn.gating.plan import Plan
    from adamtl_ros.nn.io.checkpoint import Model
    from adamtl_ros.nn.network import AdaptiveNetwork
    from adamtl_ros.nn.prediction import Cost, Prediction


@dataclass(frozen=True)
class Inference:
    """What the engine made of one image.

    Attributes:
        results: By task name; see `postprocess()` for shapes and types.
        cost: What the network spent.
        plan: Which parts of the encoder ran.
        input_size: Height and width that the network saw.
        preprocess_ms: Time to resize and normalise.
        infer_ms: Time of policy, encoder and decoders.
        postprocess_ms: Time to turn raw maps into results.

    """

    results: dict[str, NDArray[np.generic]]
    cost: Cost
    plan: Plan
    input_size: tuple[int, int]
    preprocess_ms: float
    infer_ms: float
    postprocess_ms: float


class Backend(Protocol):
    """Something that can run the network; which one is fastest depends on the machine."""

    def __call__(self, batch: Tensor, budget: float, tasks: Iterable[str]) -> Prediction:
        """Predict from a (1, 3, h, w) batch; maps may be on any device."""


class TorchBackend:
    """Runs the network eagerly in PyTorch."""

    def __init__(self, network: AdaptiveNetwork, device: torch.device) -> None:
        self.network = network.eval().to(device)

    def __call__(self, batch: Tensor, budget: float, tasks: Iterable[str]) -> Prediction:
        """Predict without recording gradients."""
        with torch.inference_mode():
            return self.network(batch, budget, tasks)


class Engine:
    """Runs a model on images.

    Not for several threads at once. The same image, budget and tasks give the same results,
    bit for bit, on the same machine with the same number of threads.
    """

    def __init__(self, model: Model, device: str = 'auto', output: str = 'input') -> None:
        """Prepare a model.

        Args:
            model: Network and normalisation.
            device: A torch device, or 'auto': the GPU if there is one.
            output: 'input' for results at the size of the image, 'network' for the size that
                the network saw.

        Raises:
            ValueError: A device that is not there, or an unknown output size.

        """
        if output not in ('input', 'network'):
            raise ValueError(f"output size must be 'input' or 'network', got '{output}'")
        self.model = model
        self.device = find_device(device)
        self.output = output
        self.tasks = tuple(model.network.tasks)
        self._preprocess = Preprocessor(model, self.device)
        self.backend: Backend = TorchBackend(model.network, self.device)

    def run(
        self, image: NDArray[np.uint8], budget: float = 1.0, tasks: Iterable[str] | None = None
    ) -> Inference:
        """Compute the wanted tasks of an image.

        Args:
            image: (H, W, 3) uint8, RGB.
            budget: Share of the full MACs that may be spent, in (0, 1].
            tasks: Names of the wanted tasks; all if not given.

        Raises:
            ValueError: An image of another shape or type, an unknown task, a budget outside
                its range.

        """
        _check_image(image)
        wanted = select(self.tasks if tasks is None else tasks, self.tasks)
        clock = [time.perf_counter()]
        batch = self._preprocess(image)
        clock.append(time.perf_counter())
        prediction = self.backend(batch, budget, wanted)
        planes = {name: raw[0].float().cpu().numpy() for name, raw in prediction.maps.items()}
        clock.append(time.perf_counter())
        size = self._result_size(image, batch)
        known = self.model.network.tasks
        results = {name: postprocess(known[name], raw, size) for name, raw in planes.items()}
        clock.append(time.perf_counter())
        seen = (batch.shape[2], batch.shape[3])
        cost, plan = prediction.costs[0], prediction.plans[0]
        return Inference(results, cost, plan, seen, *(np.diff(clock) * 1000))

    def warm_up(self, height: int = 480, width: int = 640) -> None:
        """Run on noise, so that the first real image is not slower than the others."""
        noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        for budget in (1.0, 1.0, 0.5):
            self.run(noise, budget)

    def _result_size(self, image: NDArray[np.uint8], batch: Tensor) -> tuple[int, int]:
        if self.output == 'input':
            return image.shape[0], image.shape[1]
        return batch.shape[2], batch.shape[3]


def find_device(name: str) -> torch.device:
    """Return the torch device of that name; 'auto' is the GPU if there is one, else the CPU.

    Raises:
        ValueError: An unknown device, or one that is not there.

    """
    if name == 'auto':
        name = 'cuda' if torch.cuda.is_available() else 'cpu'
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"device '{name}' cannot be used ({reason}); try 'cpu' or 'auto'"
        ) from error
    return device


def _check_image(image: NDArray[np.uint8]) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ValueError(
            f'image must be (H, W, 3) uint8 RGB and not empty, got {image.shape} {image.dtype}'
        )
