# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Settings and results of an evaluation: records that worker processes and machines exchange.

`BagResult` is the result of one recording, with a `BudgetResult` for each budget: scores, costs of
the frames (`FrameCost`) and the map of what ran (`UsageMap`). `add_up()` sums over recordings.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from math import isnan, nan
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from adamtl_ros.bags.ground_truth import ClassMap, TruthConfig, check_max_depth
from adamtl_ros.evaluation.bags.scores import Scores, TruthScores
from adamtl_ros.labels import MAX_DEPTH_M
from adamtl_ros.nn.swin.windows import window_grid
from adamtl_ros.stream.account import WINDOW_S
from adamtl_ros.viz.colorize import colorize
from adamtl_ros.viz.legend import Legend
from adamtl_ros.viz.mosaic import strip, strip_legend, tile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path
    from typing import Self

    from numpy.typing import NDArray

    from adamtl_ros.bags.reader import IssueLog
    from adamtl_ros.evaluation.bags.recording import Frame
    from adamtl_ros.nn.architecture import Architecture
    from adamtl_ros.nn.gating.plan import Plan
    from adamtl_ros.tasks import Task

MAP = (24, 32)
"""Height and width of a usage map, for any size of the images."""
WORK = ('macs', 'macs_full', 'blocks_run', 'windows_run')
"""Fields of `FrameCost` that the network's `Cost` and the message `ComputeStats` have too."""
STAGES = ('preprocess_ms', 'infer_ms', 'postprocess_ms')
"""Fields of `FrameCost` that `Inference` and the message `ComputeStats` have too."""


class UsageMap:
    """Counts of how often each encoder block ran, and where in the image."""

    def __init__(self, arch: Architecture) -> None:
        """Start without frames.

        Args:
            arch: Architecture of the encoder.

        """
        self._arch = arch
        self.frames = 0
        self._blocks = np.zeros(sum(arch.depths), np.int64)
        self._map = np.zeros(MAP)

    def add(self, plan: Plan, size: tuple[int, int]) -> None:
        """Add a frame.

        Args:
            plan: Blocks and windows that ran.
            size: Height and width of the network's input [pixels].

        """
        self.frames += 1
        self._blocks += [block.run for block in plan.blocks]
        height, width = (side // self._arch.patch for side in size)
        for stage in plan.stages:
            for number, block in enumerate(stage):
                if not block.run:
                    continue
                if block.windows is None:
                    self._map += 1
                else:
                    grid = (height, width, self._arch.window, number % 2 == 1)
                    self._map += sum(_footprint(*grid, window) for window in block.windows)
            height, width = (height + 1) // 2, (width + 1) // 2

    def empty(self) -> Self:
        """Return a map without frames for the same architecture."""
        return type(self)(self._arch)

    def merge(self, other: Self) -> None:
        """Add the frames of another map."""
        self.frames += other.frames
        self._blocks += other._blocks
        self._map += other._map

    @property
    def blocks(self) -> NDArray[np.float64]:
        """Fraction of the frames in which each block ran, (blocks,)."""
        return self._blocks / max(self.frames, 1)

    @property
    def map(self) -> NDArray[np.float64]:
        """Mean fraction of the blocks that ran at each place, of shape `MAP`."""
        return self._map / max(self.frames * len(self._blocks), 1)


@lru_cache(maxsize=4096)
def _footprint(
    height: int, width: int, side: int, shifted: bool, window: int
) -> NDArray[np.float32]:
    """Return the coverage of each cell of the map by a window, 0..1."""
    grid = window_grid(height, width, side, shifted)
    padded = np.zeros(grid.padded, np.float32)
    padded.ravel()[grid.order.view(grid.count, -1)[window].numpy()] = 1
    inside = padded[:height, :width]
    return cv2.resize(inside, MAP[::-1], interpolation=cv2.INTER_AREA)


@dataclass(frozen=True)
class EvaluationSettings:
    """Settings of an evaluation.

    Attributes:
        model: File or name of the model.
        budgets: Budgets in (0, 1], descending from 1.
        tasks: Names of the tasks; all of the model's if empty.
        camera: Topic of the images; found if empty.
        truth: Topics of ground truth by task, besides those that are found.
        classes: Class names by class id of the recordings.
        threads: CPU threads of the network.
        realtime: Whether to emulate a live node too.
        out: Folder for predictions and videos; None to write none.
        shown: Budget whose results are written and drawn.
        adapter: Adapter file for the model; None for no adapters.
        max_depth: Greatest depth of the ground truth that is believed [m].
        engine: Engine that runs the network.
        precision: Its precision.
        temporal: Budgets at which the stream is compared with simple alternatives; none if empty.

    """

    model: str = 'indoor_lite0'
    budgets: tuple[float, ...] = (1.0, 0.75, 0.5, 0.35)
    tasks: tuple[str, ...] = ()
    camera: str = ''
    truth: Mapping[str, str] = field(default_factory=dict)
    classes: ClassMap = field(default_factory=ClassMap)
    threads: int = 1
    realtime: bool = False
    out: Path | None = None
    shown: float = 0.35
    adapter: Path | None = None
    max_depth: float = MAX_DEPTH_M
    engine: str = 'torch'
    precision: str = 'float32'
    temporal: tuple[float, ...] = ()

    @property
    def truth_config(self) -> TruthConfig:
        """Topics and meaning of the ground truth."""
        return TruthConfig(self.camera, self.truth, self.classes, max_depth=self.max_depth)

    def __post_init__(self) -> None:
        """Check the budgets and the greatest depth.

        Raises:
            ValueError: Budgets out of range or order, or without full budget; a depth that is not
                above 0.

        """
        check_max_depth(self.max_depth)
        for budget in (*self.budgets, *self.temporal):
            if not 0 < budget <= 1:
                raise ValueError(f'a budget must lie in (0, 1], got {budget}')
        if self.budgets[:1] != (1.0,) or list(self.budgets) != sorted(set(self.budgets))[::-1]:
            raise ValueError(f'budgets must begin with 1.0 and fall, got {self.budgets}')
        if self.threads < 1:
            raise ValueError(f'the network needs at least 1 thread, got {self.threads}')
        if self.shown not in self.budgets:
            raise ValueError(f'budget {self.shown} is not evaluated, choose from: {self.budgets}')


@dataclass(frozen=True, slots=True)
class FrameCost:
    """Cost of one frame at one budget.

    Attributes:
        stamp: Header stamp [ns].
        macs: Multiply-accumulates executed.
        macs_full: Multiply-accumulates with everything on.
        blocks_run: Encoder blocks that ran at least in part.
        windows_run: Attention windows that ran.
        decode_ms: Time from message to image [ms].
        preprocess_ms: Time from image to network input [ms].
        infer_ms: Time of the network [ms].
        postprocess_ms: Time from network output to results [ms].
        energy_j: Energy of the processor during inference [J]; NaN if not known.

    """

    stamp: int
    macs: int
    macs_full: int
    blocks_run: int
    windows_run: int
    decode_ms: float
    preprocess_ms: float
    infer_ms: float
    postprocess_ms: float
    energy_j: float

    @classmethod
    def from_records(
        cls, work: Any, times: Any, stamp: int, decode_ms: float, energy_j: float
    ) -> Self:
        """Return the cost of a frame from records that have the same field names.

        Args:
            work: Record with the fields `WORK`: `Inference.cost`, or a message `ComputeStats`.
            times: Record with the fields `STAGES`: an `Inference`, or a message `ComputeStats`.
            stamp: Header stamp [ns].
            decode_ms: Time from message to image [ms].
            energy_j: Energy of the processor during inference [J].

        """
        fields = {name: getattr(work, name) for name in WORK}
        fields |= {name: float(getattr(times, name)) for name in STAGES}
        return cls(stamp=stamp, decode_ms=decode_ms, energy_j=energy_j, **fields)

    @property
    def mac_fraction(self) -> float:
        """Executed fraction of the full MACs."""
        return self.macs / self.macs_full

    @property
    def latency_ms(self) -> float:
        """Time from message to results [ms]."""
        return self.decode_ms + self.preprocess_ms + self.infer_ms + self.postprocess_ms


@dataclass(frozen=True)
class Example:
    """Picture of a frame and its results.

    Attributes:
        bag: Name of the recording.
        stamp: Header stamp [ns].
        mac_fraction: Executed fraction of the full MACs.
        picture: Frame and results side by side, JPEG.

    """

    bag: str
    stamp: int
    mac_fraction: float
    picture: bytes


@dataclass
class Streaming:
    """Performance of a live node, emulated or recorded, at one budget.

    Attributes:
        scores: Scores of the newest results at the arrival of each frame.
        dropped: Frames that the node did not process.
        blind: Frames that arrived before the first results.
        ages_ms: Age of the results of each frame when they were ready.

    """

    scores: Scores
    dropped: int = 0
    blind: int = 0
    ages_ms: list[float] = field(default_factory=list)

    def merge(self, other: Streaming) -> None:
        """Add another recording."""
        self.scores.merge(other.scores)
        self.dropped += other.dropped
        self.blind += other.blind
        self.ages_ms += other.ages_ms


@dataclass
class BudgetResult:
    """Result at one budget.

    Attributes:
        budget: Requested fraction of the full MACs.
        scores: Quality of the results.
        costs: Cost of each frame.
        usage: Blocks and places of the image that were processed.
        streaming: Performance of a live node; None if not evaluated.
        from_recorded_node: Whether a recorded node gave the results, so that `budget` is the mean
            of its own budgets.

    """

    budget: float
    scores: Scores
    costs: list[FrameCost]
    usage: UsageMap
    streaming: Streaming | None = None
    from_recorded_node: bool = False

    def merge(self, other: BudgetResult) -> None:
        """Add another recording."""
        self.scores.merge(other.scores)
        self.costs += other.costs
        self.usage.merge(other.usage)
        if self.streaming and other.streaming:
            self.streaming.merge(other.streaming)


@dataclass
class WayResult:
    """Result of a way on one recording.

    Attributes:
        name: Name of the way.
        budget: Mean share of the full MACs that it may spend.
        scores: Quality of the results.
        near_people: Quality near people; empty without ground truth of human parts.
        flicker: Mean change of a pixel from frame to frame by task; see `flicker.change()`.
        stamps: Stamp of each frame [s].
        shares: Share of the full MACs of each frame.
        ms: Time from image to results of each frame [ms].
        ages: Age of the newest answer in the results of each frame [s]; NaN if unknown.
        actions: Number of frames by what was done.
        streaming: Performance of an emulated live node; None if not evaluated.

    """

    name: str
    budget: float
    scores: Scores
    near_people: TruthScores
    flicker: dict[str, float] = field(default_factory=dict)
    stamps: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    ms: list[float] = field(default_factory=list)
    ages: list[float] = field(default_factory=list)
    actions: Counter[str] = field(default_factory=Counter)
    streaming: Streaming | None = None

    @property
    def largest_window(self) -> float:
        """Largest mean share of any `WINDOW_S`; NaN for a shorter recording."""
        stamps, spent = np.array(self.stamps), np.concatenate([[0.0], np.cumsum(self.shares)])
        ends = np.searchsorted(stamps, stamps + WINDOW_S - 1e-3)
        whole = stamps + WINDOW_S <= (stamps[-1:] + _interval(stamps) + 1e-3)
        begins = np.arange(len(stamps))[whole]
        if not len(begins):
            return nan
        return float(((spent[ends[whole]] - spent[begins]) / (ends[whole] - begins)).max())

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of `metrics.json`."""
        labelled, near = self.scores.truth.labelled, self.near_people
        return {
            'name': self.name,
            'budget': self.budget,
            'share': float(np.mean(self.shares)),
            'largest_share_3s': self.largest_window,
            'actions': dict(self.actions),
            'age_s': _mean(self.ages),
            'largest_age_s': max((age for age in self.ages if not isnan(age)), default=nan),
            'truth': {t: v for t, v in self.scores.truth.compute().items() if labelled[t]},
            'near_people': {t: v for t, v in near.compute().items() if near.labelled[t]},
            'flicker': self.flicker,
            'differs_from_full': self.scores.against_full.compute(),
        }

    def times(self) -> dict[str, Any]:
        """Return what depends on the machine."""
        times: dict[str, Any] = {f'p{p}': float(np.percentile(self.ms, p)) for p in (50, 95)}
        times['mean'] = _mean(self.ms)
        if self.streaming:
            truth = self.streaming.scores.truth
            times['live'] = {
                'dropped': self.streaming.dropped,
                'age_ms': _mean(self.streaming.ages_ms),
                'truth': {t: v for t, v in truth.compute().items() if truth.labelled[t]},
            }
        return times


def _interval(stamps: NDArray[np.float64]) -> float:
    return float(np.median(np.diff(stamps))) if len(stamps) > 1 else 0.0


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not isnan(value)]
    return float(np.mean(known)) if known else nan


@dataclass
class BagResult:
    """Result of one recording.

    Attributes:
        name: Name of the recording.
        digest: SHA-256 of its files; empty if they cannot be read.
        issues: Log of what was wrong with the recording.
        camera: Topic of the images.
        expected: Number of images according to the bag.
        frames: Number of evaluated frames.
        origins: Source of the ground truth by task.
        labelled: Number of frames with ground truth by task.
        failure: Reason why nothing was evaluated; empty otherwise.
        budgets: Result at each budget.
        examples: Hardest and easiest frames at the shown budget.
        wall_s: Duration of the evaluation [s].
        temporal: Results of the ways to answer a stream; see `temporal`.

    """

    name: str
    digest: str
    issues: IssueLog
    camera: str = ''
    expected: int = 0
    frames: int = 0
    origins: dict[str, str] = field(default_factory=dict)
    labelled: dict[str, int] = field(default_factory=dict)
    failure: str = ''
    budgets: list[BudgetResult] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)
    wall_s: float = 0.0
    temporal: list[WayResult] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of `metrics.json`; it contains no times."""
        return {
            'name': self.name,
            'sha256': self.digest,
            'camera': self.camera,
            'images': self.expected,
            'evaluated': self.frames,
            'ground_truth': {
                task: {'from': origin, 'frames': self.labelled.get(task, 0)}
                for task, origin in self.origins.items()
            },
            'failure': self.failure,
            'notes': self.issues.to_list(),
        }


def add_up(results: Sequence[BagResult], tasks: Mapping[str, Task]) -> list[BudgetResult]:
    """Return the results by budget, summed over recordings in the given order.

    Args:
        results: Result of each recording.
        tasks: All tasks that ran, by name.

    """
    totals: list[BudgetResult] = []
    for result in results:
        for index, part in enumerate(result.budgets):
            if index == len(totals):
                totals.append(_empty_like(part, tasks))
            totals[index].merge(part)
    return totals


def _empty_like(part: BudgetResult, tasks: Mapping[str, Task]) -> BudgetResult:
    streaming = Streaming(Scores(tasks, tasks)) if part.streaming else None
    scores, usage = Scores(tasks, tasks), part.usage.empty()
    return BudgetResult(part.budget, scores, [], usage, streaming, part.from_recorded_node)


def bag_digest(path: Path) -> str:
    """Return the SHA-256 of a file, or of the names and contents of a folder's files."""
    digest = hashlib.sha256()
    for file in [path] if path.is_file() else sorted(p for p in path.rglob('*') if p.is_file()):
        digest.update(file.relative_to(path).as_posix().encode() + b'\0')
        with file.open('rb') as opened:
            while block := opened.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def mac_fractions(costs: Sequence[FrameCost]) -> NDArray[np.float64]:
    """Return the executed fraction of the full MACs of each frame, (frames,)."""
    return np.array([cost.mac_fraction for cost in costs])


EXAMPLES = 2
"""Number of hardest examples, and of easiest ones."""
MIN_GAP_NS = 1_000_000_000
"""Least time between examples; closer frames look the same."""


class Examples:
    """Pictures of the hardest and easiest frames: those with the most and the fewest MACs."""

    def __init__(self, bag: str, tasks: Mapping[str, Task]) -> None:
        """Start without frames.

        Args:
            bag: Name of the recording.
            tasks: Tasks that run, by name.

        """
        self._bag, self._tasks = bag, tasks
        self._hard: list[Example] = []
        self._easy: list[Example] = []

    @property
    def chosen(self) -> list[Example]:
        """The hardest examples, then the easiest, without duplicates."""
        return [*self._hard, *(one for one in self._easy if one not in self._hard)]

    def add(self, frame: Frame, results: Mapping[str, Any], cost: FrameCost) -> None:
        """Add a frame; it is drawn only if it is among the hardest or easiest so far."""
        is_hard = _qualifies(self._hard, cost, sign=1)
        is_easy = _qualifies(self._easy, cost, sign=-1)
        if is_hard or is_easy:
            picture = _draw(frame, results, self._tasks)
            example = Example(self._bag, cost.stamp, cost.mac_fraction, picture)
            if is_hard:
                self._hard = select_examples([*self._hard, example], sign=1)
            if is_easy:
                self._easy = select_examples([*self._easy, example], sign=-1)


def select_examples(examples: list[Example], *, sign: int) -> list[Example]:
    """Return the hardest or easiest examples that are `MIN_GAP_NS` apart.

    Args:
        examples: Candidates.
        sign: 1 for the hardest, -1 for the easiest.

    """
    chosen: list[Example] = []
    for one in sorted(examples, key=lambda example: -sign * example.mac_fraction):
        near = any(k.bag == one.bag and abs(k.stamp - one.stamp) < MIN_GAP_NS for k in chosen)
        if not near and len(chosen) < EXAMPLES:
            chosen.append(one)
    return chosen


def _qualifies(chosen: list[Example], cost: FrameCost, *, sign: int) -> bool:
    """Return whether a frame would be among the chosen examples."""
    beaten = [one for one in chosen if sign * cost.mac_fraction > sign * one.mac_fraction]
    near = [one for one in chosen if abs(one.stamp - cost.stamp) < MIN_GAP_NS]
    return all(one in beaten for one in near) and (len(chosen) < EXAMPLES or bool(beaten))


def _draw(frame: Frame, results: Mapping[str, Any], tasks: Mapping[str, Task]) -> bytes:
    tiles = {name: tile(colorize(tasks[name], one), name) for name, one in results.items()}
    legend = Legend(tasks)
    for name, one in results.items():
        legend.add(name, one)
    row = strip(tile(frame.image, 'camera'), tiles, tasks)
    picture = np.vstack([row, strip_legend(legend, tasks)])
    data: bytes = cv2.imencode('.jpg', cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()
    return data
