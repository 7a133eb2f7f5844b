# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Picture of a stream: what it spends under a video strip, its error and its flicker beside.

A drawn room with people who walk, before a camera that stands still, is carried, and turns.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from matplotlib.figure import Figure

from adamtl_ros.evaluation.bags.flicker import FLOW_SIZE, Flicker, backward_flow
from adamtl_ros.nn.io.checkpoint import load_model
from adamtl_ros.runtime.engine import Engine
from adamtl_ros.runtime.threads import set_threads
from adamtl_ros.scenes.compose import demo_scene
from adamtl_ros.stream.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from adamtl_ros.sample import Sample

    Array = NDArray[Any]

RATE_HZ, PART_S = 30, 4.0
PARTS = ('still', 'walking', 'turning')
ANGLE = 1.5 * math.pi
"""Phase of the view of the still camera, towards the full side of the room."""
WALK_RATE, TURN_RATE = 2 * math.pi / 24, 2 * math.pi / 6
"""Speed of the phase while the camera is carried and while it turns [rad/s]."""
SWAY_M, STEP_M, STEPS_PER_S = 0.4, 0.02, 2.0
SIZE = (240, 320)
TASKS = ('semseg', 'depth')
STRIP = 9
SMOOTH = 15
"""Frames that curves are averaged over."""


@dataclass
class Curves:
    """What is drawn of one way to answer, a value for each frame."""

    shares: list[float] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    flickers: list[float] = field(default_factory=list)


def main() -> None:
    """Run, draw, and print means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('out', type=Path, nargs='?', default=Path('docs/stream.png'))
    parser.add_argument('--model', default='indoor_lite0')
    parser.add_argument('--budget', type=float, default=0.25)
    options = parser.parse_args()
    set_threads(1)
    strip, full, stream = run(Engine(load_model(options.model)), options.budget)
    for name, curves in (('full', full), ('stream', stream)):
        means = [np.nanmean(values) for values in (curves.shares, curves.errors, curves.flickers)]
        print(f'{name:8} share {means[0]:.3f}  depth AbsRel {means[1]:.4f}  '
              f'classes that flicker {means[2]:.4f}')  # fmt: skip
    draw(strip, full, stream, options)


def run(engine: Engine, budget: float) -> tuple[Array, Curves, Curves]:
    """Return a video strip, and the curves of the full network and of a stream."""
    stream, curves = Stream(engine), (Curves(), Curves())
    flickers, pictures = [Flicker(['semseg']), Flicker(['semseg'])], []
    last: Array | None = None
    for number, sample in enumerate(frames()):
        gray = cv2.cvtColor(cv2.resize(sample.image, FLOW_SIZE), cv2.COLOR_RGB2GRAY)
        flow = None if last is None else backward_flow(last, gray)
        last = gray
        answers = (
            engine.run(sample.image, 1.0, TASKS, sample.focal),
            stream.step(sample.image, number / RATE_HZ, budget, TASKS, sample.focal),
        )
        for way, answer, flicker in zip(curves, answers, flickers, strict=True):
            way.shares.append(answer.cost.fraction)
            way.errors.append(_abs_rel(answer.results['depth'], sample.labels['depth']))
            way.flickers.append(_changes(flicker, answer.results, flow))
        pictures.append(sample.image)
    chosen = np.linspace(0, len(pictures) - 1, STRIP).astype(int)
    return np.hstack([pictures[k] for k in chosen]), *curves


def frames() -> Iterator[Sample]:
    """Render the room as the camera sees it."""
    duration = len(PARTS) * PART_S
    scene = demo_scene(duration)
    for number in range(round(duration * RATE_HZ)):
        time = number / RATE_HZ
        walked, turned = max(0.0, time - PART_S), max(0.0, time - 2 * PART_S)
        phase = ANGLE + WALK_RATE * walked + (TURN_RATE - WALK_RATE) * turned
        bob = STEP_M * (0 < walked <= PART_S) * math.sin(2 * math.pi * STEPS_PER_S * walked)
        eye = scene.view.eye + np.array([0, 0, bob])
        view = replace(scene.view, eye=eye, sway=SWAY_M, period=math.inf, phase=phase)
        yield replace(scene, view=view).frame(time, SIZE, samples=1)


def _abs_rel(depth: Array, truth: Array) -> float:
    return float(np.nanmean(np.abs(depth - truth) / truth))


def _changes(
    flicker: Flicker, results: Mapping[str, Array], flow: tuple[Array, Array] | None
) -> float:
    """Return the part of the pixels whose class changed since the frame before."""
    flicker.restart()
    flicker.add({'semseg': results['semseg']}, flow)
    return flicker.compute()['semseg']


def draw(strip: Array, full: Curves, stream: Curves, options: argparse.Namespace) -> None:
    """Draw the strip and the curves below it."""
    seconds = np.arange(len(full.shares)) / RATE_HZ
    figure = Figure(figsize=(10, 6.2), layout='constrained')
    panels = figure.subplots(4, 1, height_ratios=[1.15, 1.3, 1, 1])
    panels[0].imshow(strip, aspect='auto', extent=(0, seconds[-1], 0, 1))
    panels[0].set(yticks=[], xticks=[], title=f'budget {options.budget:g}, {options.model}')
    panels[1].bar(seconds, stream.shares, 1 / RATE_HZ, color='tab:orange', alpha=0.5)
    rows = [
        ('share of the full MACs', full.shares, stream.shares),
        ('depth AbsRel', full.errors, stream.errors),
        ('classes that flicker', full.flickers, stream.flickers),
    ]
    for axes, (name, one, other) in zip(panels[1:], rows, strict=True):
        axes.plot(seconds, _smooth(one), color='0.4', label='full network on every frame')
        axes.plot(seconds, _smooth(other), color='tab:orange', label='stream')
        axes.set(ylabel=name, xlim=(0, seconds[-1]), ylim=(0, None))
        axes.spines[['top', 'right']].set_visible(False)
        for number in range(1, len(PARTS)):
            axes.axvline(number * PART_S, color='0.8', lw=0.8)
    for number, name in enumerate(PARTS):
        panels[1].text((number + 0.5) * PART_S, 1.08, name, ha='center', va='bottom')
    panels[1].legend(loc='center right', frameon=False, fontsize=8)
    panels[-1].set(xlabel='time [s]')
    figure.savefig(options.out, dpi=110)


def _smooth(values: list[float]) -> Array:
    """Return means over `SMOOTH` frames around each."""
    padded = np.pad(np.nan_to_num(np.array(values, float)), SMOOTH // 2, mode='edge')
    return np.convolve(padded, np.full(SMOOTH, 1 / SMOOTH), mode='valid')


if __name__ == '__main__':
    main()
