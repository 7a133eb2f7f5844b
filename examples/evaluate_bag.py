#!/usr/bin/env python3
# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Evaluate a model on a labelled bag from Python: metrics, MACs and latency at some budgets.

    adamtl draw-bag room --frames 30      # a synthetic bag with ground truth
    python examples/evaluate_bag.py room

`adamtl evaluate-bag` does more (report, video, bags without ground truth, several processes).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from adamtl_ros import TASKS, Engine, evaluate, load_model
from adamtl_ros.data.labelled_bag import LabelledBag


def main() -> None:
    """Evaluate, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('bag', type=Path)
    parser.add_argument('--model', default='indoor_lite0', help='file or name of a model')
    parser.add_argument('--budgets', type=float, nargs='+', default=[1.0, 0.5])
    options = parser.parse_args()

    engine = Engine(load_model(options.model))
    dataset = LabelledBag(options.bag)
    print(f'{len(dataset)} labelled images of {dataset.camera}: {", ".join(dataset.tasks)}')
    for row in evaluate(engine, dataset, options.budgets):
        print(f'budget {row.budget:.2f}: {row.share:.1%} of the MACs, {row.infer_ms:.1f} ms')
        for task, metrics in row.metrics.items():
            name = TASKS[task].metric
            print(f'  {task:12} {name:10} {metrics[name]:.3f}')


if __name__ == '__main__':
    main()
