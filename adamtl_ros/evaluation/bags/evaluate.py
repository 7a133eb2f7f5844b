# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""One recording through the engine at every budget; reading and scoring go on beside it."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from adamtl_ros.data.bags import bag_name
from adamtl_ros.evaluation.bags.difference import thinned_out
from adamtl_ros.evaluation.bags.examples import Examples
from adamtl_ros.evaluation.bags.heat import Heat
from adamtl_ros.evaluation.bags.notes import Notes
from adamtl_ros.evaluation.bags.outputs import (
    PREDICTIONS,
    VIDEO,
    Predictions,
    Video,
    remove_outputs,
)
from adamtl_ros.evaluation.bags.recording import Recording
from adamtl_ros.evaluation.bags.result import (
    BagResult,
    BudgetResult,
    FrameCost,
    Streaming,
    bag_digest,
)
from adamtl_ros.evaluation.bags.scores import Scorer, Scores
from adamtl_ros.evaluation.bags.streaming import Answer, EmulatedNode
from adamtl_ros.evaluation.bags.truth import Wanted
from adamtl_ros.runtime.pipeline import Behind, ahead
from adamtl_ros.runtime.sensors import EnergyCounter
from adamtl_ros.tasks import select

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from adamtl_ros.evaluation.bags.recording import Frame
    from adamtl_ros.evaluation.bags.result import Settings
    from adamtl_ros.runtime.engine import Engine, Inference
    from adamtl_ros.tasks import Task

    Progress = Callable[[], object]
    Results = dict[str, NDArray[Any]]

WAIT_FREE_MS = 0.05
"""Shorter than any inference; keeps an engine of zero time from looking like none."""


def evaluate_bag(
    path: Path,
    engine: Engine,
    settings: Settings,
    progress: Progress | None = None,
    name: str = '',
) -> BagResult:
    """Run a model on every frame of a recording.

    The same bag, model and number of threads give the same result, but for the times, on any
    machine of one kind and however fast it is.

    Args:
        path: Folder of the bag, or a single .mcap file.
        engine: With the model.
        settings: What to evaluate.
        progress: Called after each frame.
        name: Of the results, and of the folder for them; that of the bag if not given.

    Returns:
        What was found. A bag that cannot be read, or has not the topics and classes that
        were named, has `failure` set.

    Raises:
        ValueError: Tasks that the model does not have.

    """
    begun = time.perf_counter()
    notes = Notes()
    known = engine.model.network.tasks
    tasks = {name: known[name] for name in select(settings.tasks or known, known)}
    result = BagResult(name or bag_name(path), '', notes)
    if settings.out:
        remove_outputs(settings.out / result.name)
    wanted = Wanted(settings.camera, settings.truth, settings.classes)
    try:
        recording = Recording(path, tasks, wanted, notes)
        result.digest = bag_digest(path)
    except (ValueError, OSError) as error:
        result.failure = str(error)
        return result
    result.camera, result.expected = recording.camera, recording.expected
    result.origins = {task: s.origin for task, s in recording.truth.sources.items()}
    _run(recording, engine, settings, tasks, result, progress or (lambda: None))
    result.labelled = dict(result.budgets[0].scores.truth.labelled)
    result.wall_s = time.perf_counter() - begun
    if not result.frames:
        result.failure = f'none of {recording.expected} images on {recording.camera} can be read'
    return result


def _run(
    recording: Recording,
    engine: Engine,
    settings: Settings,
    tasks: dict[str, Task],
    result: BagResult,
    progress: Progress,
) -> None:
    energy = EnergyCounter()
    with ExitStack() as stack:
        desk = _Desk(recording, engine, settings, tasks, result, stack)
        behind = stack.enter_context(Behind(desk.take))
        for frame in ahead(recording.frames()):
            answers, joules = [], []
            for budget in settings.budgets:
                before = energy.joules()
                answers.append(engine.run(frame.image, budget, tasks))
                joules.append(energy.joules() - before)
            behind.put(frame, answers, joules)
            progress()
    result.examples = desk.examples.chosen


class _Desk:
    """Takes each frame with its answers, in order, and does all that comes after the engine."""

    def __init__(
        self,
        recording: Recording,
        engine: Engine,
        settings: Settings,
        tasks: dict[str, Task],
        result: BagResult,
        stack: ExitStack,
    ) -> None:
        self._result, self._count = result, max(recording.expected, 1)
        truth = {name: tasks[name] for name in recording.truth.sources}
        arch = engine.model.network.arch
        for budget in settings.budgets:
            streaming = Streaming(Scores(tasks, truth)) if settings.realtime else None
            part = BudgetResult(budget, Scores(tasks, truth), [], Heat(arch), streaming)
            result.budgets.append(part)
        self._scorers = [Scorer(part.scores) for part in result.budgets]
        self._live = [
            _Live(part.streaming, result.notes) for part in result.budgets if part.streaming
        ]
        for live in self._live:
            stack.callback(live.finish)
        self._shown = settings.budgets.index(settings.shown)
        self.examples = Examples(result.name, tasks)
        self._outputs: list[Any] = []
        if settings.out:
            folder = settings.out / result.name
            name = f'{engine.model.name} at {settings.shown:g}'
            self._outputs.append(Predictions(folder / PREDICTIONS, tasks, name, settings.shown))
            self._outputs.append(Video(folder / VIDEO, tasks, name))
        for output in self._outputs:
            stack.callback(output.close)
        self._writer = stack.enter_context(Behind(self._write))

    def take(self, frame: Frame, answers: Sequence[Inference], joules: Sequence[float]) -> None:
        """Score a frame, and write it down."""
        self._result.frames += 1
        place = frame.index / self._count
        full = thinned_out(answers[0].results)
        parts = zip(self._result.budgets, self._scorers, answers, joules, strict=True)
        for part, scorer, answer, energy in parts:
            scorer.add(place, answer.results, full, frame.labels)
            part.costs.append(_cost(frame, answer, energy))
            part.heat.add(answer.plan, answer.input_size)
        for live, part, answer in zip(self._live, self._result.budgets, answers, strict=False):
            live.take(frame, part.costs[-1].latency_ms, answer.results, place, full)
        shown, cost = answers[self._shown], self._result.budgets[self._shown].costs[-1]
        self.examples.add(frame, shown.results, cost)
        self._writer.put(frame, shown, cost)

    def _write(self, frame: Frame, answer: Inference, cost: FrameCost) -> None:
        for output in self._outputs:
            output.add(frame, answer, cost)


class _Live:
    """An emulated node at one budget, and what its answers are worth."""

    def __init__(self, streaming: Streaming, notes: Notes) -> None:
        self._streaming, self._node, self._notes = streaming, EmulatedNode(), notes
        self._scorer = Scorer(streaming.scores)

    def take(
        self, frame: Frame, latency_ms: float, results: Results, place: float, full: Results
    ) -> None:
        """Let a frame arrive, and score what is known then."""
        latency = round(max(latency_ms, WAIT_FREE_MS) * 1e6)
        known = self._node.arrive(Answer(frame.recorded, latency, results))
        if known is None:
            self._streaming.blind += 1
        elif all(known[task].shape[:2] == frame.image.shape[:2] for task in known):
            self._scorer.add(place, known, full, frame.labels)
        else:
            what = f'image {frame.index}; what was known is of another size and is not scored'
            self._notes.add('frame size changes under the emulated node', what)

    def finish(self) -> None:
        """Let the node finish, and take its counts."""
        self._node.finish()
        self._streaming.dropped = self._node.dropped
        self._streaming.ages_ms = self._node.ages_ms


def _cost(frame: Frame, answer: Inference, energy: float) -> FrameCost:
    return FrameCost(
        stamp=frame.stamp,
        macs=answer.cost.macs,
        macs_full=answer.cost.macs_full,
        blocks_run=answer.cost.blocks_run,
        windows_run=answer.cost.windows_run,
        decode_ms=frame.decode_ms,
        preprocess_ms=float(answer.preprocess_ms),
        infer_ms=float(answer.infer_ms),
        postprocess_ms=float(answer.postprocess_ms),
        energy_j=energy,
    )
