# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Inference engine: one image in, the results of the requested tasks and their cost out."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from adamtl_ros.engines.backend import EngineError, Graph
from adamtl_ros.engines.cache import CacheFolder
from adamtl_ros.engines.eager import TorchBackend
from adamtl_ros.engines.openvino import Converter
from adamtl_ros.engines.selection import Candidates, check_options, select_backend, static_plans
from adamtl_ros.nn.gating.plan import scaled_size
from adamtl_ros.runtime.pre_post_processing import Preprocessor, at_focal, postprocess
from adamtl_ros.runtime.threads import set_threads
from adamtl_ros.tasks import Kind, select

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from adamtl_ros.engines.backend import Backend
    from adamtl_ros.engines.selection import Selection
    from adamtl_ros.nn.gating.plan import Plan
    from adamtl_ros.nn.io.checkpoint import Model
    from adamtl_ros.nn.network import Cost


@dataclass(frozen=True)
class Inference:
    """Results of one image.

    Attributes:
        results: Results by task name; see `postprocess()` for shapes and types.
        cost: Compute used by the network.
        plan: Parts of the encoder that ran.
        input_size: Height and width of the network input [pixels].
        preprocess_ms: Time of resizing [ms].
        infer_ms: Time of normalization, policy, encoder and decoders [ms].
        postprocess_ms: Time of the conversion from raw maps to results [ms].
        engine: Name of the engine that computed them: torch where the plan has no graph (yet).
        precision: Precision of the computation.

    """

    results: dict[str, NDArray[np.generic]]
    cost: Cost
    plan: Plan
    input_size: tuple[int, int]
    preprocess_ms: float
    infer_ms: float
    postprocess_ms: float
    engine: str
    precision: str


@dataclass(frozen=True)
class RawInference:
    """Raw maps of one image, before postprocessing.

    Attributes:
        maps: Raw maps by task name, (channels, h, w) float32: class logits, unscaled normals,
            logarithms of meters as this camera sees them, or logits of a probability.
        cost: Compute used by the network.
        plan: Parts of the encoder that ran.
        input_size: Height and width of the network input [pixels].
        preprocess_ms: Time of resizing [ms].
        infer_ms: Time of normalization, policy, encoder and decoders [ms].
        engine: Name of the engine that computed them.
        precision: Precision of the computation.

    """

    maps: dict[str, NDArray[np.float32]]
    cost: Cost
    plan: Plan
    input_size: tuple[int, int]
    preprocess_ms: float
    infer_ms: float
    engine: str
    precision: str


class Engine:
    """Model on a device, with preprocessing and postprocessing.

    Not thread-safe. The same image, budget and tasks give the same results, bit for bit, on the
    same machine with the same number of threads and the same engine.

    Attributes:
        model: Network and its normalization.
        device: Device that the network is on.
        output: Size of the results: 'input' or 'network'.
        tasks: Names of the tasks of the model.
        eager: Eager engine in float32, which runs every plan that `backend` has no graph for.
        backend: Engine that runs the network.
        selection: What was tried, and why `backend` was chosen; None if it was not a choice.

    Examples:
        >>> engine = Engine(load_model(), engine='auto', precision='auto', threads=1)
        >>> inference = engine.run(image, budget=0.5, tasks=['depth'])  # image: (H, W, 3) uint8
        >>> inference.results['depth'].shape  # meters, (H, W) float32
        (480, 640)
        >>> print(engine.selection.table())  # times of all engines of this machine

    """

    def __init__(
        self,
        model: Model,
        device: str = 'auto',
        output: str = 'input',
        *,
        engine: str = 'torch',
        precision: str = 'float32',
        threads: int | None = None,
        wait: bool = True,
        again: bool = False,
    ) -> None:
        """Move a model to a device, and choose the engine.

        Args:
            model: Network and its normalization.
            device: Torch device, or 'auto': the GPU if there is one.
            output: Size of the results: 'input' for that of the image, 'network' for that of
                the network input.
            engine: 'torch'; 'openvino', which has static graphs for the rungs of a ladder; or
                'auto': the fastest that agrees with torch in float32.
            precision: 'float32', 'bfloat16', or 'auto', likewise.
            threads: Number of CPU threads, set for the process; the present number if not given.
            wait: Whether a run waits while its graph is compiled. Otherwise a graph of more
                tasks, or torch, serves until the graph is ready.
            again: Whether to measure again although the choice of an earlier start is known.

        Raises:
            ValueError: Device that cannot be used, or an unknown output size, engine or precision.

        """
        if output not in ('input', 'network'):
            raise ValueError(f"output size must be 'input' or 'network', got '{output}'")
        check_options(engine, precision)
        self.model = model
        self.device = find_device(device)
        self.output = output
        self.tasks = tuple(model.network.tasks)
        self._preprocess = Preprocessor(model)
        self._wait = wait
        if threads is not None:
            set_threads(threads)
        self.eager = TorchBackend(model, self.device)
        self.backend: Backend = self.eager
        self.selection: Selection | None = None
        if (engine, precision) != ('torch', 'float32'):
            candidates = Candidates(
                model,
                self.eager,
                torch.get_num_threads(),
                wait,
                CacheFolder(),
                Converter(model, self.eager.network),
            )
            self.backend, self.selection = select_backend(
                candidates, engine, precision, again=again
            )

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
        raw = self.infer(image, budget, tasks, focal, copy=False)
        begin = time.perf_counter()
        size = raw.input_size if self.output == 'network' else (image.shape[0], image.shape[1])
        results = self.postprocess(raw.maps, size)
        elapsed = (time.perf_counter() - begin) * 1000
        times = raw.preprocess_ms, raw.infer_ms, elapsed
        made_by = raw.engine, raw.precision
        return Inference(results, raw.cost, raw.plan, raw.input_size, *times, *made_by)

    def infer(
        self,
        image: NDArray[np.uint8],
        budget: float = 1.0,
        tasks: Iterable[str] | None = None,
        focal: float | None = None,
        *,
        copy: bool = True,
    ) -> RawInference:
        """Compute the raw maps of the requested tasks of an image.

        Args:
            image: See `run()`, as for the others.
            budget: Fraction of the full MACs that may be spent.
            tasks: Names of the requested tasks; all if not given.
            focal: Relative focal length of the image.
            copy: Whether the maps get memory of their own. Otherwise it may be that of the
                engine, which writes over it in its next run.

        Returns:
            Raw maps, cost and times.

        Raises:
            ValueError: As `run()`.

        """
        raw, borrowed = self._infer(image, budget, tasks, focal)
        if borrowed and copy:
            raw.maps.update({name: plane.copy() for name, plane in raw.maps.items()})
        return raw

    def _infer(
        self,
        image: NDArray[np.uint8],
        budget: float,
        tasks: Iterable[str] | None,
        focal: float | None,
    ) -> tuple[RawInference, bool]:
        """Compute raw maps; also return whether their memory is valid until the next run only."""
        _check_image(image)
        requested = select(self.tasks if tasks is None else tasks, self.tasks)
        size = self._preprocess.network_size(image)
        static = self.model.network.static_plan(size, budget, requested)
        clock = [time.perf_counter()]
        pixels = self._preprocess(image, static[0].scale if static else 1.0)
        clock.append(time.perf_counter())
        if static:
            graph = Graph(static[0], (pixels.shape[0], pixels.shape[1]), requested)
            raw = self.backend.run(pixels, graph)
            clock.append(time.perf_counter())
            plan, floor = static
            cost = self.model.network.plan_cost(plan, size, requested, raw.tasks, floor=floor)
        else:
            raw, prediction = self._policy_backend.run_policy(pixels, budget, requested)
            clock.append(time.perf_counter())
            cost, plan = prediction.costs[0], prediction.plans[0]
        maps, times = self._for_lens(raw.maps, focal), np.diff(clock) * 1000
        made_by = raw.engine, raw.precision
        found = RawInference(maps, cost, plan, size, float(times[0]), float(times[1]), *made_by)
        return found, raw.borrowed

    @property
    def _policy_backend(self) -> TorchBackend:
        """Engine for plans that the policy decides on: always torch."""
        return self.backend if isinstance(self.backend, TorchBackend) else self.eager

    def prepare(self, tasks: Iterable[str] | None = None) -> None:
        """Prepare the graph of the largest rung for some tasks, at the input size of the model.

        Where runs do not wait for graphs, those of the other rungs follow in the background.

        Args:
            tasks: Names of the tasks; all if not given.

        """
        names = select(self.tasks if tasks is None else tasks, self.tasks)
        largest, *others = static_plans(self.model.network)
        with suppress(EngineError):  # a run logs the failure
            self.backend.prepare(self._graph(largest, names))
        if not self._wait:
            for plan in reversed(others):  # the last one is taken first
                self.backend.prepare(self._graph(plan, names), wait=False)

    def _graph(self, plan: Plan, tasks: tuple[str, ...]) -> Graph:
        return Graph(plan, scaled_size(self.model.input_size, plan.scale), tasks)

    def close(self) -> None:
        """Give up graphs that wait to be compiled; the engine can still run."""
        self.backend.close()

    def postprocess(
        self, maps: Mapping[str, NDArray[np.float32]], size: tuple[int, int]
    ) -> dict[str, NDArray[np.generic]]:
        """Convert raw maps to results of a height and width [pixels]; see `postprocess()`."""
        tasks = self.model.network.tasks
        return {name: postprocess(tasks[name], raw, size) for name, raw in maps.items()}

    def warm_up(self, height: int = 480, width: int = 640) -> None:
        """Prepare, and run on noise, so that the first image is not slower than the others."""
        self.prepare()
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
