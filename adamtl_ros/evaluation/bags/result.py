# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The frames on which the network spent most and least, as pictures."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from adamtl_ros.bags.ground_truth import ClassMap
from adamtl_ros.evaluation.bags.scores import Scores
from adamtl_ros.nn.swin.windows import window_grid
from adamtl_ros.viz.colorize import colorize
from adamtl_ros.viz.mosaic import row, tile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Self

    from numpy.typing import NDArray

    from adamtl_ros.bags.reader import IssueLog
    from adamtl_ros.evaluation.bags.recording import Frame
    from adamtl_ros.nn.gating.plan import Plan
    from adamtl_ros.nn.swin.architecture import Architecture
    from adamtl_ros.tasks import Task

MAP = (24, 32)
"""Height and width of the map, whatever the images measure."""


class UsageMap:
    """Adds up what ran, frame by frame."""

    def __init__(self, arch: Architecture) -> None:
        """Begin with nothing for an architecture."""
        self._arch = arch
        self.frames = 0
        self._blocks = np.zeros(sum(arch.depths), np.int64)
        self._map = np.zeros(MAP)

    def add(self, plan: Plan, size: tuple[int, int]) -> None:
        """Add a frame.

        Args:
            plan: What ran.
            size: Height and width that the network saw.

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
                    self._map += sum(_place(*grid, window) for window in block.windows)
            height, width = (height + 1) // 2, (width + 1) // 2

    def empty(self) -> Self:
        """Return one for the same architecture, with nothing in it."""
        return type(self)(self._arch)

    def merge(self, other: Self) -> None:
        """Add the sums of another one."""
        self.frames += other.frames
        self._blocks += other._blocks
        self._map += other._map

    @property
    def blocks(self) -> NDArray[np.float64]:
        """Share of the frames in which each block ran."""
        return self._blocks / max(self.frames, 1)

    @property
    def map(self) -> NDArray[np.float64]:
        """Share of the blocks that ran at each place, on average over frames."""
        return self._map / max(self.frames * len(self._blocks), 1)


@lru_cache(maxsize=4096)
def _place(height: int, width: int, side: int, shifted: bool, window: int) -> NDArray[np.float32]:
    """Return where a window lies on the map, in 0..1."""
    grid = window_grid(height, width, side, shifted)
    padded = np.zeros(grid.padded, np.float32)
    padded.ravel()[grid.order.view(grid.count, -1)[window].numpy()] = 1
    inside = padded[:height, :width]
    return cv2.resize(inside, MAP[::-1], interpolation=cv2.INTER_AREA)


@dataclass(frozen=True)
class EvaluationSettings:
    """What is to be evaluated, and how; travels to other processes and machines.

    Attributes:
        model: File or name.
        budgets: Each in (0, 1], descending, full budget first.
        tasks: Names of the tasks; all of the model's if empty.
        camera: Topic of the images; found if empty.
        truth: Topics of ground truth by task, besides those that are found.
        classes: What class ids mean, see `ClassMap.names`.
        threads: CPU threads of the network.
        realtime: Emulate a live node too.
        out: Folder for predictions and videos; none if not given.
        shown: The budget whose results are kept and drawn.
        adapter: File of adapters for the model; none if not given.

    """

    model: str = 'scenes_nano'
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

    def __post_init__(self) -> None:
        """Check the budgets.

        Raises:
            ValueError: Budgets out of range or order, or without full budget.

        """
        for budget in self.budgets:
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
    """What one frame cost at one budget.

    Attributes:
        stamp: Header stamp [ns].
        macs: Multiply-accumulates spent.
        macs_full: The same with everything on.
        blocks_run: Encoder blocks of which something ran.
        windows_run: Attention windows that ran.
        decode_ms: Message to image.
        preprocess_ms: Image to network.
        infer_ms: The network.
        postprocess_ms: Maps to results.
        energy_j: Energy of the processor meanwhile; NaN if not known.

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

    @property
    def share(self) -> float:
        """Spent share of the full MACs."""
        return self.macs / self.macs_full

    @property
    def latency_ms(self) -> float:
        """Decoding to results."""
        return self.decode_ms + self.preprocess_ms + self.infer_ms + self.postprocess_ms


@dataclass(frozen=True)
class Example:
    """A frame with its results as a picture.

    Attributes:
        bag: Name of the recording.
        stamp: Header stamp [ns].
        share: Spent share of the full MACs.
        picture: The frame and its results side by side, JPEG.

    """

    bag: str
    stamp: int
    share: float
    picture: bytes


@dataclass
class Streaming:
    """What an emulated live node would have done at one budget.

    Attributes:
        scores: Of what it knew when each frame arrived.
        dropped: Frames that it would not have processed.
        blind: Frames that arrived before its first answer.
        ages_ms: Of each answer when it was ready.

    """

    scores: Scores
    dropped: int = 0
    blind: int = 0
    ages_ms: list[float] = field(default_factory=list)

    def merge(self, other: Streaming) -> None:
        """Add the sums of another recording."""
        self.scores.merge(other.scores)
        self.dropped += other.dropped
        self.blind += other.blind
        self.ages_ms += other.ages_ms


@dataclass
class BudgetResult:
    """What one budget gave.

    Attributes:
        budget: Share of the full MACs that was asked for.
        scores: How good.
        costs: How dear, for each frame.
        heat: What ran where.
        streaming: What a live node would have done; None if nobody asked.
        live: It did, under budgets of its own: `budget` is the mean.

    """

    budget: float
    scores: Scores
    costs: list[FrameCost]
    heat: UsageMap
    streaming: Streaming | None = None
    live: bool = False

    def merge(self, other: BudgetResult) -> None:
        """Add another recording's."""
        self.scores.merge(other.scores)
        self.costs += other.costs
        self.heat.merge(other.heat)
        if self.streaming and other.streaming:
            self.streaming.merge(other.streaming)


@dataclass
class BagResult:
    """What one recording gave.

    Attributes:
        name: Of the bag.
        digest: SHA-256 of its files; empty if they cannot be read.
        camera: Topic of the images.
        expected: Images that it says it holds.
        frames: Those that were evaluated.
        origins: Where its ground truth comes from, by task.
        labelled: Frames with ground truth, by task.
        notes: What was wrong.
        failure: Why nothing was evaluated; empty if something was.
        budgets: What each budget gave.
        examples: Hardest and easiest frames at the shown budget.
        wall_s: How long it took.

    """

    name: str
    digest: str
    notes: IssueLog
    camera: str = ''
    expected: int = 0
    frames: int = 0
    origins: dict[str, str] = field(default_factory=dict)
    labelled: dict[str, int] = field(default_factory=dict)
    failure: str = ''
    budgets: list[BudgetResult] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)
    wall_s: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold, without any time."""
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
            'notes': self.notes.to_list(),
        }


def add_up(results: Sequence[BagResult], tasks: Mapping[str, Task]) -> list[BudgetResult]:
    """Return the sums over recordings, always in the order that is given.

    Args:
        results: Of each recording; those where nothing was evaluated add nothing.
        tasks: All tasks that ran.

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
    return BudgetResult(
        part.budget, Scores(tasks, tasks), [], part.heat.empty(), streaming, part.live
    )


def bag_digest(path: Path) -> str:
    """Return the SHA-256 of a file, or of the names and contents of a folder's files."""
    digest = hashlib.sha256()
    for file in [path] if path.is_file() else sorted(p for p in path.rglob('*') if p.is_file()):
        digest.update(file.relative_to(path).as_posix().encode() + b'\0')
        with file.open('rb') as opened:
            while block := opened.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def shares(costs: Sequence[FrameCost]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the spent shares of the full MACs."""
    return np.array([cost.share for cost in costs])


EACH = 2
"""So many of the hardest, and as many of the easiest."""
APART_NS = 1_000_000_000
"""Frames nearer than this show the same."""


class Examples:
    """Keeps pictures of the frames at both ends."""

    def __init__(self, bag: str, tasks: Mapping[str, Task]) -> None:
        """Begin with none, for a recording of that name."""
        self._bag, self._tasks = bag, tasks
        self._hard: list[Example] = []
        self._easy: list[Example] = []

    @property
    def chosen(self) -> list[Example]:
        """The hardest ones, then the easiest, each once."""
        return [*self._hard, *(one for one in self._easy if one not in self._hard)]

    def add(self, frame: Frame, results: Mapping[str, Any], cost: FrameCost) -> None:
        """Keep a frame if it is among the hardest or easiest so far."""
        wins_hard = _wins(self._hard, cost, sign=1)
        wins_easy = _wins(self._easy, cost, sign=-1)
        if wins_hard or wins_easy:
            picture = _draw(frame, results, self._tasks)
            example = Example(self._bag, cost.stamp, cost.share, picture)
            if wins_hard:
                self._hard = best([*self._hard, example], sign=1)
            if wins_easy:
                self._easy = best([*self._easy, example], sign=-1)


def best(examples: list[Example], *, sign: int) -> list[Example]:
    """Return the hardest (1) or easiest (-1) ones, of those near to each other only the first."""
    kept: list[Example] = []
    for one in sorted(examples, key=lambda example: -sign * example.share):
        near = any(k.bag == one.bag and abs(k.stamp - one.stamp) < APART_NS for k in kept)
        if not near and len(kept) < EACH:
            kept.append(one)
    return kept


def _wins(kept: list[Example], cost: FrameCost, *, sign: int) -> bool:
    beaten = [one for one in kept if sign * cost.share > sign * one.share]
    near = [one for one in kept if abs(one.stamp - cost.stamp) < APART_NS]
    return all(one in beaten for one in near) and (len(kept) < EACH or bool(beaten))


def _draw(frame: Frame, results: Mapping[str, Any], tasks: Mapping[str, Task]) -> bytes:
    tiles = {name: tile(colorize(tasks[name], one), name) for name, one in results.items()}
    picture = row(tile(frame.image, 'camera'), tiles, tasks)
    data: bytes = cv2.imencode('.jpg', cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()
    return data
