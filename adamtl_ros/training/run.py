# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Training from a recipe to a model file, in one process or several."""

from __future__ import annotations

import atexit
import logging
import os
import platform
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import yaml
from lightning_fabric import Fabric

import adamtl_ros
from adamtl_ros.data.batches import collate
from adamtl_ros.data.lens import describe_unknown_lenses
from adamtl_ros.data.transforms import resize
from adamtl_ros.files import write_file
from adamtl_ros.nn.adapters.inject import merge
from adamtl_ros.nn.calibrate import calibrate
from adamtl_ros.nn.io.checkpoint import IMAGENET_MEAN, IMAGENET_STD, Model, save_model
from adamtl_ros.training.build import build_dataset, build_network, find_bags
from adamtl_ros.training.logger import plot_curves
from adamtl_ros.training.trainer import CHECKPOINT, LOG, Trainer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor

    from adamtl_ros.nn.network import AdaptiveNetwork
    from adamtl_ros.sample import Dataset
    from adamtl_ros.training.recipe import Recipe

MODEL, CURVES, RECIPE = 'model.safetensors', 'curves.png', 'recipe.yaml'
"""Names of the files beside checkpoint and log."""


def train(recipe: Recipe, folder: Path, steps: int | None = None) -> Path | None:
    """Train by a recipe; resume if the folder holds a checkpoint.

    Under `torchrun` each batch is divided among the processes.

    Args:
        recipe: Recipe.
        folder: Folder of checkpoint, log, curves and model.
        steps: Maximum number of steps of this run, over all stages; unlimited if not given.

    Returns:
        Path of the model file, or None if the training is not finished yet.

    Raises:
        ValueError: Missing data, or a checkpoint of another recipe.

    Examples:
        >>> recipe = read_recipe(Path('config/train/scenes_quick.yaml'))
        >>> model = load_model(str(train(recipe, Path('runs/quick'))))

    """
    fabric = launch(recipe.precision)
    folder.mkdir(parents=True, exist_ok=True)
    # The first process renders the scenes that are missing, the others read them.
    with fabric.rank_zero_first():
        dataset = build_dataset(recipe.data, workers=os.cpu_count() or 1)
    if fabric.is_global_zero:
        _describe_bags(recipe, dataset)
    missing = [name for name in recipe.tasks if name not in dataset.tasks]
    if missing:
        raise ValueError(f'the data has no labels for {missing}, only {list(dataset.tasks)}')
    network, fresh = build_network(recipe, {name: dataset.tasks[name] for name in recipe.tasks})
    if recipe.start and fresh and fabric.is_global_zero:
        print(f'{recipe.start} has no weights for: {", ".join(fresh)}; these start at random')
    if fabric.is_global_zero and not (folder / CHECKPOINT).is_file():
        write_file(folder / RECIPE, yaml.safe_dump(_plain(recipe.to_dict()), sort_keys=False))
    lens = recipe.focal if 'depth' in recipe.tasks else None
    if fabric.is_global_zero and (unknown := describe_unknown_lenses(dataset, lens)):
        print(unknown)
    trainer = Trainer(recipe, network, dataset, folder, fabric)
    done = trainer.run(steps)
    if fabric.is_global_zero:
        _print_issues(dataset)
        plot_curves(folder / LOG, folder / CURVES)
        if done:
            network = network.cpu().eval()
            merge(network)
            if recipe.adaptive or network.calibration:
                _calibrate(network, dataset, recipe)
            notes = _notes(recipe, trainer.progress.seconds)
            model = Model(network, recipe.name, trained=True, notes=notes, focal=recipe.focal)
            save_model(model, folder / MODEL)
    return folder / MODEL if done else None


def launch(precision: str) -> Fabric:
    """Join the processes that `torchrun` started, or be the only one.

    Args:
        precision: Precision of the training, 'bf16-mixed' or '32-true'.

    """
    logging.getLogger('lightning_fabric').setLevel(logging.WARNING)
    warnings.filterwarnings('ignore', message='.*lr_scheduler.step.*before.*optimizer.step.*')
    local = int(os.environ.get('LOCAL_WORLD_SIZE', '1'))
    world = _world_size()
    fabric = Fabric(
        accelerator='cuda' if torch.cuda.is_available() else 'cpu',
        devices=local,
        num_nodes=max(1, world // local),
        strategy='ddp' if world > 1 else 'auto',
        precision=precision,  # type: ignore[arg-type]
    )
    fabric.launch()
    # Gloo's threads abort a process that ends before they do, such as one that saves no model.
    atexit.register(_leave_process_group)
    return fabric


def _leave_process_group() -> None:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def calibration_batches(dataset: Dataset, size: tuple[int, int], count: int) -> Iterator[Tensor]:
    """Yield images spread evenly over a data set, in small batches, (B, 3, H, W).

    Args:
        dataset: Data set.
        size: Height and width of the network's input [px].
        count: Number of images.

    """
    mean, std = (255 * torch.tensor(x).view(3, 1, 1) for x in (IMAGENET_MEAN, IMAGENET_STD))
    indices = np.linspace(0, len(dataset) - 1, count).astype(int)
    for some in np.array_split(indices, max(1, count // 16)):
        samples = [resize(dataset[int(index)], size) for index in some]
        yield (collate(samples, ()).images.float() - mean) / std


def _describe_bags(recipe: Recipe, dataset: Dataset) -> None:
    """Print where the labels of bags are from, and the tasks that are trained with them."""
    bags = find_bags(dataset)
    lines = [line for bag in bags for line in bag.describe()]
    if lines:
        print('\n'.join([*lines, f'trains: {", ".join(recipe.tasks)}']))


def _print_issues(dataset: Dataset) -> None:
    """Print what was wrong with the images of bags that this process has read."""
    for bag in find_bags(dataset):
        for issue in bag.issues:
            print(f'{bag.path.name}: {issue}')


def _calibrate(network: AdaptiveNetwork, dataset: Dataset, recipe: Recipe) -> None:
    """Calibrate the budgets of a network on training images, in place."""
    count = min(recipe.calibration_images, len(dataset))
    batches = calibration_batches(dataset, network.arch.input_size, count)
    combinations = None if recipe.combinations else [tuple(network.tasks)]
    network.calibration = calibrate(network, batches, combinations=combinations)


def _notes(recipe: Recipe, seconds: float) -> dict[str, Any]:
    return {
        'recipe': _plain(recipe.to_dict()),
        'training_minutes': round(seconds / 60, 1),
        'machine': f'{platform.machine()}, {os.cpu_count()} CPU cores, {_world_size()} processes, '
        f'{torch.get_num_threads()} threads each, GPU: {_gpu()}',
        'versions': {'adamtl_ros': adamtl_ros.__version__, 'torch': torch.__version__},
    }


def _world_size() -> int:
    return int(os.environ.get('WORLD_SIZE', '1'))


def _gpu() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else 'none'


def _plain(value: Any) -> Any:
    """Return nested data with lists in place of tuples."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
