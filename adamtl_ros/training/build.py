# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The network that a training starts with: at random, or from weights that are there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from adamtl_ros.data.transforms import ConcatDataset, Resized, Subset, split_in_time
from adamtl_ros.nn.adapters.inject import inject, unmerge
from adamtl_ros.nn.io.checkpoint import load_model
from adamtl_ros.nn.io.convert import load_swin
from adamtl_ros.nn.network import AdaptiveNetwork, init_weights
from adamtl_ros.nn.swin.architecture import architecture
from adamtl_ros.sample import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from adamtl_ros.sample import Dataset
    from adamtl_ros.tasks import Task
    from adamtl_ros.training.recipe import DataConfig, Recipe


def build_dataset(source: DataConfig, workers: int = 1) -> Dataset:
    """Open a data set.

    Args:
        source: What the recipe says. Options of scenes are those of `ScenesConfig`; of bags
            those of `LabelledBag`, and `more` bags, `holdout` and `gap` of `split_in_time()`
            for the split 'train' or 'val', and a `size` at which images are learned from.
        workers: Processes that draw scenes which are not there yet.

    Raises:
        DataError: An unknown kind, unknown options, or data that is missing.

    """
    openers: dict[str, Callable[[DataConfig, int], Dataset]] = {
        'scenes': _scenes, 'pascal_context': _pascal_context, 'nyud': _nyud, 'bags': _bags,
    }  # fmt: skip
    if source.kind not in openers:
        raise DataError(f"unknown data '{source.kind}', choose from: {', '.join(openers)}")
    try:
        return openers[source.kind](source, workers)
    except TypeError as error:
        raise DataError(f'options of {source.kind}: {error}') from error


def _scenes(source: DataConfig, workers: int) -> Dataset:
    from adamtl_ros.data.synthetic import ScenesConfig, SyntheticScenes

    folder = Path(source.root).expanduser() if source.root else None
    return SyntheticScenes(
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


def _pascal_context(source: DataConfig, workers: int) -> Dataset:  # noqa: ARG001
    from adamtl_ros.data.pascal_context import PascalContext

    return PascalContext(Path(source.root).expanduser(), source.split or 'train', **source.options)


def _nyud(source: DataConfig, workers: int) -> Dataset:  # noqa: ARG001
    from adamtl_ros.data.nyud import Nyud

    return Nyud(Path(source.root).expanduser(), source.split or 'train', **source.options)


def _bags(source: DataConfig, workers: int) -> Dataset:  # noqa: ARG001
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
    from adamtl_ros.data.labelled_bag import LabelledBag

    if holdout and split not in ('train', 'val'):
        raise DataError(f"split of bags with a holdout must be 'train' or 'val', got '{split}'")
    members = []
    for path in (root, *more):
        bag = LabelledBag(Path(path).expanduser(), **options)
        parts = split_in_time(len(bag), holdout, gap)
        members.append(Subset(bag, parts[1 if holdout and split == 'val' else 0]))
    joined = ConcatDataset(members)
    return Resized(joined, (size[0], size[1])) if size else joined


def build_network(
    recipe: Recipe, tasks: Mapping[str, Task]
) -> tuple[AdaptiveNetwork, tuple[str, ...]]:
    """Return the network, and the parts of it that a recipe's `start` has no weights for.

    The encoder is always taken from there; a decoder if the task is there with the same
    classes; the policy if it decides the same for the same tasks. With adapters, of the recipe
    or of the start, it is the whole network of the start, with its calibration.

    Args:
        recipe: Says where to start.
        tasks: Those that are trained, with the classes of the data.

    Raises:
        ValueError: The file to start from has another architecture, or cannot be used; with
            adapters also if it has other adapters, or not these tasks and classes.

    """
    path = str(Path(recipe.start).expanduser())
    source = load_model(path).network if recipe.start else None
    if source and (recipe.adapters or source.adapters):
        return _adapted(source, recipe, tasks), ()
    with torch.random.fork_rng(devices=[]):
        network = AdaptiveNetwork(architecture(recipe.architecture), tasks, recipe.policy)
    init_weights(network, torch.Generator().manual_seed(recipe.seed))
    if recipe.pretrained:
        load_swin(network.encoder, Path(recipe.pretrained).expanduser())
    fresh = _take(network, source, recipe) if source else ()
    if recipe.adapters:
        _attach(network, recipe)
    return network.train(), fresh


def _check_kind(source: AdaptiveNetwork, recipe: Recipe, *, same: bool) -> None:
    if not same:
        raise ValueError(
            f"start '{recipe.start}' is {source.arch.name}, the recipe asks for "
            f'{recipe.architecture}'
        )


def _take(network: AdaptiveNetwork, source: AdaptiveNetwork, recipe: Recipe) -> tuple[str, ...]:
    """Copy what fits; return the names of what does not."""
    _check_kind(source, recipe, same=source.arch == network.arch)
    same = [name for name, task in network.tasks.items() if source.tasks.get(name) == task]
    fits = {'encoder': True, **{f'decoders.{name}': name in same for name in network.tasks}}
    fits['policy'] = (
        list(source.tasks) == list(network.tasks) and source.policy.config == network.policy.config
    )
    for name, taken in fits.items():
        if taken:
            network.get_submodule(name).load_state_dict(source.get_submodule(name).state_dict())
    return tuple(name for name, taken in fits.items() if not taken)


def _adapted(
    network: AdaptiveNetwork, recipe: Recipe, tasks: Mapping[str, Task]
) -> AdaptiveNetwork:
    """Return the network of a start, with the recipe's adapters."""
    _check_kind(network, recipe, same=network.arch.name == recipe.architecture)
    for name, task in tasks.items():
        own = network.tasks.get(name)
        if own is None or own.classes != task.classes:
            found = 'none' if own is None else list(own.classes)
            raise ValueError(
                f"adapters keep the tasks of their base and their classes: for '{name}' it has "
                f'{found}, the data {list(task.classes)}; choose other tasks, or train without '
                'adapters'
            )
    unmerge(network)
    _attach(network, recipe)
    network.train()
    for name in network.tasks:
        # Their norms must not go on counting either.
        network.decoders[name].train(name in recipe.tasks)
    return network


def _attach(network: AdaptiveNetwork, recipe: Recipe) -> None:
    """Put the recipe's adapters on; those that are there already go on learning."""
    if recipe.adapters is None:
        return
    config = recipe.adapters.config(len(network.arch.depths), recipe.tasks)
    if network.adapters is None:
        inject(network, config, torch.Generator().manual_seed(recipe.seed))
    elif replace(network.adapters, dropout=config.dropout) != config:
        raise ValueError(
            f"start '{recipe.start}' has adapters of its own, {network.adapters}; leave "
            f'`adapters` out to train these, or ask for the same, got {config}'
        )
