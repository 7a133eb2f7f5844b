#!/usr/bin/env python3
# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Train semantic segmentation and depth on a folder of your own.

The folder has `image/*.jpg` and, with the same names, `semseg/*.png` (8-bit class ids, 255 =
unlabelled) and `depth/*.png` (16-bit millimeters, 0 = unknown). Either may be missing for an image.

    python examples/train_on_folder.py my_folder --classes floor wall person --steps 2000

A recipe (`adamtl train`) opens bags, published data sets, and folders in the layout of "Your own
photographs" in docs/training.md. For any other layout write a `Dataset`, here `Folder`: tasks,
length, and a `Sample` for each index.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from adamtl_ros import TASKS, Model, Sample, calibrate, save_model
from adamtl_ros.training.build import build_network
from adamtl_ros.training.recipe import DataConfig, Recipe, Stage
from adamtl_ros.training.run import calibration_batches, launch
from adamtl_ros.training.trainer import Trainer


class Folder:
    """Images with labels in a folder; a `Dataset`."""

    def __init__(self, root: Path, classes: list[str]) -> None:
        self.root = root
        self.images = sorted((root / 'image').glob('*.jpg'))
        self.tasks = {
            'semseg': TASKS['semseg'].with_classes(classes),
            'depth': TASKS['depth'],
        }

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        path = self.images[index]
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        labels = {}
        ids = cv2.imread(str(self.root / 'semseg' / f'{path.stem}.png'), cv2.IMREAD_UNCHANGED)
        if ids is not None:
            labels['semseg'] = ids
        depth = cv2.imread(str(self.root / 'depth' / f'{path.stem}.png'), cv2.IMREAD_UNCHANGED)
        if depth is not None:
            labels['depth'] = np.where(depth > 0, depth / np.float32(1000), np.float32('nan'))
        return Sample(image, labels, path.name)


def main() -> None:
    """Train, calibrate the budgets, and write a model file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder', type=Path)
    parser.add_argument('--classes', nargs='+', required=True, help='class names, in id order')
    parser.add_argument('--start', default='scenes_nano', help='weights to start from')
    parser.add_argument('--steps', type=int, default=2000)
    parser.add_argument('--batch', type=int, default=16)
    parser.add_argument('--size', type=int, nargs=2, default=[192, 256], help='height, width')
    parser.add_argument('--out', type=Path, default=Path('runs/my_folder'))
    options = parser.parse_args()

    dataset = Folder(options.folder, options.classes)
    source = DataConfig('folder', str(options.folder))  # for the record only
    size = (options.size[0], options.size[1])
    recipe = Recipe(
        'my_folder', source, source, tasks=tuple(dataset.tasks), start=options.start,
        stages=(Stage('joint', options.steps, options.batch, size, full=0.5),),
    )  # fmt: skip
    options.out.mkdir(parents=True, exist_ok=True)
    network, new = build_network(recipe, dataset.tasks)
    print(f'trained from random weights: {", ".join(new)}; the rest starts from {options.start}')
    Trainer(recipe, network, dataset, options.out, launch(recipe.precision)).run()

    network.cpu().eval()
    count = min(len(dataset), recipe.calibration_images)
    network.calibration = calibrate(network, calibration_batches(dataset, size, count))
    save_model(Model(network, recipe.name, trained=True), options.out / 'model.safetensors')
    print(
        f'{options.out}/model.safetensors: for --model, and for the parameter `model` of the node'
    )


if __name__ == '__main__':
    main()
