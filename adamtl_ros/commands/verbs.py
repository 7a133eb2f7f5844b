# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What `adamtl evaluate` and `adamtl calibrate` do; they need parts that do not know each other."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from tqdm import tqdm

from adamtl_ros.bags.reader import find_camera, read_images
from adamtl_ros.evaluation.evaluate import evaluate
from adamtl_ros.nn.calibrate import calibrate
from adamtl_ros.nn.io.checkpoint import load_model, save_model
from adamtl_ros.runtime.engine import Engine
from adamtl_ros.runtime.preprocess import Preprocessor
from adamtl_ros.training.build import build_dataset

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from adamtl_ros.evaluation.evaluate import Evaluation
    from adamtl_ros.tasks import Task
    from adamtl_ros.training.recipe import Recipe


def run_evaluation(
    model: str,
    recipe: Recipe,
    budgets: Sequence[float],
    threads: int,
    out: Path | None,
    adapter: Path | None = None,
) -> str:
    """Score a model on the validation data of a recipe.

    Args:
        model: File or name.
        recipe: Whose data.
        budgets: Each in (0, 1].
        threads: CPU threads of the network.
        out: JSON file for all values, none if not given.
        adapter: File of adapters for the model, none if not given.

    Returns:
        A table for people.

    """
    torch.set_num_threads(threads)
    engine = Engine(load_model(model, adapter))
    dataset = build_dataset(recipe.validation, workers=os.cpu_count() or 1)
    with tqdm(total=len(dataset), unit='image') as bar:
        found = evaluate(engine, dataset, budgets, progress=bar.update)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        rows = [evaluation.to_dict() for evaluation in found]
        out.write_text(json.dumps({'model': engine.model.name, 'rows': rows}, indent=1))
    return _table(found, engine.model.network.tasks)


def run_calibration(model: str, bag: Path, topic: str, images: int, out: Path) -> str:
    """Fit the budgets of a model to the images of a bag, at the size that they have there.

    Args:
        model: File or name.
        bag: The bag.
        topic: Its image topic; found if empty.
        images: So many at most, spread evenly.
        out: Model file to write.

    Returns:
        A sentence for people.

    Raises:
        ValueError: Fewer than two images.

    """
    loaded = load_model(model)
    camera = find_camera(bag, topic)
    chosen = set(np.linspace(0, camera.frames - 1, min(images, camera.frames)).astype(int).tolist())
    prepare = Preprocessor(loaded, torch.device('cpu'))
    batches = [
        prepare(image)
        for index, (_, image) in enumerate(read_images(bag, camera))
        if index in chosen
    ]
    calibration = calibrate(loaded.network, batches)
    loaded.network.calibration = calibration
    notes = {**loaded.notes, 'calibrated_on': f'{calibration.images} images of {bag.name}'}
    save_model(replace(loaded, notes=notes), out)
    height, width = calibration.size
    return f'{out}: budgets fitted to {calibration.images} images of {height}x{width}'


def _table(found: Sequence[Evaluation], tasks: dict[str, Task]) -> str:
    names = list(found[0].metrics)
    head = [f'{name} {tasks[name].metric}' for name in names]
    lines = [' | '.join(['budget', 'share', 'MMACs', 'ms', *head])]
    for row in found:
        values = row.headline(tasks)
        lines.append(
            f'{row.budget:.2f} | {row.share:.3f} | {row.macs / 1e6:.0f} | {row.infer_ms:.1f} | '
            + ' | '.join(f'{values[name]:.4f}' for name in names)
        )
    return '\n'.join(lines)
