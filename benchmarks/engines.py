# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Time of the engines at several budgets, against a static OpenVINO graph made by hand.

    python benchmarks/engines.py budgets    engines and budgets, as ratios
    python benchmarks/engines.py start      first frame, cold and warm; new tasks; memory
    python benchmarks/engines.py neighbour  time of a frame beside a busy process
    python benchmarks/engines.py cuts       what it costs to cut the graph

The graph made by hand takes a normalized float32 image and gives all raw maps: what one exports
who wants the network without budgets. It is 1.00, in the same precision; all take turns.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import openvino
import torch
from measurement import busy_processes, compare_times, memory_mb
from openvino.frontend import FrontEndManager
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
from torch import Tensor, nn

from adamtl_ros.evaluation.machine import machine
from adamtl_ros.nn.gating.plan import Rung, uniform_plan
from adamtl_ros.nn.io.checkpoint import DEFAULT_WEIGHTS, Model, load_model
from adamtl_ros.nn.network import AdaptiveNetwork, init_weights
from adamtl_ros.runtime.engine import Engine
from adamtl_ros.runtime.threads import keep_freed_memory, set_threads
from adamtl_ros.scenes.compose import random_scene

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

BUDGETS = (1.0, 0.75, 0.57, 0.4, 0.25)
ADAMTL_TASKS = ('semseg', 'human_parts', 'normals', 'saliency')
ADAMTL_TIME = 158.6 / 104.1
"""AdaMTL's released code at its shipped targets over our eager `tiny`, 224x224, four tasks, one
thread, measured in turns on another machine; it needs timm and does not run on a CPU unpatched."""
SKIPPED = (1, 3, 5, 6, 7, 8)
TINY_LADDER = (Rung(), Rung(1.0, (4, 5, 7, 9)), Rung(1.0, SKIPPED), Rung(0.5), Rung(0.5, SKIPPED))
"""Rungs of `tiny` at the shares of `BUDGETS`, to time a Swin with a ladder; its weights are random.
At other scales its windows are padded, and little is saved."""
PRECISIONS = {'float32': 'f32', 'bfloat16': 'bf16'}


class WholeNetwork(nn.Module):
    """Everything, from a normalized image to all raw maps."""

    def __init__(self, network: AdaptiveNetwork, tasks: tuple[str, ...]) -> None:
        super().__init__()
        self.network, self.tasks = network, tasks

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Predict, (1, 3, H, W) to one map for each task."""
        plan = uniform_plan(self.network.arch.depths)
        maps = self.network.forward_scaled(images, plan, self.tasks)
        return tuple(maps[name] for name in self.tasks)


def compiled(module: nn.Module, example: Tensor, precision: str, threads: int) -> Any:
    """Return a compiled OpenVINO model of a module for inputs like an example."""
    warnings.filterwarnings('ignore', category=torch.jit.TracerWarning)  # type: ignore[attr-defined]
    with torch.enable_grad():
        traced = torch.jit.trace(module.eval(), example, check_trace=False)
    frontend = FrontEndManager().load_by_framework('pytorch')
    decoder = TorchScriptPythonDecoder(traced)
    converted = frontend.convert(frontend.load(decoder))
    converted.reshape({0: tuple(example.shape)})
    options = {
        'PERFORMANCE_HINT': 'LATENCY',
        'NUM_STREAMS': 1,
        'INFERENCE_NUM_THREADS': threads,
        'INFERENCE_PRECISION_HINT': PRECISIONS[precision],
    }
    return openvino.Core().compile_model(converted, 'CPU', options)


def by_hand(engine: Engine, tasks: tuple[str, ...], precision: str, threads: int) -> Any:
    """Return a run of the static graph that one makes by hand."""
    network = engine.eager.network.requires_grad_(False)
    example = torch.randn(1, 3, *engine.model.input_size)
    request = compiled(
        WholeNetwork(network, tasks), example, precision, threads
    ).create_infer_request()
    array = example.numpy()
    return lambda: request.infer({0: array}, share_inputs=True, share_outputs=True)


def with_ladder(name: str, ladder: tuple[Rung, ...]) -> Model:
    """Return a network of an architecture with a ladder, its weights random."""
    base = load_model(name)
    network = AdaptiveNetwork(replace(base.network.arch, ladder=ladder))  # type: ignore[type-var]
    init_weights(network, torch.Generator().manual_seed(0))
    return Model(network.eval(), f'{name} with a ladder')


def budgets(options: argparse.Namespace) -> None:
    """Print the time of every engine at every budget."""
    models: list[tuple[Model, tuple[str, ...]]] = [
        (load_model(DEFAULT_WEIGHTS), ()),
        (with_ladder('tiny', TINY_LADDER), ADAMTL_TASKS),
        (load_model('scenes_nano'), ()),
    ]
    chosen = [pair for pair in models if not options.model or options.model in pair[0].name]
    for model, tasks in chosen:
        for threads in options.threads:
            table(
                model, tasks or tuple(model.network.tasks), threads, options.rounds, options.engines
            )


def table(
    model: Model, tasks: tuple[str, ...], threads: int, rounds: int, names: Sequence[str]
) -> None:
    """Print a table of one model, number of threads and some engines."""
    set_threads(threads)
    image = picture(model.input_size)
    engines = engines_of(model, threads, names)
    some = next(iter(engines.values()))
    shares = [some.infer(image, budget, tasks).cost.fraction for budget in BUDGETS]
    runs: dict[tuple[str, float], Callable[[], object]] = {
        (name, budget): partial(engine.infer, image, budget, tasks, copy=False)
        for name, engine in engines.items()
        for budget in BUDGETS
    }
    hands = {p: by_hand(some, tasks, p, threads) for p in PRECISIONS if f'openvino {p}' in engines}
    runs |= {(f'by hand {precision}', 1.0): run for precision, run in hands.items()}
    clock = time.process_time if threads == 1 else time.perf_counter
    ratios, reference = compare_times(runs, hands['float32'], rounds, clock)
    height, width = model.input_size
    print(
        f'\n{model.name}, {height}x{width}, {len(tasks)} tasks, threads: {threads}; '
        f'by hand float32 = 1.00 = {1000 * reference:.2f} ms'
    )
    print(f'{"budget":<20}' + ''.join(f'{budget:>14}' for budget in BUDGETS))
    print(f'{"share of the MACs":<20}' + ''.join(f'{share:>14.3f}' for share in shares))
    for name in engines:
        full, cells = ratios[name, 1.0], []
        for budget, share in zip(BUDGETS, shares, strict=True):
            ratio = ratios[name, budget]
            cells.append(f'{ratio:.2f} ({share * full / ratio:.2f})')
        print(f'{name:<20}' + ''.join(f'{cell:>14}' for cell in cells))
    for precision in hands:
        hand = ratios[f'by hand {precision}', 1.0]
        own = ratios[f'openvino {precision}', 1.0]
        print(f'by hand {precision}: {hand:.2f}; ours at full budget is {own / hand:.2f} of it')
    if tasks == ADAMTL_TASKS and 'torch float32' in engines:
        best = min(engines, key=lambda name: ratios[name, 1.0])
        released = ADAMTL_TIME * ratios['torch float32', 1.0]
        cells = [f'{ratios[best, budget] / released:.2f} at {budget}' for budget in BUDGETS]
        print(f"{best} over AdaMTL's released code at its targets: {', '.join(cells)}")


def engines_of(model: Model, threads: int, names: Sequence[str]) -> dict[str, Engine]:
    """Return the engines of some names in all precisions that this machine has."""
    found = {}
    for name in names:
        for precision in PRECISIONS:
            engine = Engine(model, 'cpu', engine=name, precision=precision, threads=threads)
            if (engine.backend.name, engine.backend.precision) == (name, precision):
                found[f'{name} {precision}'] = engine
    return found


def picture(size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a drawn room of a height and width."""
    frame = random_scene(0).frame(0, (480, 640)).image
    return np.asarray(cv2.resize(frame, size[::-1], interpolation=cv2.INTER_AREA))


FIRST_FRAME = """
import time; begin = time.perf_counter()
import numpy as np
from adamtl_ros import Engine, load_model
options = dict(engine='auto', precision='auto', threads={threads}, wait=False)
engine = Engine(load_model({model!r}), 'cpu', **options)
engine.warm_up()
made = time.perf_counter() - begin
found = engine.run(np.zeros((480, 640, 3), np.uint8))
end = time.perf_counter() - begin
print(f'ready after {{made:.2f}} s, first frame after {{end:.2f}} s, {{found.engine}}')
engine.close()
"""


def start(options: argparse.Namespace) -> None:
    """Print times of starting, and the memory of graphs."""
    name = options.model or DEFAULT_WEIGHTS
    code = FIRST_FRAME.format(model=name, threads=options.threads[0])
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, 'XDG_CACHE_HOME': folder}
        for what in ('cold', 'warm', 'warm'):
            command = [sys.executable, '-c', code]
            printed = subprocess.check_output(command, env=environment, text=True)
            print(f'{name}, {what} cache, from the start of Python: {printed.strip()}')
    model = load_model(name)
    set_threads(options.threads[0])
    for precision in PRECISIONS:
        engine = Engine(model, 'cpu', engine='openvino', precision=precision, wait=False)
        new_tasks(engine, precision)


def new_tasks(engine: Engine, precision: str) -> None:
    """Print how long a new set of tasks runs on a larger graph, and the memory of graphs."""
    backend: Any = engine.backend
    image, before = picture(engine.model.input_size), memory_mb()
    engine.prepare()
    backend.join()
    count = len(backend.ready)
    print(f'{precision}: {count} graphs, {(memory_mb() - before) / max(count - 1, 1):.1f} MB each')
    begin = time.perf_counter()
    engine.infer(image, tasks=['depth'])
    first = time.perf_counter() - begin
    while len(backend.ready) == count:
        time.sleep(0.005)
    ready = time.perf_counter() - begin
    print(f'{precision}, new tasks: first result {1000 * first:.1f} ms, own graph {ready:.2f} s')


def neighbour(options: argparse.Namespace) -> None:
    """Print median and 95th percentile of a frame, alone and beside a busy process."""
    model = load_model(options.model or DEFAULT_WEIGHTS)
    image = picture((480, 640))
    for threads in options.threads:
        set_threads(threads)
        for name, engine in engines_of(model, threads, options.engines).items():
            if 'bfloat16' in name:
                continue
            for busy in (0, 1):
                with busy_processes(busy):
                    time.sleep(0.2)
                    times = np.array(
                        [_wall(partial(engine.run, image)) for _ in range(options.rounds)]
                    )
                p50, p95 = 1000 * np.percentile(times[2:], (50, 95))
                print(
                    f'{name:<18} threads {threads}, busy {busy}: p50 {p50:6.1f} p95 {p95:6.1f} ms',
                    flush=True,
                )


def _wall(run: Callable[[], object]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


class Encoder(WholeNetwork):
    """From a normalized image to what the heads share."""

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Encode."""
        encoder, network = self.network.encoder, self.network
        return (network.neck(encoder(encoder.stem(images))),)


class Heads(WholeNetwork):
    """From there to the raw maps."""

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        """Decode."""
        maps = self.network.decoders(features, self.tasks)
        return tuple(maps[name] for name in self.tasks)


def cuts(options: argparse.Namespace) -> None:
    """Print the time of a graph that is cut behind the neck, and of heads on their own."""
    set_threads(1)
    engine = Engine(load_model(DEFAULT_WEIGHTS), 'cpu')
    network = engine.eager.network.requires_grad_(False)
    example = torch.randn(1, 3, *engine.model.input_size)
    with torch.no_grad():
        (features,) = Encoder(network, ())(example)
    for precision in PRECISIONS:
        compile_ = partial(compiled, precision=precision, threads=1)
        encoder = compile_(Encoder(network, ()), example)
        heads = {
            'heads together': [compile_(Heads(network, engine.tasks), features)],
            'heads apart': [compile_(Heads(network, (name,)), features) for name in engine.tasks],
        }
        whole = by_hand(engine, engine.tasks, precision, 1)
        runs = {name: _chain(encoder, some, example) for name, some in heads.items()}
        ratios, _ = compare_times(runs, whole, options.rounds, time.process_time)
        cells = [f'{name} {ratio:.2f}' for name, ratio in ratios.items()]
        print(f'{precision}: one graph = 1.00; encoder with neck, and {", ".join(cells)}')


def _chain(encoder: Any, heads: list[Any], example: Tensor) -> Callable[[], object]:
    """Return a run of an encoder and heads, which read its output without a copy."""
    first = encoder.create_infer_request()
    others = [head.create_infer_request() for head in heads]
    for other in others:
        other.set_input_tensor(0, first.get_output_tensor(0))
    array = example.numpy()

    def run() -> None:
        first.infer({0: array}, share_inputs=True, share_outputs=True)
        for other in others:
            other.infer(share_outputs=True)

    return run


def main() -> None:
    """Run one of the benchmarks."""
    parts = {part.__name__: part for part in (budgets, start, neighbour, cuts)}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('part', nargs='?', default='budgets', choices=parts)
    parser.add_argument('--model', default='', help='name of a model; some if not given')
    parser.add_argument('--threads', type=int, nargs='+', default=[1, 2])
    parser.add_argument('--engines', nargs='+', default=['torch', 'openvino'])
    parser.add_argument('--rounds', type=int, default=15, help='repetitions (%(default)s)')
    options = parser.parse_args()
    keep_freed_memory()
    print(f'{machine()["processor"]}, torch {torch.__version__}, openvino {openvino.__version__}')
    with tempfile.TemporaryDirectory() as folder:
        os.environ['XDG_CACHE_HOME'] = folder
        parts[options.part](options)


if __name__ == '__main__':
    main()
