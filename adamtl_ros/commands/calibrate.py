# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The verb `adamtl calibrate`: fit the budgets of a model to the images of a bag."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from adamtl_ros.commands.options import add_model_option

if TYPE_CHECKING:
    import argparse


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    add_model_option(parser)
    add = parser.add_argument
    add('--bag', type=Path, required=True, help='camera bag with images as the robot sees them')
    add('--topic', default='', help='image topic of the bag; found if not given')
    add('--images', type=int, default=256, help='number of images, evenly spaced (256)')
    add('--out', type=Path, required=True, help='model file to write')


def run(options: argparse.Namespace) -> None:
    """Calibrate, and print a summary."""
    print(run_calibration(options.model, options.bag, options.topic, options.images, options.out))


def run_calibration(model: str, bag: Path, topic: str, images: int, out: Path) -> str:
    """Fit the budgets of a model to the images of a bag, at their aspect ratio.

    Args:
        model: File or name of the model.
        bag: Path of the bag.
        topic: Image topic of the bag; found by its type if empty.
        images: Largest number of images, evenly spaced over the bag.
        out: Model file to write.

    Returns:
        A human-readable sentence.

    Raises:
        ValueError: Fewer than two images.
        OSError: The file cannot be written; if that is known before, nothing is computed.

    """
    import numpy as np

    from adamtl_ros.bags.reader import find_camera, read_images
    from adamtl_ros.engines.eager import TorchBackend
    from adamtl_ros.files import check_writable
    from adamtl_ros.nn.calibrate import calibrate
    from adamtl_ros.nn.io.checkpoint import load_model, save_model
    from adamtl_ros.runtime.pre_post_processing import Preprocessor

    loaded = load_model(model)
    check_writable(out, 4 * sum(weight.numel() for weight in loaded.network.parameters()))
    camera = find_camera(bag, topic)
    count = min(images, camera.frames)
    chosen = set(np.linspace(0, camera.frames - 1, count).astype(int).tolist())
    preprocess, eager = Preprocessor(loaded), TorchBackend(loaded)
    batches = [
        eager.normalized(preprocess(image))
        for index, (_, image) in enumerate(read_images(bag, camera))
        if index in chosen
    ]
    calibration = calibrate(loaded.network, batches)
    loaded.network.calibration = calibration
    notes = {**loaded.notes, 'calibrated_on': f'{calibration.images} images of {bag.name}'}
    save_model(replace(loaded, notes=notes), out)
    height, width = calibration.size
    return f'{out}: budgets fitted to {calibration.images} images of {height}x{width}'
