# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Choice of the engine: candidates are timed on the model, and checked against eager float32."""

from __future__ import annotations

import json
import logging
import math
import statistics
import time
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch

from adamtl_ros.engines.backend import (
    AUTO,
    ENGINES,
    PRECISIONS,
    Backend,
    EngineError,
    Graph,
    UnsupportedPrecision,
)
from adamtl_ros.engines.cache import CacheFolder, key_of, model_key
from adamtl_ros.engines.eager import TorchBackend
from adamtl_ros.engines.openvino import Converter, OpenVinoBackend, capabilities
from adamtl_ros.nn.gating.plan import scaled_size, uniform_plan
from adamtl_ros.tasks import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from adamtl_ros.engines.backend import Maps
    from adamtl_ros.nn.gating.plan import Plan
    from adamtl_ros.nn.io.checkpoint import Model
    from adamtl_ros.nn.network import AdaptiveNetwork
    from adamtl_ros.tasks import Task

LOGGER = logging.getLogger(__name__)
TIME_LIMIT_S = 10.0
"""Longest time of a choice; what was not reached by then does not count [s]."""
RESERVE_S = 2.5
"""Time that compiling one more graph and timing it may take [s]."""
ROUNDS = 5
TIMED_RUNGS = 3
PAUSE_S = 0.01
"""Pause between two engines, since the threads of torch spin for a while after their work [s]."""
MEDIAN = 50
TOLERATED = 10
"""Factor on the limits within which a precision that the user named is only warned about."""


@dataclass(frozen=True)
class Agreement:
    """Largest disagreement with eager float32 over the tasks of each kind; NaN without any.

    Attributes:
        labels: Fraction of the pixels with another class.
        depth: Median relative difference of depth.
        normals: Median angle between normals [degrees].
        probability: Median difference of probabilities.

    """

    labels: float = math.nan
    depth: float = math.nan
    normals: float = math.nan
    probability: float = math.nan

    def problem(self, factor: float = 1.0) -> str:
        """Return what is above its limit times a factor; empty if nothing is."""
        for name, value in asdict(self).items():
            limit = getattr(LIMITS, name) * factor
            if value > limit:
                return f'{_NAMES[name]} {_SCALES[name] * value:.3g} {_UNITS[name]}'
        return ''

    def worst(self, other: Agreement) -> Agreement:
        """Return the larger of each."""
        pairs = zip(asdict(self).values(), asdict(other).values(), strict=True)
        return Agreement(*(float(np.fmax(a, b)) for a, b in pairs))


LIMITS = Agreement(labels=0.01, depth=0.01, normals=1.0, probability=0.01)
"""Largest disagreement of an engine that `auto` may choose."""
_NAMES = {
    'labels': 'other labels on',
    'depth': 'depth off by',
    'normals': 'normals off by',
    'probability': 'probabilities off by',
}
_SCALES = {'labels': 100, 'depth': 100, 'normals': 1, 'probability': 100}
_UNITS = {'labels': '%', 'depth': '%', 'normals': 'degrees', 'probability': '%'}


@dataclass
class Trial:
    """What was found about one candidate.

    Attributes:
        engine: Name of the engine.
        precision: Its precision.
        ms: Median time of each timed rung [ms]; NaN if not timed.
        agreement: Disagreement with eager float32, the worst of the rungs.
        problem: Why it was not chosen, or what is to be known about it; empty for nothing.
        usable: Whether it could be chosen.

    """

    engine: str
    precision: str
    ms: list[float] = field(default_factory=list)
    agreement: Agreement = field(default_factory=Agreement)
    problem: str = ''
    usable: bool = True

    @property
    def name(self) -> str:
        """Name of engine and precision."""
        return f'{self.engine} {self.precision}'


@dataclass
class Selection:
    """Choice of an engine, and what it was made from.

    Attributes:
        trials: Candidates in the order in which they were tried.
        engine: Name of the chosen engine.
        precision: Its precision.
        reason: Why it was chosen.
        rungs: Fraction of the full MACs of each timed rung.
        about: Model, device and number of threads.

    """

    trials: list[Trial]
    engine: str
    precision: str
    reason: str
    rungs: list[float]
    about: str

    @property
    def chosen(self) -> Trial:
        """Trial of the chosen engine."""
        name = f'{self.engine} {self.precision}'
        return next(trial for trial in self.trials if trial.name == name)

    def table(self) -> str:
        """Return a table for people: what was tried, the times, the disagreement, the choice."""
        heads = ['engine', *(f'{rung:.2f} [ms]' for rung in self.rungs)]
        heads += ['labels [%]', 'depth [%]', 'normals [deg]', 'prob. [%]', '']
        rows = [heads, *(self._row(trial) for trial in self.trials)]
        widths = [max(len(row[k]) for row in rows) for k in range(len(heads))]
        lines = [
            '  '.join(cell.ljust(w) if k == 0 else cell.rjust(w) for k, (cell, w) in pairs).rstrip()
            for pairs in (list(enumerate(zip(row[:-1], widths, strict=False))) for row in rows)
        ]
        lines = [f'{line}  {row[-1]}'.rstrip() for line, row in zip(lines, rows, strict=True)]
        title = f'{self.about}: time by share of the MACs, and difference from torch float32'
        return '\n'.join([title, *lines, f'{self.engine} {self.precision}: {self.reason}'])

    def _row(self, trial: Trial) -> list[str]:
        times = [*trial.ms, *[math.nan] * (len(self.rungs) - len(trial.ms))]
        off = [_SCALES[name] * value for name, value in asdict(trial.agreement).items()]
        chosen = (trial.engine, trial.precision) == (self.engine, self.precision)
        note = f'<- {trial.problem}'.rstrip() if chosen else trial.problem
        return [
            trial.name,
            *(_cell(t, '.1f') for t in times),
            *(_cell(v, '.2f') for v in off),
            note,
        ]

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Selection:
        """Create from the dictionary of `dataclasses.asdict()`.

        Raises:
            TypeError, KeyError: Other keys.

        """
        trials = [
            Trial(**{**trial, 'agreement': Agreement(**trial['agreement'])})
            for trial in values.pop('trials')
        ]
        return cls(trials=trials, **values)


def _cell(value: float, form: str) -> str:
    return '-' if math.isnan(value) else format(value, form)


@dataclass(frozen=True)
class Candidates:
    """Makers of the engines of a model, which share what they can.

    Attributes:
        model: Network and its normalization.
        eager: Engine in eager float32: the reference.
        threads: Number of threads.
        wait: Whether a run waits for its graph; see `OpenVinoBackend`.
        cache: Folder for compiled graphs and choices.
        converter: Converter of the model for OpenVINO.

    """

    model: Model
    eager: TorchBackend
    threads: int
    wait: bool
    cache: CacheFolder
    converter: Converter

    def make(self, engine: str, precision: str) -> Backend:
        """Create an engine.

        Raises:
            EngineError: It cannot be used here.

        """
        return MAKERS[engine](self, precision)


def _torch(candidates: Candidates, precision: str) -> Backend:
    if precision == 'float32':
        return candidates.eager
    return TorchBackend(candidates.model, candidates.eager.device, precision)


def _openvino(candidates: Candidates, precision: str) -> Backend:
    if candidates.eager.device.type != 'cpu':
        raise EngineError(
            f'openvino runs on the CPU here, and the device is {candidates.eager.device}'
        )
    return OpenVinoBackend(
        candidates.model,
        candidates.eager,
        precision,
        candidates.threads,
        wait=candidates.wait,
        converter=candidates.converter,
        cache=candidates.cache,
    )


MAKERS: dict[str, Callable[[Candidates, str], Backend]] = {'torch': _torch, 'openvino': _openvino}
"""Functions that create an engine, by its name."""


def check_options(engine: str, precision: str) -> None:
    """Check the names of an engine and a precision.

    Raises:
        ValueError: An unknown one.

    """
    for what, value, known in (('engine', engine, ENGINES), ('precision', precision, PRECISIONS)):
        if value not in known:
            raise ValueError(f"{what} must be one of: {', '.join(known)}; got '{value}'")


def select_backend(
    candidates: Candidates, engine: str, precision: str, *, again: bool = False
) -> tuple[Backend, Selection]:
    """Return the fastest engine that agrees with eager float32, and what was found.

    Whatever fails is logged as a warning and left out; eager float32 remains. The choice is kept
    in the cache, by model, machine and options, and the next time only checked.

    Args:
        candidates: Makers of the engines.
        engine: Name of the engine, or 'auto'.
        precision: Its precision, or 'auto'.
        again: Whether to measure again although there is an earlier choice.

    """
    name = _name(candidates, engine, precision)
    earlier = None if again else _load(candidates.cache, name)
    if earlier is not None:
        backend = _confirmed(candidates, earlier)
        if backend is not None:
            LOGGER.info('%s\n(from an earlier start)', earlier.table())
            return backend, earlier
    trials = Trials(candidates, engine, precision)
    backend, selection = trials.choose()
    if selection.engine != 'torch' or not trials.failed:  # what fails today may be mended tomorrow
        candidates.cache.save(name, json.dumps(asdict(selection)).encode())
    LOGGER.info('%s', selection.table())
    return backend, selection


def _name(candidates: Candidates, engine: str, precision: str) -> str:
    """Return the name of the file of a choice: all that it depends on."""
    try:
        import openvino

        machine = (*capabilities(), openvino.__version__)
    except (ImportError, EngineError):
        machine = (torch.backends.cpu.get_cpu_capability(), [], '')
    device = str(candidates.eager.device)
    options = (device, candidates.threads, engine, precision, sorted(MAKERS))
    return key_of(model_key(candidates.model), *machine, *options) + '.choice.json'


def _load(cache: CacheFolder, name: str) -> Selection | None:
    content = cache.load(name)
    try:
        return None if content is None else Selection.from_dict(json.loads(content))
    except (ValueError, TypeError, KeyError):
        return None


def _confirmed(candidates: Candidates, earlier: Selection) -> Backend | None:
    """Return the engine of an earlier choice if its first rung still agrees."""
    first = timed_rungs(candidates.model)[:1]
    try:
        backend = candidates.make(earlier.engine, earlier.precision)
        if backend is candidates.eager:
            return backend
        found = _disagreement(candidates, backend, first[0], _reference(candidates, first[0]))
    except (EngineError, KeyError, StopIteration) as error:
        LOGGER.warning('%s %s, chosen earlier: %s', earlier.engine, earlier.precision, error)
        return None
    problem = found.problem(TOLERATED if earlier.chosen.problem else 1)
    if problem:
        LOGGER.warning('%s %s, chosen earlier: %s', earlier.engine, earlier.precision, problem)
    return None if problem else backend


class Trials:
    """Trials of all candidates on the rungs of a model."""

    def __init__(self, candidates: Candidates, engine: str, precision: str) -> None:
        self._candidates = candidates
        self._limit = time.monotonic() + TIME_LIMIT_S
        self._engine, self._precision = engine, precision
        self._wanted = _wanted(engine, precision)
        self._graphs = timed_rungs(candidates.model)
        if len(self._wanted) == 1:  # nothing to compare, so one rung shows that it works
            self._graphs = self._graphs[:1]
        self._backends: dict[str, Backend] = {}
        self.trials: list[Trial] = []
        self.failed = False

    def choose(self) -> tuple[Backend, Selection]:
        """Try all, and return the engine to use and what was found."""
        for engine, precision in dict.fromkeys([('torch', 'float32'), *self._wanted]):
            self._start(Trial(engine, precision))
        timed = 0
        for graph in self._graphs:
            if timed and time.monotonic() + RESERVE_S * len(self._backends) / 2 > self._limit:
                break
            self._try(graph)
            timed += 1
        best, reason = self._best()
        selection = Selection(
            self.trials, best.engine, best.precision, reason, self._shares()[:timed], self._about()
        )
        backend = self._backends.pop(best.name)
        for other in self._backends.values():
            other.close()
        return backend, selection

    def _start(self, trial: Trial) -> None:
        self.trials.append(trial)
        try:
            self._backends[trial.name] = self._candidates.make(trial.engine, trial.precision)
        except UnsupportedPrecision as error:
            trial.usable, trial.problem = False, str(error)
            level = logging.INFO if self._precision == AUTO else logging.WARNING
            LOGGER.log(level, 'engine %s is left out: %s', trial.name, error)
        except EngineError as error:
            self._drop(trial, str(error))

    def _drop(self, trial: Trial, problem: str) -> None:
        """Leave out a candidate that failed."""
        trial.usable, trial.problem = False, problem
        self._backends.pop(trial.name, None)
        self.failed = True
        LOGGER.warning('engine %s is left out: %s', trial.name, problem)

    def _try(self, graph: Graph) -> None:
        """Check and time all candidates on one rung."""
        expected = _reference(self._candidates, graph)
        for trial in self._running():
            self._check(trial, graph, expected)
        self._time(graph)

    def _check(self, trial: Trial, graph: Graph, expected: Maps) -> None:
        backend = self._backends[trial.name]
        try:
            found = _disagreement(self._candidates, backend, graph, expected)
        except EngineError as error:
            self._drop(trial, str(error))
        else:
            trial.agreement = trial.agreement.worst(found)
            self._judge(trial)

    def _judge(self, trial: Trial) -> None:
        """Leave out a candidate with wrong numbers; a named low precision may be a little off."""
        problem = trial.agreement.problem()
        named = trial.precision == self._precision != 'float32'
        if trial.agreement.problem(TOLERATED):
            self._drop(trial, f'wrong numbers: {problem}')
        elif problem and not named:
            trial.usable, trial.problem = False, problem
        elif problem and not trial.problem:
            trial.problem = f'warning: {problem}'
            LOGGER.warning('engine %s: %s', trial.name, problem)

    def _time(self, graph: Graph) -> None:
        """Time all candidates in turns."""
        pixels = self_test_image(*graph.size)
        times: dict[str, list[float]] = {trial.name: [] for trial in self._running()}
        for number in range(ROUNDS):
            if number and time.monotonic() > self._limit:
                break
            for name, values in times.items():
                time.sleep(PAUSE_S)
                begin = time.perf_counter()
                self._backends[name].run(pixels, graph)
                values.append(1000 * (time.perf_counter() - begin))
        for trial in self._running():
            trial.ms.append(round(statistics.median(times[trial.name]), 3))

    def _running(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.name in self._backends]

    def _best(self) -> tuple[Trial, str]:
        """Return the fastest usable candidate among the wanted ones, else the reference."""
        reference, wanted = self.trials[0], self._wanted
        usable = [
            trial for trial in self._running()
            if trial.usable and (trial.engine, trial.precision) in wanted
        ]  # fmt: skip
        if not usable:
            return reference, 'nothing else can be used'
        best = min(usable, key=lambda trial: _relative(trial, reference))
        if len(usable) == 1 and len(wanted) == 1:
            return best, 'as asked for'
        rest = [trial.name for trial in self._running() if not trial.usable]
        left = f'; {", ".join(rest)} not close enough' if rest else ''
        share = _relative(best, reference)
        return best, f'the fastest that agrees, {share:.2f} of the time of torch float32{left}'

    def _shares(self) -> list[float]:
        network, size = self._candidates.model.network, self._candidates.model.input_size
        return [
            round(network.plan_cost(graph.plan, size, graph.tasks).fraction, 3)
            for graph in self._graphs
        ]

    def _about(self) -> str:
        count = self._candidates.threads
        threads = '1 thread' if count == 1 else f'{count} threads'
        return f'{self._candidates.model.name}, {self._candidates.eager.device}, {threads}'


def _wanted(engine: str, precision: str) -> list[tuple[str, str]]:
    """Return the candidates for an engine and a precision, either of which may be 'auto'."""
    engines = list(MAKERS) if engine == AUTO else [engine]
    precisions = PRECISIONS[1:] if precision == AUTO else (precision,)
    return [(one, other) for one in engines for other in precisions]


def _relative(trial: Trial, reference: Trial) -> float:
    """Return the mean time relative to the reference."""
    return statistics.mean(a / b for a, b in zip(trial.ms, reference.ms, strict=True))


def static_plans(network: AdaptiveNetwork) -> list[Plan]:
    """Return the plans that do not depend on the image, the full network first."""
    depths = network.arch.depths
    return [rung.plan(depths) for rung in network.arch.ladder] or [uniform_plan(depths)]


def timed_rungs(model: Model) -> list[Graph]:
    """Return the graphs to try: the largest, a middle and the smallest rung, for all tasks."""
    network, plans = model.network, static_plans(model.network)
    steps = (len(plans) - 1) * np.linspace(0, 1, TIMED_RUNGS)
    picked = dict.fromkeys(int(step) for step in steps)
    return [
        Graph(plans[k], scaled_size(model.input_size, plans[k].scale), tuple(network.tasks))
        for k in picked
    ]


def _reference(candidates: Candidates, graph: Graph) -> Maps:
    return candidates.eager.run(self_test_image(*graph.size), graph).maps


def _disagreement(
    candidates: Candidates, backend: Backend, graph: Graph, expected: Maps
) -> Agreement:
    """Return the disagreement of an engine on a graph.

    Raises:
        EngineError: It fails.

    """
    try:
        backend.prepare(graph)
        found = backend.run(self_test_image(*graph.size), graph)
    except EngineError:
        raise
    except Exception as error:
        raise EngineError(f'{type(error).__name__}: {error}') from error
    if found.engine != backend.name:
        raise EngineError('it does not run the graph')
    return compare(found.maps, expected, candidates.model.network.tasks)


def compare(maps: Maps, expected: Maps, tasks: Mapping[str, Task]) -> Agreement:
    """Return the disagreement of raw maps with those of the reference.

    Args:
        maps: Raw maps by task, (channels, h, w).
        expected: Those of the reference.
        tasks: Tasks by name.

    """
    found = Agreement()
    for name, reference in expected.items():
        kind = tasks[name].kind
        off = _DIFFERENCES[kind](maps[name], reference)
        off = off if np.isfinite(maps[name]).all() else math.inf
        found = found.worst(Agreement(**{kind.value: off}))
    return found


def _labels(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    return float((found.argmax(0) != expected.argmax(0)).mean())


def _normals(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    lengths = np.linalg.norm(found, axis=0) * np.linalg.norm(expected, axis=0)
    cosines = (found * expected).sum(0) / np.maximum(lengths, np.finfo(np.float32).tiny)
    return float(np.degrees(np.median(np.arccos(np.clip(cosines, -1, 1)))))


def _depth(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    return float(np.median(np.abs(np.expm1(found - expected))))


def _probability(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    a, b = (1 / (1 + np.exp(-np.clip(logit, -30, 30))) for logit in (found, expected))
    return float(np.median(np.abs(a - b)))


_DIFFERENCES: dict[Kind, Callable[[Any, Any], float]] = {
    Kind.LABELS: _labels,
    Kind.NORMALS: _normals,
    Kind.DEPTH: _depth,
    Kind.PROBABILITY: _probability,
}


SELF_TEST_IMAGE = Path(__file__).with_name('self_test.jpg')
"""A drawn room, `scenes.compose.random_scene(0)`: on it bfloat16 changes about as many labels as on
photographs, on noise and simple shapes several times as many."""


@lru_cache(maxsize=2 * TIMED_RUNGS)
def self_test_image(height: int, width: int) -> NDArray[np.uint8]:
    """Return the image that engines are compared on, (h, w, 3) uint8."""
    image = cv2.imread(str(SELF_TEST_IMAGE))
    assert image is not None
    image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return np.ascontiguousarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))
