# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Streams beside every simple way to spend as much, on recordings and two drawn rooms.

A room before a still camera and one before a camera that somebody carries around, with people who
walk; both have exact ground truth of all six tasks. For each recording, a table of what each way
spends, its error against the truth, near people too, and its flicker, all relative to the full
network on every frame: below 1 is better.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adamtl_ros.bags.ground_truth import ClassMap
from adamtl_ros.bags.reader import bag_name
from adamtl_ros.config import json_value
from adamtl_ros.data.synthetic import write_synthetic_bag
from adamtl_ros.evaluation.bags.result import EvaluationSettings
from adamtl_ros.evaluation.bags.temporal import evaluate_temporal
from adamtl_ros.nn.io.checkpoint import load_model
from adamtl_ros.runtime.engine import Engine
from adamtl_ros.runtime.threads import set_threads
from adamtl_ros.scenes.compose import demo_scene
from adamtl_ros.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RATE_HZ = 30.0
BUDGETS = (0.25, 0.125)
ERRORS = {'depth': 'abs_rel'}
"""Metric of a task, where it is not its main one."""


def main() -> None:
    """Measure, print, and write the numbers if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('bags', type=Path, nargs='*', help='beside the drawn rooms')
    parser.add_argument('--model', default='indoor_lite0')
    parser.add_argument('--frames', type=int, default=180, help='of each drawn room (%(default)s)')
    parser.add_argument('--classes', type=Path, help='class names of the ids in the bags')
    parser.add_argument('--out', type=Path, help='JSON file to write')
    options = parser.parse_args()
    set_threads(1)
    engine = Engine(load_model(options.model))
    engine.warm_up()
    classes = ClassMap.read(options.classes) if options.classes else ClassMap()
    settings = EvaluationSettings(temporal=BUDGETS, classes=classes)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for bag in (*options.bags, *draw(Path(folder), options.frames)):
            found[bag_name(bag)] = measure(bag, engine, settings)
            print('\n'.join(['', f'### {bag_name(bag)}', '', *table(found[bag_name(bag)])]))
            for way in found[bag_name(bag)]:
                if way['name'] == 'stream':
                    print(f'\nstream at {way["budget"]:g}: any 3 s {way["largest_share_3s"]:.3f}, '
                          f'mean age {way["age_s"]:.3f} s, {way["ms"]["mean"]:.1f} ms')  # fmt: skip
    if options.out:
        options.out.write_text(json.dumps(json_value(found), indent=1) + '\n')


def draw(folder: Path, frames: int) -> list[Path]:
    """Draw the two rooms, unless no frames are wanted."""
    if not frames:
        return []
    scene = demo_scene(frames / RATE_HZ)
    views = {'still': scene.view.still(frames / RATE_HZ), 'walking': scene.view.walking()}
    for name, view in views.items():
        write_synthetic_bag(
            folder / name, replace(scene, view=view), frames=frames, truth=True, rate=RATE_HZ
        )
    return [folder / name for name in views]


def measure(bag: Path, engine: Engine, settings: EvaluationSettings) -> list[dict[str, Any]]:
    """Return the entry of each way on a recording, with the times."""
    results = evaluate_temporal(bag, engine, settings, engine.model.network.tasks)
    return [way.to_dict() | {'ms': way.times()} for way in results]


def table(ways: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the lines of a Markdown table, relative to the first way but for its own row."""
    full = ways[0]
    near = [name for name in full['near_people'] if name != 'edges']
    moving = [name for name, value in full['flicker'].items() if value > 0]
    heads = ['', 'budget', 'spent', *full['truth'], *(f'{name} near people' for name in near)]
    heads += [f'{name} flicker' for name in moving]
    rows = [heads, ['---'] * len(heads)]
    for way in ways:
        values = [(error(t, way['truth'][t]), error(t, full['truth'][t])) for t in full['truth']]
        values += [
            (error(t, way['near_people'][t]), error(t, full['near_people'][t])) for t in near
        ]
        values += [(way['flicker'][t], full['flicker'][t]) for t in moving]
        cells = [f'{one:.3g}' if way is full else f'{one / whole:.2f}' for one, whole in values]
        rows.append([way['name'], f'{way["budget"]:g}', f'{way["share"]:.3f}', *cells])
    return [f'| {" | ".join(row)} |' for row in rows]


def error(task: str, metrics: Mapping[str, float]) -> float:
    """Return the error of a task: its metric, or what misses to 1 where higher is better."""
    name = ERRORS.get(task, TASKS[task].metric)
    return 1 - metrics[name] if TASKS[task].higher_is_better else metrics[name]


if __name__ == '__main__':
    main()
