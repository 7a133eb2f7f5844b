# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""All of an evaluation but the network: reading, scoring, drawing; in a process beside it."""

from __future__ import annotations

from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adamtl_ros.bags.ground_truth import TruthConfig
from adamtl_ros.bags.reader import IssueLog
from adamtl_ros.evaluation.bags.live import Answer, EmulatedNode
from adamtl_ros.evaluation.bags.outputs import (
    PREDICTIONS,
    VIDEO,
    Predictions,
    Video,
    remove_outputs,
)
from adamtl_ros.evaluation.bags.process import BackgroundWriter, prefetch
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
from adamtl_ros.runtime.threads import default_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from adamtl_ros.evaluation.bags.process import CallerConnection
    from adamtl_ros.evaluation.bags.recording import Frame
    from adamtl_ros.evaluation.bags.result import EvaluationSettings
    from adamtl_ros.nn.swin.architecture import Architecture
    from adamtl_ros.runtime.engine import Inference
    from adamtl_ros.tasks import Task

    Results = dict[str, NDArray[Any]]
    Answers = tuple[Sequence[Inference], Sequence[float]]

WAIT_FREE_MS = 0.05
"""Shorter than any inference; keeps an engine of zero time from looking like none."""
AHEAD = 2
"""Images that wait for the network while it is busy with one."""


@dataclass(frozen=True)
class ModelInfo:
    """Who answers to a recording, and what its results are called.

    Attributes:
        name: Of the results, and of the folder for them.
        model: Name of the model.
        tasks: Those that it answers to.
        arch: What it is built like.

    """

    name: str
    model: str
    tasks: Mapping[str, Task]
    arch: Architecture


def score_recording(
    talk: CallerConnection, path: Path, subject: ModelInfo, settings: EvaluationSettings
) -> BagResult:
    """Show every image of a recording to somebody who answers, and find what the answers are worth.

    Args:
        talk: Says images, (H, W, 3) uint8 RGB; hears for each, in the same order, what the
            engine answered at each budget, and the energy of each [J].
        path: Folder of the bag, or a single .mcap file.
        subject: Who answers.
        settings: What to evaluate.

    Returns:
        What was found, but for how long it took; see `evaluate_bag()`.

    """
    result = BagResult(subject.name, '', IssueLog())
    if settings.out:
        remove_outputs(settings.out / subject.name)
    wanted = TruthConfig(settings.camera, settings.truth, settings.classes)
    try:
        recording = Recording(path, subject.tasks, wanted, result.notes)
        result.digest = bag_digest(path)
    except (ValueError, OSError) as error:
        result.failure = str(error)
        return result
    with ExitStack() as stack:
        desk = ScoringPipeline(recording, subject, settings, result, stack)
        _converse(talk, recording, desk)
    desk.conclude()
    return result


def _converse(talk: CallerConnection, recording: Recording, desk: ScoringPipeline) -> None:
    waiting: deque[Frame] = deque()
    frames = recording.frames()
    for frame in prefetch(frames) if _more_than_one_core() else frames:
        talk.say(frame.image)
        waiting.append(frame)
        if len(waiting) > AHEAD:
            desk.take(waiting.popleft(), *talk.hear())
    for frame in waiting:
        desk.take(frame, *talk.hear())


def _more_than_one_core() -> bool:
    """Return whether there is more than one beside the network's, which threads would disturb."""
    return default_threads() > 1


class ScoringPipeline:
    """Takes each frame with its answers, in order, and does all that comes after the engine."""

    def __init__(
        self,
        recording: Recording,
        subject: ModelInfo,
        settings: EvaluationSettings,
        result: BagResult,
        stack: ExitStack,
    ) -> None:
        tasks, arch = subject.tasks, subject.arch
        self._result, self._count = result, max(recording.expected, 1)
        result.camera, result.expected = recording.camera, recording.expected
        result.origins = {task: s.origin for task, s in recording.truth.sources.items()}
        truth = {name: tasks[name] for name in recording.truth.sources}
        for budget in settings.budgets:
            streaming = Streaming(Scores(tasks, truth)) if settings.realtime else None
            part = BudgetResult(budget, Scores(tasks, truth), [], UsageMap(arch), streaming)
            result.budgets.append(part)
        self._scorers = [Scorer(part.scores) for part in result.budgets]
        live = [part.streaming for part in result.budgets if part.streaming]
        self._live = [_Live(streaming, result.notes) for streaming in live]
        for one in self._live:
            stack.callback(one.finish)
        self._shown = settings.budgets.index(settings.shown)
        self._examples = Examples(result.name, tasks)
        self._write = _writing(subject, settings, stack)

    def take(self, frame: Frame, answers: Sequence[Inference], joules: Sequence[float]) -> None:
        """Score a frame, and write it down."""
        self._result.frames += 1
        place = frame.index / self._count
        full = subsample(answers[0].results)
        parts = zip(self._result.budgets, self._scorers, answers, joules, strict=True)
        for part, scorer, answer, energy in parts:
            scorer.add(place, answer.results, full, frame.labels)
            part.costs.append(_cost(frame, answer, energy))
            part.heat.add(answer.plan, answer.input_size)
        for live, part, answer in zip(self._live, self._result.budgets, answers, strict=False):
            live.take(frame, part.costs[-1].latency_ms, answer.results, place, full)
        shown, cost = answers[self._shown], self._result.budgets[self._shown].costs[-1]
        self._examples.add(frame, shown.results, cost)
        self._write(frame, shown, cost)

    def conclude(self) -> None:
        """Say of the result what is known only in the end."""
        result = self._result
        result.labelled = dict(result.budgets[0].scores.truth.labelled)
        result.examples = self._examples.chosen
        if not result.frames:
            images = f'{result.expected} images on {result.camera}'
            result.failure = f'none of {images} can be read'


def _writing(
    subject: ModelInfo, settings: EvaluationSettings, stack: ExitStack
) -> Callable[[Frame, Inference, FrameCost], None]:
    """Return what writes predictions and video of the frames that it is called with."""
    outputs: list[Predictions | Video] = []
    if settings.out:
        folder, tasks = settings.out / subject.name, subject.tasks
        title = f'{subject.model} at {settings.shown:g}'
        outputs.append(Predictions(folder / PREDICTIONS, tasks, title, settings.shown))
        stack.callback(outputs[-1].close)
        outputs.append(Video(folder / VIDEO, tasks, title))
        stack.callback(outputs[-1].close)

    def write(frame: Frame, answer: Inference, cost: FrameCost) -> None:
        for output in outputs:
            output.add(frame, answer, cost)

    return stack.enter_context(BackgroundWriter(write)).put if _more_than_one_core() else write


class _Live:
    """An emulated node at one budget, and what its answers are worth."""

    def __init__(self, streaming: Streaming, notes: IssueLog) -> None:
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
