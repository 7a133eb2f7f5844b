#!/usr/bin/env python3
# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Predict all tasks of an image file and write them as one picture.

python examples/predict.py photo.jpg --budget 0.5
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from adamtl_ros import Engine, load_model
from adamtl_ros.viz.colorize import colorize
from adamtl_ros.viz.legend import with_legend


def main() -> None:
    """Predict, write the picture and print what it cost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('image', type=Path)
    parser.add_argument('--model', default='indoor_lite0', help='file or name of a model')
    parser.add_argument('--budget', type=float, default=1.0, help='fraction of the full MACs')
    parser.add_argument('--out', type=Path, default=Path('prediction.png'))
    options = parser.parse_args()

    bgr = cv2.imread(str(options.image))
    if bgr is None:
        raise SystemExit(f'{options.image} is no image that OpenCV can read')
    image = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)

    engine = Engine(load_model(options.model))
    inference = engine.run(image, options.budget)
    tasks = engine.model.network.tasks
    pictures = [
        with_legend(colorize(tasks[name], result), tasks[name], result)
        for name, result in inference.results.items()
    ]
    # No legend below the image itself.
    below = [(0, pictures[0].shape[0] - image.shape[0]), (0, 0), (0, 0)]
    page = np.hstack([np.pad(image, below), *pictures])
    cv2.imwrite(str(options.out), cv2.cvtColor(page, cv2.COLOR_RGB2BGR))

    print(f'{options.out}: image, {", ".join(inference.results)}')
    print(
        f'{inference.cost.macs / 1e6:.0f} of {inference.cost.macs_full / 1e6:.0f} million MACs, '
        f'{inference.infer_ms:.1f} ms'
    )


if __name__ == '__main__':
    main()
