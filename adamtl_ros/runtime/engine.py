# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Inference engine: one image in, the results of the requested tasks and their cost out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from adamtl_ros.nn.efficientnet.fold import fold_batch_norms
from adamtl_ros.runtime.pre_post_processing import Preprocessor, at_focal, postprocess
from adamtl_ros.tasks import Kind, select

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from adamtl_ros.nn.gating.plan import Plan
    from adamtl_ros.nn.io.checkpoint import Model
    from adamtl_ros.nn.network import Cost, Prediction


@dataclass(frozen=True)
class Inference:
    """Results of one image.

    Attributes:
        results: Results by task name; see `postprocess()` for shapes and types.
        cost: Compute used by the network.
        plan: Parts of the encoder that ran.
        input_size: Height and width of the network input [pixels].
        preprocess_ms: Time of resizing and normalization [ms].
        infer_ms: Time of policy, encoder and decoders [ms].
        postprocess_ms: Time of the conversion from raw maps to results [ms].

    """

    results: dict[str, NDArray[np.generic]]
    cost: Cost
    plan: Plan
    input_size: tuple[int, int]
    preprocess_ms: float
    infer_ms: float
    postprocess_ms: float


@dataclass(frozen=True)
class RawInference:
    """Raw maps of one image, before postprocessing.

    Attributes:
        maps: Raw maps by task name, (channels, h, w) float32: class logits, unscaled normals,
            logarithms of meters as this camera sees them, or logits of a probability.
        cost: Compute used by the network.
        plan: Parts of the encoder that ran.
        input_size: Height and width of the network input [pixels].
        preprocess_ms: Time of resizing and normalization [ms].
        infer_ms: Time of policy, encoder and decoders [ms].

    """

    maps: dict[str, NDArray[np.float32]]
    cost: Cost
    plan: Plan
    input_size: tuple[int, int]
    preprocess_ms: float
    infer_ms: float


class Backend(Protocol):
    """Callable that runs the network, such as the network itself in eager mode."""

    def __call__(self, batch: Tensor, budget: float, tasks: Iterable[str]) -> Prediction:
        """Return the prediction for a (1, 3, h, w) batch; maps may be on any device."""


class Engine:
    """Model on a device, with preprocessing and postprocessing.

    Not thread-safe. The same image, budget and tasks give the same results, bit for bit, on the
    same machine with the same number of threads.

    Attributes:
        model: Network and its normalization.
        device: Device that the network is on.
        output: Size of the results: 'input' or 'network'.
        tasks: Names of the tasks of the model.
        backend: Callable that runs the network.

    Examples:
        >>> engine = Engine(load_model(), 'cpu')
        >>> inference = engine.run(image, budget=0.5, tasks=['depth'])  # image: (H, W, 3) uint8
        >>> inference.results['depth'].shape  # meters, (H, W) float32
        (480, 640)

    """

    def __init__(self, model: Model, device: str = 'auto', output: str = 'input') -> None:
        """Move a model to a device.

        Args:
            model: Network and its normalization.
            device: Torch device, or 'auto': the GPU if there is one.
            output: Size of the results: 'input' for that of the image, 'network' for that of
                the network input.

        Raises:
            ValueError: Device that cannot be used, or unknown output size.

        """
        if output not in ('input', 'network'):
            raise ValueError(f"output size must be 'input' or 'network', got '{output}'")
        self.model = model
        self.device = find_device(device)
        self.output = output
        self.tasks = tuple(model.network.tasks)
        self._preprocess = Preprocessor(model, self.device)
        self.backend: Backend = fold_batch_norms(model.network.eval().to(self.device))

    def run(
        self,
        image: NDArray[np.uint8],
        budget: float = 1.0,
        tasks: Iterable[str] | None = None,
        focal: float | None = None,
    ) -> Inference:
        """Compute the requested tasks of an image.

        Args:
            image: RGB image, (H, W, 3) uint8.
            budget: Fraction of the full MACs that may be spent, in (0, 1].
            tasks: Names of the requested tasks; all if not given.
            focal: Relative focal length of the image, for metric depth (see
                `adamtl_ros.focal`). None or NaN: unknown; depth is then right for a camera of
                the canonical focal length of the model. Without effect on a model that has none.

        Returns:
            Results, cost and times.

        Raises:
            ValueError: Image of another shape or type, unknown task, or budget or focal length
                outside its range.

        """
        raw = self.infer(image, budget, tasks, focal)
        begin = time.perf_counter()
        size = raw.input_size if self.output == 'network' else (image.shape[0], image.shape[1])
        results = self.postprocess(raw.maps, size)
        elapsed = (time.perf_counter() - begin) * 1000
        times = raw.preprocess_ms, raw.infer_ms, elapsed
        return Inference(results, raw.cost, raw.plan, raw.input_size, *times)

    def infer(
        self,
        image: NDArray[np.uint8],
        budget: float = 1.0,
        tasks: Iterable[str] | None = None,
        focal: float | None = None,
    ) -> RawInference:
        """Compute the raw maps of the requested tasks of an image.

        Args:
            image: See `run()`, as for the others.
            budget: Fraction of the full MACs that may be spent.
            tasks: Names of the requested tasks; all if not given.
            focal: Relative focal length of the image.

        Raises:
            ValueError: As `run()`.

        """
        _check_image(image)
        requested = select(self.tasks if tasks is None else tasks, self.tasks)
        clock = [time.perf_counter()]
        batch = self._preprocess(image)
        clock.append(time.perf_counter())
        with torch.inference_mode():
            prediction = self.backend(batch, budget, requested)
        maps = {name: raw[0].float().cpu().numpy() for name, raw in prediction.maps.items()}
        clock.append(time.perf_counter())
        input_size = (batch.shape[2], batch.shape[3])
        cost, plan = prediction.costs[0], prediction.plans[0]
        times = np.diff(clock) * 1000
        return RawInference(self._for_lens(maps, focal), cost, plan, input_size, *times)

    def postprocess(
        self, maps: Mapping[str, NDArray[np.float32]], size: tuple[int, int]
    ) -> dict[str, NDArray[np.generic]]:
        """Convert raw maps to results of a height and width [pixels]; see `postprocess()`."""
        tasks = self.model.network.tasks
        return {name: postprocess(tasks[name], raw, size) for name, raw in maps.items()}

    def warm_up(self, height: int = 480, width: int = 640) -> None:
        """Run on noise, so that the first image is not slower than the others."""
        noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        for budget in (1.0, 1.0, 0.5):
            self.run(noise, budget)

    def _for_lens(
        self, maps: dict[str, NDArray[np.float32]], focal: float | None
    ) -> dict[str, NDArray[np.float32]]:
        """Return raw maps with depth as a lens of a relative focal length sees it."""
        if self.model.focal is None:
            return maps
        tasks = self.model.network.tasks
        return {
            name: at_focal(raw, focal, self.model.focal) if tasks[name].kind is Kind.DEPTH else raw
            for name, raw in maps.items()
        }


def find_device(name: str) -> torch.device:
    """Return the torch device with a name; 'auto' is the GPU if there is one, else the CPU.

    Raises:
        ValueError: Unknown device, or one that cannot be used.

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
