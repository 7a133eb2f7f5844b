# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The demo from bag to video."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from adamtl_ros.data.bags import find_camera
from adamtl_ros.data.shapes import write_shapes_bag
from adamtl_ros.demo.report import processed_stats, summarise, write_plot, write_table
from adamtl_ros.demo.session import DemoError, record
from adamtl_ros.demo.video import write_video

MARK = '.made_by_adamtl_demo'
MADE_HERE = (MARK, 'bag', 'compute_stats.csv', 'demo.mp4', 'node.log', 'plot.png', 'player.log',
             'sent.csv', 'spool', 'summary.txt')  # fmt: skip


def run_demo(
    bag: Path | None, out: Path, *, topic: str = '', color: bool = False, overrides: dict[str, str]
) -> None:
    """Play a bag through the node; write bag, video, table, plot and summary.

    Args:
        bag: The bag; by default a short one of moving shapes is made.
        out: Folder to write to; what an earlier demo left there is replaced.
        topic: Image topic of the bag; found by type if empty.
        color: Record the pictures for people too.
        overrides: Parameters of the node that differ from their defaults.

    Raises:
        BagError: The bag cannot be read or has no camera.
        DemoError: The folder holds something of the same name that no demo made; the node or
            the player failed; or no frame came through.

    """
    if bag is not None and bag.resolve().is_relative_to((out / 'bag').resolve()):
        raise DemoError(f'{bag} is where the results go; choose another OUT')
    _clear(out)
    with tempfile.TemporaryDirectory() as scratch:
        if bag is None:
            print('making a bag of moving shapes')
            bag = Path(scratch) / 'shapes'
            write_shapes_bag(bag)
        camera = find_camera(bag, topic)
        kind = 'compressed' if camera.compressed else 'raw'
        print(f'{bag.name}: {camera.frames} {kind} images on {camera.image}')
        run = record(bag, camera, out, overrides, color=color)
        frames = processed_stats(run)
        if not frames:
            raise DemoError(f'no frame came through; see {out / "node.log"}')
        write_table(run, out / 'compute_stats.csv')
        write_plot(run, out / 'plot.png')
        write_video(bag, camera, out / 'bag', frames, out / 'demo.mp4')
    summary = str(summarise(run))
    (out / 'summary.txt').write_text(summary + '\n')
    print(f'\n{summary}\n\nin {out}: bag/, demo.mp4, plot.png, compute_stats.csv, summary.txt')


def _clear(out: Path) -> None:
    """Remove what an earlier demo left; refuse where anything else is in the way."""
    out.mkdir(parents=True, exist_ok=True)
    there = [name for name in MADE_HERE if (out / name).exists()]
    if there and MARK not in there:
        raise DemoError(f'{out} holds {there[0]}, which no demo made; choose another OUT')
    (out / MARK).touch()
    for name in MADE_HERE[1:]:
        path = out / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
