# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Does it pay to choose the rung of a ladder by the image, at the same mean MACs?

The loss of each image at each rung is known here, so three ways to spend a mean budget compare:
two fixed rungs, mixed at random; the choice of an oracle that knows all losses; and the choice by
what a ridge regression predicts from the features of the smallest rung, on images that it was not
fitted to. A policy that looks at the image could at best reach the oracle, and should reach the
regression, which sees more than a policy of 2 % of the MACs would.

    python benchmarks/rung_choice.py --data ../shared/photos/nyud
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from adamtl_ros.data.labelled_folder import LabelledFolder
from adamtl_ros.engines.eager import Normalizer
from adamtl_ros.nn.io.checkpoint import DEFAULT_WEIGHTS, load_model
from adamtl_ros.nn.network import resize_images
from adamtl_ros.runtime.engine import Engine
from adamtl_ros.runtime.pre_post_processing import Preprocessor
from adamtl_ros.runtime.threads import set_threads
from adamtl_ros.training.losses import downsample_labels, task_loss

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from adamtl_ros.nn.network import AdaptiveNetwork
    from adamtl_ros.sample import Dataset, Sample

    Array = NDArray[Any]

TASKS = ('semseg', 'normals', 'depth', 'edges')
BUDGETS = (0.75, 0.57, 0.4, 0.3)
FOLDS = 10
RIDGE = 3000.0
"""Penalty of the squared weights of standardized features, of which there are more than images."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n\n')[0])
    parser.add_argument('--data', type=Path, required=True, help='labelled folder, split test')
    parser.add_argument('--model', default=DEFAULT_WEIGHTS)
    options = parser.parse_args()
    set_threads(1)
    engine = Engine(load_model(options.model), 'cpu')
    fractions, losses, features = measure(engine, LabelledFolder(options.data, 'test'))
    print('| budget | two fixed rungs, mixed | predicted | oracle |\n| --- | --- | --- | --- |')
    guess = predict(features, losses)
    for budget in BUDGETS:
        if budget > min(fractions):
            oracle, predicted = (choose(x, fractions, budget) for x in (losses, guess))
            chosen = [mixed(losses, fractions, budget), *(
                losses[np.arange(len(losses)), one].mean() for one in (predicted, oracle)
            )]  # fmt: skip
            print(f'| {budget} | {" | ".join(f"{value:.4f}" for value in chosen)} |')


def measure(engine: Engine, dataset: Dataset) -> tuple[Array, Array, Array]:
    """Return the fraction of the MACs by rung, losses (n, rungs), and features (n, channels).

    The loss of an image is the mean over the tasks, each relative to its mean at the first rung.
    """
    network = engine.model.network
    fractions = np.array(network.rung_fractions(engine.model.input_size, TASKS))
    preprocess, normalize = Preprocessor(engine.model), Normalizer(engine.model)
    losses, features = [], []
    for index in range(len(dataset)):
        sample = dataset[index]
        losses.append([task_losses(engine, sample, fraction) for fraction in fractions])
        pixels = torch.from_numpy(preprocess(sample.image))[None]
        features.append(describe(network, normalize(pixels)))
    array = np.array(losses)  # n, rungs, tasks
    return fractions, (array / array[:, 0].mean(0)).mean(2), np.array(features)


def task_losses(engine: Engine, sample: Sample, budget: float) -> list[float]:
    """Return the training losses of the tasks of one image at a budget."""
    maps = engine.infer(sample.image, budget, TASKS, sample.focal).maps
    return [task_error(engine.model.network, sample, name, raw) for name, raw in maps.items()]


def task_error(network: AdaptiveNetwork, sample: Sample, name: str, raw: Array) -> float:
    """Return the training loss of a task's raw map (C, h, w), resized to that of the labels."""
    label = torch.from_numpy(np.array(sample.labels[name]))[None]
    if name == 'normals':
        label = label.permute(0, 3, 1, 2)
    label = downsample_labels(network.tasks[name], label, 4)
    size = (label.shape[-2], label.shape[-1])
    resized = torch.nn.functional.interpolate(torch.from_numpy(raw)[None], size, mode='bilinear')
    return float(task_loss(network.tasks[name], resized, label))


def describe(network: AdaptiveNetwork, batch: torch.Tensor) -> Array:
    """Return mean and deviation of all features of the encoder at the smallest rung."""
    with torch.inference_mode():
        small = resize_images(batch, network.arch.ladder[-1].scale)
        maps = network.encoder(network.encoder.stem(small))
    return torch.cat([torch.cat([m.mean((2, 3))[0], m.std((2, 3))[0]]) for m in maps]).numpy()


def choose(losses: Array, fractions: Array, budget: float) -> Array:
    """Return the rung of each image with the least sum of losses within a mean budget, (n,)."""
    low, high = 0.0, 100.0
    for _ in range(60):
        price = (low + high) / 2
        chosen = (losses + price * fractions).argmin(1)
        low, high = (price, high) if fractions[chosen].mean() > budget else (low, price)
    return (losses + high * fractions).argmin(1)


def mixed(losses: Array, fractions: Array, budget: float) -> float:
    """Return the least mean loss of two rungs that are mixed at random within a mean budget."""
    means = losses.mean(0)
    pairs: Sequence[tuple[int, int]] = list(itertools.permutations(range(len(fractions)), 2))
    shares = [
        ((budget - fractions[b]) / (fractions[a] - fractions[b]), a, b)
        for a, b in pairs
        if fractions[a] >= budget > fractions[b]
    ]
    return float(min(share * means[a] + (1 - share) * means[b] for share, a, b in shares))


def predict(features: Array, losses: Array) -> Array:
    """Return the losses that a ridge regression predicts for images that it has not seen."""
    x = (features - features.mean(0)) / (features.std(0) + 1e-6)
    predicted = np.empty_like(losses)
    folds = np.random.default_rng(0).permutation(len(losses)) % FOLDS
    for fold in range(FOLDS):
        seen, mean = x[folds != fold], losses[folds != fold].mean(0)
        kernel = seen @ seen.T + RIDGE * np.eye(len(seen))
        weights = np.linalg.solve(kernel, losses[folds != fold] - mean)
        predicted[folds == fold] = x[folds == fold] @ (seen.T @ weights) + mean
    return predicted


if __name__ == '__main__':
    main()
