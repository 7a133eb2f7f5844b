# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""From what a recipe says of its data to a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from adamtl_ros.data.parts import Joined, Part, Resized, split_in_time
from adamtl_ros.sample import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from adamtl_ros.sample import Dataset
    from adamtl_ros.training.recipe import Source


def open_source(source: Source, workers: int = 1) -> Dataset:
    """Open a data set.

    Args:
        source: What the recipe says. Options of scenes are those of `ScenesConfig`; of bags
            those of `LabelledBag`, and `more` bags, `holdout` and `gap` of `split_in_time()`
            for the split 'train' or 'val', and a `size` at which images are learned from.
        workers: Processes that draw scenes which are not there yet.

    Raises:
        DataError: An unknown kind, unknown options, or data that is missing.

    """
    openers: dict[str, Callable[[Source, int], Dataset]] = {
        'scenes': _scenes, 'pascal_context': _pascal_context, 'nyud': _nyud, 'bags': _bags,
    }  # fmt: skip
    if source.kind not in openers:
        raise DataError(f"unknown data '{source.kind}', choose from: {', '.join(openers)}")
    try:
        return openers[source.kind](source, workers)
    except TypeError as error:
        raise DataError(f'options of {source.kind}: {error}') from error


def _scenes(source: Source, workers: int) -> Dataset:
    from adamtl_ros.data.generated import GeneratedScenes, ScenesConfig

    folder = Path(source.root).expanduser() if source.root else None
    return GeneratedScenes(
        ScenesConfig(**source.options), folder, workers=workers, progress=_progress()
    )


def _progress() -> Callable[[int, int], None]:
    """Return something that shows how many scenes have been drawn."""
    from tqdm import tqdm

    bars: list[Any] = []

    def show(done: int, every: int) -> None:
        if not bars:
            bars.append(tqdm(total=every, desc='drawing scenes', unit='scene'))
        bars[0].update(done - bars[0].n)
        if done == every:
            bars[0].close()

    return show


def _pascal_context(source: Source, workers: int) -> Dataset:  # noqa: ARG001
    from adamtl_ros.data.pascal_context import PascalContext

    return PascalContext(Path(source.root).expanduser(), source.split or 'train', **source.options)


def _nyud(source: Source, workers: int) -> Dataset:  # noqa: ARG001
    from adamtl_ros.data.nyud import Nyud

    return Nyud(Path(source.root).expanduser(), source.split or 'train', **source.options)


def _bags(source: Source, workers: int) -> Dataset:  # noqa: ARG001
    return _open_bags(source.root, source.split, **source.options)


def _open_bags(
    root: str,
    split: str,
    more: Sequence[str] = (),
    holdout: float = 0.0,
    gap: float = 0.0,
    size: tuple[int, int] | None = None,
    **options: Any,  # noqa: ANN401
) -> Dataset:
    """Open bags, all of each or its part of a split, at their size or another one."""
    from adamtl_ros.data.labelled_bags import LabelledBag

    if holdout and split not in ('train', 'val'):
        raise DataError(f"split of bags with a holdout must be 'train' or 'val', got '{split}'")
    members = []
    for path in (root, *more):
        bag = LabelledBag(Path(path).expanduser(), **options)
        parts = split_in_time(len(bag), holdout, gap)
        members.append(Part(bag, parts[1 if holdout and split == 'val' else 0]))
    joined = Joined(members)
    return Resized(joined, (size[0], size[1])) if size else joined
