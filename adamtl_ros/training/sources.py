# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""From what a recipe says of its data to a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from adamtl_ros.sample import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from adamtl_ros.sample import Dataset
    from adamtl_ros.training.recipe import Source


def open_source(source: Source, workers: int = 1) -> Dataset:
    """Open a data set.

    Args:
        source: What the recipe says. Options of scenes are those of `ScenesConfig`; of bags
            those of `LabelledBag`.
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
    from adamtl_ros.data.labelled_bags import LabelledBag

    return LabelledBag(Path(source.root).expanduser(), **source.options)
