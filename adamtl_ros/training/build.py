# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Data set and network of a training, from its recipe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from adamtl_ros.data.lens import KnownLens
from adamtl_ros.data.mixture import Mixture, Weighted
from adamtl_ros.data.transforms import ConcatDataset, Resized, Subset, split_in_time
from adamtl_ros.nn.adapters.inject import inject, unmerge
from adamtl_ros.nn.architecture import architecture
from adamtl_ros.nn.efficientnet.encoder import EfficientNetEncoder
from adamtl_ros.nn.io.checkpoint import load_model
from adamtl_ros.nn.io.convert import load_efficientnet, load_swin, package_weights
from adamtl_ros.nn.network import AdaptiveNetwork, init_weights
from adamtl_ros.sample import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from adamtl_ros.data.labelled_bag import LabelledBag
    from adamtl_ros.nn.architecture import Architecture
    from adamtl_ros.nn.io.checkpoint import Model
    from adamtl_ros.nn.swin.encoder import SwinEncoder
    from adamtl_ros.sample import Dataset
    from adamtl_ros.tasks import Task
    from adamtl_ros.training.recipe import DataConfig, Recipe


def build_dataset(source: DataConfig, workers: int = 1) -> Dataset:
    """Open a data set.

    Args:
        source: Entry of a recipe. Options of folders are those of `LabelledFolder`, options of
            scenes those of `ScenesConfig`; options of bags those of `LabelledBag`, and `more`
            (further bags), `holdout` and `gap` (see `split_in_time()`) for the split 'train' or
            'val', and `size`, to which images are resized.
        workers: Number of processes that render missing scenes.

    Raises:
        DataError: An unknown kind, unknown options, missing data, or sets of a mixture whose
            classes differ.

    """
    openers: dict[str, Callable[[DataConfig, int], Dataset]] = {
        'scenes': _scenes,
        'pascal_context': _pascal_context,
        'nyud': _nyud,
        'bags': _bags,
        'folder': _folder,
        'mixture': _mixture,
    }
    if source.kind not in openers:
        raise DataError(f"unknown data '{source.kind}', choose from: {', '.join(openers)}")
    try:
        dataset = openers[source.kind](source, workers)
    except TypeError as error:
        raise DataError(f'options of {source.kind}: {error}') from error
    if source.task_weights:
        dataset = Weighted(dataset, source.task_weights)
    return dataset if source.focal is None else KnownLens(dataset, source.focal)


def _scenes(source: DataConfig, workers: int) -> Dataset:
    from adamtl_ros.data.synthetic import ScenesConfig, SyntheticScenes

    folder = Path(source.root).expanduser() if source.root else None
    return SyntheticScenes(
        ScenesConfig(**source.options), folder, workers=workers, progress=_progress()
    )


def _progress() -> Callable[[int, int], None]:
    """Return a callback that shows a progress bar of rendered scenes."""
    from tqdm import tqdm

    bars: list[Any] = []

    def show(done: int, total: int) -> None:
        if not bars:
            bars.append(tqdm(total=total, desc='drawing scenes', unit='scene'))
        bars[0].update(done - bars[0].n)
        if done == total:
            bars[0].close()

    return show


def _pascal_context(source: DataConfig, workers: int) -> Dataset:  # noqa: ARG001
    from adamtl_ros.data.pascal_context import PascalContext

    return PascalContext(Path(source.root).expanduser(), source.split or 'train', **source.options)


def _nyud(source: DataConfig, workers: int) -> Dataset:  # noqa: ARG001
    from adamtl_ros.data.nyud import Nyud

    return Nyud(Path(source.root).expanduser(), source.split or 'train', **source.options)


def _folder(source: DataConfig, workers: int) -> Dataset:  # noqa: ARG001
    from adamtl_ros.data.labelled_folder import LabelledFolder

    return LabelledFolder(Path(source.root).expanduser(), source.split or 'train', **source.options)


def _mixture(source: DataConfig, workers: int) -> Dataset:
    if source.options:
        raise DataError(f'a mixture has no options, its sets have; got {list(source.options)}')
    members = [build_dataset(one, workers) for one in source.sets]
    return Mixture(members, [one.weight for one in source.sets])


def _bags(source: DataConfig, workers: int) -> Dataset:  # noqa: ARG001
    return _open_bags(source.root, source.split, **source.options)


def _open_bags(
    root: str,
    split: str,
    more: Sequence[str] = (),
    holdout: float = 0.0,
    gap: float = 0.0,
    size: tuple[int, int] | None = None,
    **options: Any,
) -> Dataset:
    """Open one or more bags, whole or the part of a split, optionally resized."""
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


def find_bags(dataset: Any) -> list[LabelledBag]:
    """Return the bags that a data set is made of, through its parts and wrappers."""
    from adamtl_ros.data.labelled_bag import LabelledBag

    if isinstance(dataset, LabelledBag):
        return [dataset]
    members = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    return [bag for member in members if member is not None for bag in find_bags(member)]


def build_network(
    recipe: Recipe, tasks: Mapping[str, Task]
) -> tuple[AdaptiveNetwork, tuple[str, ...]]:
    """Build the network that a training begins with.

    With a start, encoder and neck are copied from it; a decoder too if the start has the task
    with the same classes, and the policy if its configuration and tasks are the same. With
    adapters, of the recipe or the start, the start is taken as a whole, with its calibration.

    Args:
        recipe: Recipe; architecture, policy, seed and the sources of weights are used.
        tasks: Trained tasks by name, with the classes of the data.

    Returns:
        The network in training mode, and the names of its modules that the start has no weights
        for.

    Raises:
        ValueError: A start of another architecture or a file that cannot be read; with adapters
            also a start that has other adapters, or lacks these tasks and classes; a start
            that learned depth for another canonical focal length.

    """
    model = load_model(str(Path(recipe.start).expanduser())) if recipe.start else None
    start = model.network if model else None
    if model:
        _check_focal(model, recipe)
    if start and (recipe.adapters or start.adapters):
        return _adapt(start, recipe, tasks), ()
    with torch.random.fork_rng(devices=[]):
        network = AdaptiveNetwork(build_architecture(recipe), tasks, recipe.policy)
    init_weights(network, torch.Generator().manual_seed(recipe.seed))
    if recipe.pretrained:
        _load_pretrained(network.encoder, recipe.pretrained)
    new: tuple[str, ...] = ()
    if start:
        _check_architecture(start.arch == network.arch, start, recipe)
        new = _copy_weights(start, network)
    _inject_adapters(network, recipe)
    return network.train(), new


def build_architecture(recipe: Recipe) -> Architecture:
    """Return the architecture of a recipe, with its input size and ladder.

    Raises:
        ValueError: An unknown name, or a ladder that does not fit.

    """
    changes = {'input_size': recipe.input_size, 'ladder': recipe.ladder}
    given = {name: value for name, value in changes.items() if value is not None}
    return replace(architecture(recipe.architecture), **given)  # type: ignore[type-var]


def _load_pretrained(encoder: SwinEncoder | EfficientNetEncoder, source: str) -> None:
    if isinstance(encoder, EfficientNetEncoder):
        load_efficientnet(encoder, package_weights(source) or Path(source).expanduser())
    else:
        load_swin(encoder, Path(source).expanduser())


def _check_focal(start: Model, recipe: Recipe) -> None:
    """Check that depth of a start and of a recipe have the same scale.

    A network that is not adapted, but trained on, may learn of lenses for the first time.
    """
    whole = recipe.adapters or start.network.adapters
    learned = start.focal is not None and 'depth' in start.network.tasks
    if start.focal != recipe.focal and (whole or learned):
        raise ValueError(
            f"start '{recipe.start}' has the canonical focal length {start.focal}, the recipe "
            f'asks for {recipe.focal}; set the entry `focal` to {start.focal or "null"}'
        )


def _check_architecture(same: bool, start: AdaptiveNetwork, recipe: Recipe) -> None:
    if not same:
        raise ValueError(
            f"start '{recipe.start}' is {start.arch.name}, the recipe asks for "
            f'{recipe.architecture}'
        )


def _copy_weights(start: AdaptiveNetwork, network: AdaptiveNetwork) -> tuple[str, ...]:
    """Copy the modules that match; return the names of the others."""
    same = [name for name, task in network.tasks.items() if start.tasks.get(name) == task]
    matches = {
        'encoder': True,
        'neck': True,
        **{f'decoders.{name}': name in same for name in network.tasks},
    }
    matches['policy'] = (
        list(start.tasks) == list(network.tasks) and start.policy.config == network.policy.config
    )
    for name, match in matches.items():
        if match:
            network.get_submodule(name).load_state_dict(start.get_submodule(name).state_dict())
    return tuple(name for name, match in matches.items() if not match)


def _adapt(network: AdaptiveNetwork, recipe: Recipe, tasks: Mapping[str, Task]) -> AdaptiveNetwork:
    """Prepare the network of a start for a training of adapters, in place."""
    _check_architecture(network.arch.name == recipe.architecture, network, recipe)
    _check_classes(network, tasks)
    unmerge(network)
    _inject_adapters(network, recipe)
    network.train()
    for name in network.tasks:
        # The running statistics of tasks that are not trained must not change either.
        network.decoders[name].train(name in recipe.tasks)
    return network


def _check_classes(network: AdaptiveNetwork, tasks: Mapping[str, Task]) -> None:
    for name, task in tasks.items():
        own = network.tasks.get(name)
        if own is None or own.classes != task.classes:
            found = 'none' if own is None else list(own.classes)
            raise ValueError(
                f"adapters keep the tasks of their base and their classes: for '{name}' it has "
                f'{found}, the data {list(task.classes)}; choose other tasks, or train without '
                'adapters'
            )


def _inject_adapters(network: AdaptiveNetwork, recipe: Recipe) -> None:
    """Inject the recipe's adapters, if any; existing ones of the same configuration stay."""
    if recipe.adapters is None:
        return
    config = recipe.adapters.lora_config(len(network.arch.depths), recipe.tasks)
    if network.adapters is None:
        inject(network, config, torch.Generator().manual_seed(recipe.seed))
    elif replace(network.adapters, dropout=config.dropout) != config:
        raise ValueError(
            f"start '{recipe.start}' has adapters of its own, {network.adapters}; leave "
            f'`adapters` out to train these, or ask for the same, got {config}'
        )
