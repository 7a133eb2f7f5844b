# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The frames on which the network spent most and least, as pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2

from adamtl_ros.evaluation.bags.result import Example
from adamtl_ros.runtime.colour import colourise
from adamtl_ros.runtime.tiles import row, tile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from adamtl_ros.evaluation.bags.recording import Frame
    from adamtl_ros.evaluation.bags.result import FrameCost
    from adamtl_ros.tasks import Task

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
    tiles = {name: tile(colourise(tasks[name], one), name) for name, one in results.items()}
    picture = row(tile(frame.image, 'camera'), tiles, tasks)
    data: bytes = cv2.imencode('.jpg', cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()
    return data
