# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""OpenVINO engine: one static graph for each rung, set of tasks and input size.

From the image's pixels to the raw maps everything is one graph, since a cut would cost more than
it saves: between two graphs all tensors have to be plain float32 (measured in docs/benchmarks.md).
Other plans run eagerly. `import openvino` happens with the first backend.
"""

from __future__ import annotations

import copy
import io
import logging
import threading
import warnings
from collections import OrderedDict
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.jit._trace import TracerWarning

from adamtl_ros.engines.backend import EngineError, Graph, RawMaps, UnsupportedPrecision
from adamtl_ros.engines.cache import CacheFolder, key_of, model_key
from adamtl_ros.engines.eager import Normalizer, TorchBackend, torch_threads
from adamtl_ros.nn.efficientnet.fold import fold_batch_norms

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from adamtl_ros.nn.io.checkpoint import Model
    from adamtl_ros.nn.network import AdaptiveNetwork

LOGGER = logging.getLogger(__name__)
NAME = 'openvino'
DEVICE = 'CPU'
HINTS = {'float32': 'f32', 'bfloat16': 'bf16'}
"""OpenVINO's names of the precisions."""
MAX_GRAPHS = 12
"""Graphs in memory, 20 to 50 MB each; the least recently used makes room."""


@lru_cache(maxsize=1)
def _core() -> Any:
    """Return OpenVINO's core, one for the process.

    Raises:
        EngineError: OpenVINO is missing or broken.

    """
    try:
        import openvino
    except Exception as error:
        reason = f'openvino cannot be imported ({error}); install it with: pip install openvino'
        raise EngineError(reason) from error
    return openvino.Core()


def capabilities() -> tuple[str, list[str]]:
    """Return the name of the CPU and what it can compute with.

    Raises:
        EngineError: OpenVINO is missing or broken.

    """
    core = _core()
    name = str(core.get_property(DEVICE, 'FULL_DEVICE_NAME'))
    return name, sorted(core.get_property(DEVICE, 'OPTIMIZATION_CAPABILITIES'))


class StaticNetwork(torch.nn.Module):
    """The network by one plan, from pixels to the raw maps of some tasks in their order."""

    def __init__(self, network: AdaptiveNetwork, normalizer: Normalizer, graph: Graph) -> None:
        super().__init__()
        self.network, self.normalizer, self.graph = network, normalizer, graph

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Predict, (1, h, w, 3) uint8 to one (1, channels, h/4, w/4) for each task."""
        batch = self.normalizer(pixels)
        maps = self.network.forward_scaled(batch, self.graph.plan, self.graph.tasks)
        return tuple(maps[name] for name in self.graph.tasks)


class Converter:
    """Conversion of a model's plans to OpenVINO models; thread-safe.

    Attributes:
        key: Name for the weights, the code and the normalization.

    """

    def __init__(self, model: Model, folded: AdaptiveNetwork | None = None) -> None:
        """Take the network as it is; nothing is copied before the first conversion.

        Args:
            model: Network and its normalization.
            folded: The network with its norms folded, if that exists already.

        """
        self._model, self._folded = model, folded
        self._lock = threading.Lock()
        self._last: tuple[Graph, Any] | None = None

    @cached_property
    def key(self) -> str:
        """Name for the weights, the code and the normalization."""
        return model_key(self._model)

    @cached_property
    def _network(self) -> AdaptiveNetwork:
        return _without_gradients(self._folded or fold_batch_norms(self._model.network.eval()))

    def convert(self, graph: Graph) -> Any:
        """Return the OpenVINO model of a graph; that of the last one is kept.

        Raises:
            EngineError: The graph cannot be converted.

        """
        with self._lock:
            if self._last is None or self._last[0] != graph:
                try:
                    self._last = graph, self._convert(graph)
                except Exception as error:
                    raise EngineError(f'the graph cannot be converted: {_line(error)}') from error
            return self._last[1]

    def _convert(self, graph: Graph) -> Any:
        # `openvino.convert_model()` does the same, and reports to Intel's telemetry. Not
        # `torch.export`: while it records, modules that run on other threads are recorded too.
        from openvino.frontend import FrontEndManager
        from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

        module = StaticNetwork(self._network, Normalizer(self._model), graph).eval()
        shape = (1, *graph.size, 3)
        # With gradients enabled, and none to record, the network changes no tensor in place and
        # caches nothing. Plain sizes become constants, as intended for a static graph.
        warnings.filterwarnings('ignore', category=TracerWarning, module='adamtl_ros')
        warnings.filterwarnings('ignore', '.torch.jit.trace', DeprecationWarning)
        with torch_threads(1), torch.enable_grad():
            pixels = torch.zeros(shape, dtype=torch.uint8)
            traced = torch.jit.trace(module, pixels, check_trace=False)
        frontend = FrontEndManager().load_by_framework('pytorch')
        decoder = TorchScriptPythonDecoder(traced)  # must live until the conversion is done
        converted = frontend.convert(frontend.load(decoder))
        converted.reshape({0: shape})
        return converted


def _without_gradients(network: AdaptiveNetwork) -> AdaptiveNetwork:
    """Return a copy on the CPU whose weights, shared where they are there, need no gradients."""
    shared: dict[int, Any] = {
        id(weight): torch.nn.Parameter(weight.detach(), requires_grad=False)
        for weight in network.parameters()
    }
    shared |= {id(buffer): buffer for buffer in network.buffers()}
    return copy.deepcopy(network, shared).cpu()


class CompiledGraph:
    """A compiled graph, ready to run on one thread at a time."""

    def __init__(self, compiled: Any, graph: Graph) -> None:
        """Create a request and run it once, since the first run does what others need not."""
        self.graph = graph
        self._request = compiled.create_infer_request()
        self.run(np.zeros((*graph.size, 3), np.uint8))

    def run(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Return the raw map of each task of the graph, valid until the next run."""
        found = self._request.infer({0: pixels[None]}, share_inputs=True, share_outputs=True)
        return {name: found[k][0] for k, name in enumerate(self.graph.tasks)}


class Compiler:
    """Compilation of graphs for this CPU, with a cache on disk."""

    def __init__(
        self, converter: Converter, precision: str, threads: int, cache: CacheFolder
    ) -> None:
        """Check that OpenVINO has the precision here.

        Raises:
            EngineError: OpenVINO is missing or broken, or the CPU has no such precision.

        """
        self._cpu, has = capabilities()
        if precision == 'bfloat16' and 'BF16' not in has:
            raise UnsupportedPrecision(f'this CPU ({self._cpu}) has no bfloat16')
        self._has = has
        self._converter, self._cache = converter, cache
        self._options = {
            'INFERENCE_PRECISION_HINT': HINTS[precision],
            'INFERENCE_NUM_THREADS': threads,
            'NUM_STREAMS': 1,
            'PERFORMANCE_HINT': 'LATENCY',
            'ENABLE_CPU_PINNING': False,
        }

    def compile(self, graph: Graph) -> CompiledGraph:
        """Return a graph, compiled now or earlier.

        Raises:
            EngineError: The graph cannot be compiled.

        """
        name = self._name(graph)
        compiled = self._stored(name)
        if compiled is None:
            model = self._converter.convert(graph)
            try:
                compiled = _core().compile_model(model, DEVICE, self._options)
            except RuntimeError as error:
                raise EngineError(f'the graph cannot be compiled: {_line(error)}') from error
            self._store(name, compiled)
        try:
            return CompiledGraph(compiled, graph)
        except RuntimeError as error:
            raise EngineError(f'the graph does not run: {_line(error)}') from error

    def _stored(self, name: str) -> Any:
        content = self._cache.load(name)
        if content is None:
            return None
        try:
            return _core().import_model(io.BytesIO(content), DEVICE, self._options)
        except RuntimeError as error:
            LOGGER.warning('%s is of no use and made again: %s', name, _line(error))
            return None

    def _store(self, name: str, compiled: Any) -> None:
        try:
            content = compiled.export_model().getvalue()
        except RuntimeError as error:
            LOGGER.warning('a compiled graph is not kept for the next start: %s', _line(error))
        else:
            self._cache.save(name, content)

    def _name(self, graph: Graph) -> str:
        """Return the name of the file: all that the compiled graph depends on."""
        import openvino

        machine = (openvino.__version__, self._cpu, self._has, self._options)
        return key_of(self._converter.key, *machine, str(graph)) + '.blob'


class OpenVinoBackend:
    """Static graphs of a model's rungs; what they cannot do, eagerly.

    Attributes:
        eager: Engine that runs other plans, and what is still being compiled.

    """

    name = NAME

    def __init__(
        self,
        model: Model,
        eager: TorchBackend,
        precision: str,
        threads: int,
        *,
        wait: bool = True,
        converter: Converter | None = None,
        cache: CacheFolder | None = None,
        max_graphs: int = MAX_GRAPHS,
    ) -> None:
        """Check that OpenVINO can be used.

        Args:
            model: Network and its normalization.
            eager: Engine for what has no graph.
            precision: 'float32' or 'bfloat16'.
            threads: Number of threads of a graph.
            wait: Whether a run waits for its graph; else an eager run or a graph of more tasks
                serves until it is ready.
            converter: Converter of the model, to share; a new one if not given.
            cache: Folder for compiled graphs; the user's if not given.
            max_graphs: Number of graphs in memory.

        Raises:
            EngineError: OpenVINO is missing or broken, or the CPU has no such precision.

        """
        self.eager, self.precision = eager, precision
        self._compiler = Compiler(
            converter or Converter(model, eager.network), precision, threads, cache or CacheFolder()
        )
        self._wait, self._max_graphs = wait, max_graphs
        self._lock = threading.Lock()
        self._ready: OrderedDict[Graph, CompiledGraph] = OrderedDict()
        self._failed: set[Graph] = set()
        self._background = BackgroundWork(self._compile_quietly)

    def prepare(self, graph: Graph, *, wait: bool = True) -> None:
        """Compile a graph, unless it is ready; see `Backend`."""
        if self._take(graph) is None:
            if wait:
                self._compile(graph)
            elif graph not in self._failed:
                self._background.put(graph)

    def run(self, pixels: NDArray[np.uint8], graph: Graph) -> RawMaps:
        """Run a graph, or that of more tasks, or the network eagerly; see `Backend`."""
        compiled = self._serving(graph)
        if compiled is None:
            return self.eager.run(pixels, graph)
        try:
            maps = compiled.run(pixels)
        except RuntimeError as error:
            self._give_up(compiled.graph, _line(error))
            return self.eager.run(pixels, graph)
        tasks = compiled.graph.tasks
        own = {name: maps[name] for name in graph.tasks}
        return RawMaps(own, tasks, self.name, self.precision, borrowed=True)

    def close(self) -> None:
        """Drop what waits to be compiled; see `Backend`."""
        self._background.close()

    def join(self) -> None:
        """Wait until nothing is left to compile in the background."""
        self._background.join()

    @property
    def ready(self) -> tuple[Graph, ...]:
        """Graphs in memory, the least recently used first."""
        with self._lock:
            return tuple(self._ready)

    def _serving(self, graph: Graph) -> CompiledGraph | None:
        """Return the graph, else one of more tasks; None if there is none yet."""
        found = self._take(graph)
        if found is not None or graph in self._failed:
            return found
        if self._wait:
            self._compile_quietly(graph)
            return self._take(graph)
        self._background.put(graph)
        with self._lock:
            larger = [known for known in self._ready if known.serves(graph)]
        return self._take(min(larger, key=lambda known: len(known.tasks))) if larger else None

    def _take(self, graph: Graph) -> CompiledGraph | None:
        """Return a graph that is ready, and remember that it was used."""
        with self._lock:
            found = self._ready.get(graph)
            if found is not None:
                self._ready.move_to_end(graph)
            return found

    def _compile_quietly(self, graph: Graph) -> None:
        """Compile a graph; a failure is logged, and its plan runs eagerly from now on."""
        try:
            self._compile(graph)
        except EngineError as error:
            self._give_up(graph, str(error))
        except Exception as error:  # noqa: BLE001  whatever it is, torch can run the plan
            self._give_up(graph, f'{type(error).__name__}: {_line(error)}')

    def _compile(self, graph: Graph) -> None:
        if self._take(graph) is not None:
            return
        compiled = self._compiler.compile(graph)
        with self._lock:
            self._ready[graph] = compiled
            while len(self._ready) > self._max_graphs:
                self._ready.popitem(last=False)

    def _give_up(self, graph: Graph, reason: str) -> None:
        with self._lock:
            self._failed.add(graph)
            self._ready.pop(graph, None)
        height, width = graph.size
        LOGGER.warning(
            'OpenVINO: %s; %dx%d with %s runs eagerly from now on',
            reason, height, width, ', '.join(graph.tasks),
        )  # fmt: skip


class BackgroundWork:
    """Thread that handles items one by one, the newest first, and ends when there is none."""

    def __init__(self, handle: Callable[[Graph], None]) -> None:
        """Create without work; `handle` must not raise."""
        self._handle = handle
        self._lock = threading.Lock()
        self._waiting: list[Graph] = []
        self._current: Graph | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def put(self, item: Graph) -> None:
        """Add an item, or move it to the front; one that is being handled is not added again."""
        with self._lock:
            if self._closed or item == self._current:
                return
            if item in self._waiting:
                self._waiting.remove(item)
            self._waiting.append(item)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name='adamtl-compile')
                self._thread.start()

    def close(self) -> None:
        """Drop what waits; the current item is finished."""
        with self._lock:
            self._closed = True
            self._waiting.clear()

    def join(self) -> None:
        """Wait until nothing is left."""
        while (thread := self._thread) is not None:
            thread.join()

    def _work(self) -> None:
        while (item := self._next()) is not None:
            self._handle(item)

    def _next(self) -> Graph | None:
        with self._lock:
            # Python waits for this thread at its end, so leave the rest then.
            if not self._waiting or not threading.main_thread().is_alive():
                self._thread = self._current = None
                return None
            self._current = self._waiting.pop()
            return self._current


def _line(error: Exception) -> str:
    """Return the first line of an error's text that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:200]
