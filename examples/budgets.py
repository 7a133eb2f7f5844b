#!/usr/bin/env python3
# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Compare budgets on a folder of images: MACs, latency, and the change of the depth.

No labels are needed: the depth at each budget is compared with the depth at full budget.

    python examples/budgets.py photos/ --budgets 1.0 0.75 0.5
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from adamtl_ros import Engine, load_model


def main() -> None:
    """Run every image at every budget and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder', type=Path, help='folder of .jpg and .png images')
    parser.add_argument('--model', default='indoor_lite0', help='file or name of a model')
    parser.add_argument('--budgets', type=float, nargs='+', default=[1.0, 0.75, 0.5])
    options = parser.parse_args()

    paths = sorted(p for p in options.folder.iterdir() if p.suffix.lower() in ('.jpg', '.png'))
    if not paths:
        raise SystemExit(f'{options.folder} holds no .jpg or .png')
    engine = Engine(load_model(options.model))
    engine.warm_up()

    rows: dict[float, list[tuple[float, float, float]]] = {b: [] for b in options.budgets}
    for path in paths:
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        full = engine.run(image, 1.0).results['depth'].astype(np.float32)
        for budget, row in rows.items():
            inference = engine.run(image, budget)
            change = np.nanmean(np.abs(inference.results['depth'].astype(np.float32) / full - 1))
            row.append((inference.cost.fraction, inference.infer_ms, float(change)))

    print(f'{len(paths)} images')
    print('budget | MACs spent | median ms | change of depth')
    for budget, row in rows.items():
        fractions, times, changes = np.array(row).T
        print(
            f'{budget:6.2f} | {fractions.mean():10.1%} | {np.median(times):9.1f} | '
            f'{changes.mean():.1%}'
        )


if __name__ == '__main__':
    main()
