# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Evaluation of one recording: the engine in this process, everything else in a worker process.

`evaluate_bag()` runs the engine. `score_recording()` runs in the worker process: it reads the
bag, sends each image to the engine, and gives the returned results to a `ScoringPipeline`, which
scores, emulates a node and writes predictions and video.
"""

from __future__ import annotations

import math
import time
from collections import deque
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from adamtl_ros.bags.reader import IssueLog, bag_name
from adamtl_ros.evaluation.bags.emulated_node import StreamingScorer
from adamtl_ros.evaluation.bags.outputs import (
    PREDICTIONS,
    VIDEO,
    Predictions,
    Video,
    remove_outputs,
)
from adamtl_ros.evaluation.bags.process import BackgroundWriter, prefetch, remote_call
from adamtl_ros.evaluation.bags.recording import Recording
from adamtl_ros.evaluation.bags.result import (
    BagResult,
    BudgetResult,
    Examples,
    FrameCost,
    Streaming,
    UsageMap,
    bag_digest,
)
from adamtl_ros.evaluation.bags.scores import Scorer, Scores, subsample
from adamtl_ros.evaluation.bags.temporal import evaluate_temporal
from adamtl_ros.governor.sensors import EnergyCounter
from adamtl_ros.runtime.threads import default_threads
from adamtl_ros.tasks import select
from adamtl_ros.text import reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from adamtl_ros.evaluation.bags.process import CallerConnection
    from adamtl_ros.evaluation.bags.recording import Frame
    from adamtl_ros.evaluation.bags.result import EvaluationSettings
    from adamtl_ros.nn.architecture import Architecture
    from adamtl_ros.runtime.engine import Engine, Inference
    from adamtl_ros.tasks import Task

    Progress = Callable[[], object]
    Results = dict[str, NDArray[Any]]
    Inferences = tuple[Sequence[Inference], Sequence[float]]

IN_FLIGHT = 2
"""Images queued for the engine while it runs on another one; less than `process.BUFFERS`."""


def evaluate_bag(
    path: Path,
    engine: Engine,
    settings: EvaluationSettings,
    progress: Progress | None = None,
    name: str = '',
) -> BagResult:
    """Run a model on every frame of a recording and score the results.

    The same bag, model and number of threads give the same result, except for times, on any
    machine of one kind, however fast it is.

    Args:
        path: Folder of the bag, or a single .mcap file.
        engine: Engine with the model.
        settings: Settings of the evaluation.
        progress: Callback after each frame.
        name: Name of the result and of its output folder; that of the bag if empty.

    Returns:
        Result of the recording. `failure` is set if the bag cannot be read, or lacks a topic or
        class that the settings name.

    Raises:
        ValueError: Tasks that the model does not have.
        WorkerProcessError: The worker process has died.

    Examples:
        >>> engine = Engine(load_model('indoor_lite0'))
        >>> settings = EvaluationSettings(budgets=(1.0, 0.5), shown=0.5)
        >>> result = evaluate_bag(Path('room'), engine, settings)
        >>> result.budgets[1].scores.truth.compute()['depth']['rmse']

    """
    started = time.perf_counter()
    network = engine.model.network
    names = select(settings.tasks or network.tasks, network.tasks)
    tasks = {task: network.tasks[task] for task in names}
    model = ModelInfo(
        name or bag_name(path), engine.model.name, tasks, network.arch, engine.model.focal
    )
    # A reused worker process may have another working folder.
    settings = replace(settings, out=settings.out and settings.out.absolute())
    run = _BudgetRunner(engine, settings.budgets, tasks)
    with remote_call(score_recording, path.absolute(), model, settings) as call:
        for image, focal in call:
            call.send(run(image, focal))
            if progress:
                progress()
    result: BagResult = call.result
    if settings.temporal and not result.failure:
        result.temporal = evaluate_temporal(path, engine, settings, tasks)
    result.wall_s = time.perf_counter() - started
    return result


class _BudgetRunner:
    """Runs the engine at each budget and measures the energy."""

    def __init__(self, engine: Engine, budgets: Iterable[float], tasks: Iterable[str]) -> None:
        self._engine, self._budgets, self._tasks = engine, tuple(budgets), tuple(tasks)
        self._energy = EnergyCounter()

    def __call__(self, image: NDArray[np.uint8], focal: float) -> Inferences:
        inferences, joules = [], []
        for budget in self._budgets:
            before = self._energy.joules()
            inferences.append(self._engine.run(image, budget, self._tasks, focal))
            joules.append(self._energy.joules() - before)
        return inferences, joules


@dataclass(frozen=True)
class ModelInfo:
    """Description of the evaluated model for the worker process.

    Attributes:
        result_name: Name of the result and of its output folder.
        name: Name of the model.
        tasks: Tasks that run, by name.
        arch: Architecture of the encoder.
        focal: Canonical focal length, as in `Model`.

    """

    result_name: str
    name: str
    tasks: Mapping[str, Task]
    arch: Architecture
    focal: float | None = None

    @property
    def needs_lens(self) -> bool:
        """Whether results depend on the focal length of the camera."""
        return self.focal is not None and 'depth' in self.tasks


def score_recording(
    connection: CallerConnection, path: Path, model: ModelInfo, settings: EvaluationSettings
) -> BagResult:
    """Send every image of a recording to the engine and score what comes back.

    Args:
        connection: Connection to the engine's process: sends images, (H, W, 3) uint8 RGB, each
            with its relative focal length, and receives for each, in the same order, the
            inferences by budget and their energies [J].
        path: Folder of the bag, or a single .mcap file.
        model: Description of the model.
        settings: Settings of the evaluation.

    Returns:
        Result without wall time; see `evaluate_bag()`.

    """
    result = BagResult(model.result_name, '', IssueLog())
    if settings.out:
        remove_outputs(settings.out / model.result_name)
    try:
        recording = Recording(path, model.tasks, settings.truth_config, result.issues)
        result.digest = bag_digest(path)
    except (ValueError, OSError) as error:
        result.failure = str(error)
        return result
    with ExitStack() as stack:
        pipeline = ScoringPipeline(recording, model, settings, result, stack)
        _exchange(connection, recording, pipeline)
    pipeline.finish()
    return result


def _exchange(
    connection: CallerConnection, recording: Recording, pipeline: ScoringPipeline
) -> None:
    pending: deque[Frame] = deque()
    frames = recording.frames()
    for frame in prefetch(frames) if _has_spare_core() else frames:
        connection.send((frame.image, frame.focal))
        pending.append(frame)
        if len(pending) > IN_FLIGHT:
            pipeline.add(pending.popleft(), *connection.recv())
    for frame in pending:
        pipeline.add(frame, *connection.recv())


def _has_spare_core() -> bool:
    """Return whether helper threads have a core besides that of the network."""
    return default_threads() > 1


class ScoringPipeline:
    """Everything that follows the engine: scores, costs, emulated node, examples, outputs.

    Frames must be added in order.
    """

    def __init__(
        self,
        recording: Recording,
        model: ModelInfo,
        settings: EvaluationSettings,
        result: BagResult,
        stack: ExitStack,
    ) -> None:
        """Start with no frame.

        Args:
            recording: Recording that the frames come from.
            model: Description of the model.
            settings: Settings of the evaluation.
            result: Result to fill.
            stack: Closes the outputs.

        """
        tasks, arch = model.tasks, model.arch
        self._needs_lens, self._info = model.needs_lens, recording.info
        self._result, self._count = result, max(recording.expected, 1)
        result.camera, result.expected = recording.camera, recording.expected
        result.origins = {task: s.origin for task, s in recording.truth.sources.items()}
        with_truth = {name: tasks[name] for name in recording.truth.sources}
        for budget in settings.budgets:
            streaming = Streaming(Scores(tasks, with_truth)) if settings.realtime else None
            scores, usage = Scores(tasks, with_truth), UsageMap(arch)
            result.budgets.append(BudgetResult(budget, scores, [], usage, streaming))
        self._scorers = [Scorer(row.scores) for row in result.budgets]
        streamings = [row.streaming for row in result.budgets if row.streaming]
        self._streaming = [StreamingScorer(one, result.issues) for one in streamings]
        for scorer in self._streaming:
            stack.callback(scorer.finish)
        self._shown = settings.budgets.index(settings.shown)
        self._examples = Examples(result.name, tasks)
        self._write = _open_outputs(model, settings, stack, result.issues)

    def add(self, frame: Frame, inferences: Sequence[Inference], joules: Sequence[float]) -> None:
        """Score a frame and write its outputs.

        Args:
            frame: Frame of the recording.
            inferences: Inference at each budget, full budget first.
            joules: Energy of each [J].

        """
        self._result.frames += 1
        self._check_lens(frame)
        position = frame.index / self._count
        full = subsample(inferences[0].results)
        rows = zip(self._result.budgets, self._scorers, inferences, joules, strict=True)
        for row, scorer, inference, energy in rows:
            scorer.add(position, inference.results, full, frame.labels)
            row.costs.append(_frame_cost(frame, inference, energy))
            row.usage.add(inference.plan, inference.input_size)
        for live, row, inference in zip(
            self._streaming, self._result.budgets, inferences, strict=False
        ):
            live.add(frame, row.costs[-1].latency_ms, inference.results, position, full)
        shown, cost = inferences[self._shown], self._result.budgets[self._shown].costs[-1]
        self._examples.add(frame, shown.results, cost)
        self._write(frame, shown, cost)

    def _check_lens(self, frame: Frame) -> None:
        if self._needs_lens and math.isnan(frame.focal):
            reason = f'{self._info} does not fit or has K = 0' if self._info else 'no camera_info'
            self._result.issues.add(
                'focal length unknown; depth is scaled as if the lens was that of the training',
                f'image {frame.index}: {reason}',
            )

    def finish(self) -> None:
        """Complete the result after the last frame."""
        result = self._result
        result.labelled = dict(result.budgets[0].scores.truth.labelled)
        result.examples = self._examples.chosen
        if not result.frames:
            images = f'{result.expected} images on {result.camera}'
            result.failure = f'none of {images} can be read'


def _frame_cost(frame: Frame, inference: Inference, energy: float) -> FrameCost:
    return FrameCost.from_records(inference.cost, inference, frame.stamp, frame.decode_ms, energy)


def _open_outputs(
    model: ModelInfo, settings: EvaluationSettings, stack: ExitStack, issues: IssueLog
) -> Callable[[Frame, Inference, FrameCost], None]:
    """Return a function that writes a frame to predictions and video, in the background."""
    outputs: list[_Output] = []
    if settings.out:
        folder, tasks = settings.out / model.result_name, model.tasks
        title = f'{model.name} at {settings.shown:g}'
        for name, make in (
            (PREDICTIONS, lambda: Predictions(folder / PREDICTIONS, tasks, title, settings.shown)),
            (VIDEO, lambda: Video(folder / VIDEO, tasks, title)),
        ):
            outputs.append(_Output(name, make, issues))
            stack.callback(outputs[-1].close)

    def write(frame: Frame, inference: Inference, cost: FrameCost) -> None:
        for output in outputs:
            output.add(frame, inference, cost)

    return stack.enter_context(BackgroundWriter(write)).put if _has_spare_core() else write


class _Output:
    """Predictions or video; a failure is an issue of the recording, and costs only this output."""

    def __init__(
        self, name: str, make: Callable[[], Predictions | Video], issues: IssueLog
    ) -> None:
        self._name, self._issues = name, issues
        self._output: Predictions | Video | None = None
        with self._reported():
            self._output = make()

    def add(self, frame: Frame, inference: Inference, cost: FrameCost) -> None:
        if self._output is not None:
            with self._reported():
                self._output.add(frame, inference, cost)

    def close(self) -> None:
        output, self._output = self._output, None
        if output is not None:
            with self._reported():
                output.close()

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001  of libraries, on times and sizes as recorded
            failed, self._output = self._output, None
            self._issues.add(f'{self._name} could not be written', reason(error))
            with suppress(Exception):
                if failed is not None:
                    failed.close()
