# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Flicker of models on a recording: what changes between frames beyond the motion of the camera.

Each result is compared with that of the frame before, warped to it by dense optical flow (DIS,
Kroeger et al. 2016, at 160x120), where the flow there and back agrees. Classes: fraction of the
pixels that change theirs. Depth: mean absolute change of its logarithm.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from adamtl_ros.bags.ground_truth import ClassMap, TruthConfig
from adamtl_ros.bags.reader import IssueLog
from adamtl_ros.evaluation.bags.flicker import FLOW_SIZE, backward_flow
from adamtl_ros.evaluation.bags.recording import Recording
from adamtl_ros.nn.io.checkpoint import load_model
from adamtl_ros.runtime.engine import Engine
from adamtl_ros.runtime.threads import set_threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

TASKS = ('semseg', 'depth')


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('bag', type=Path)
    parser.add_argument('models', nargs='*', default=['indoor_lite0', 'scenes_nano'])
    parser.add_argument('--budget', type=float, default=1.0)
    options = parser.parse_args()
    set_threads(1)
    print(f'{"model":24} {"classes that change":>20} {"change of log depth":>20}')
    for name in options.models:
        classes, depth = flicker(Engine(load_model(name)), options.bag, options.budget)
        print(f'{name:24} {classes:20.4f} {depth:20.4f}')


def flicker(engine: Engine, bag: Path, budget: float) -> tuple[float, float]:
    """Return the flicker of classes and of log depth, means over the frames after the first."""
    recording = Recording(bag, {}, TruthConfig('', {}, ClassMap()), IssueLog())
    before: tuple[Array, dict[str, Array]] | None = None
    changes = []
    for frame in recording.frames():
        results = engine.run(frame.image, budget, TASKS, frame.focal).results
        gray = cv2.cvtColor(cv2.resize(frame.image, FLOW_SIZE), cv2.COLOR_RGB2GRAY)
        small = {name: _shrink(result) for name, result in results.items()}
        if before is not None:
            changes.append(change(*before, gray, small))
        before = gray, small
    classes, depth = np.nanmean(changes, 0)
    return float(classes), float(depth)


def change(
    gray: Array, results: dict[str, Array], next_gray: Array, next_results: dict[str, Array]
) -> tuple[float, float]:
    """Return the changes from one frame to the next, where the next one is seen in both."""
    places, seen = backward_flow(gray, next_gray)
    # The pixel at the rim stands for what was outside, which `seen` leaves out.
    warped = {
        name: cv2.remap(result, places, None, cv2.INTER_NEAREST, None, cv2.BORDER_REPLICATE)
        for name, result in results.items()
    }
    classes = (warped['semseg'] != next_results['semseg'])[seen].mean()
    depth = np.abs(np.log(warped['depth']) - np.log(next_results['depth']))[seen]
    return float(classes), float(np.nanmean(depth))


def _shrink(result: Array) -> Array:
    return cv2.resize(result, FLOW_SIZE, interpolation=cv2.INTER_NEAREST)


if __name__ == '__main__':
    main()
