# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The verb `adamtl run`: the network on any picture, video or camera, shown or written."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from adamtl_ros.commands.options import (
    add_model_option,
    add_server_options,
    add_source_options,
    parse_names,
    source_from,
)

if TYPE_CHECKING:
    import argparse

    from adamtl_ros.runtime.engine import Engine
    from adamtl_ros.sources.frame import Source
    from adamtl_ros.view.server import LocalSettings
    from adamtl_ros.view.session import Runner


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    add_source_options(parser)
    add_model_option(parser)
    add = parser.add_argument
    add('--budget', type=float, default=1.0, help='fraction of the full MACs (1)')
    add('--tasks', default='', help='tasks to compute, separated by commas; all if not given')
    add('--device', default='auto', help="torch device, or 'auto' (auto)")
    add('--threads', type=int, default=0, help='CPU threads; 0: all cores but one (0)')
    add(
        '--out',
        type=Path,
        help='video (.mp4), picture (.png) or folder of pictures to write, instead of the browser',
    )
    add('--loop', action='store_true', help='begin again at the end; not with --out')
    add_server_options(parser)


def run(options: argparse.Namespace) -> None:
    """Run the network on the input.

    Raises:
        ValueError: Input, model, budget, task, device or port that cannot be used.

    """
    from adamtl_ros.nn.io.checkpoint import load_model
    from adamtl_ros.runtime.engine import Engine
    from adamtl_ros.runtime.threads import keep_freed_memory, set_threads
    from adamtl_ros.view.server import LocalSettings
    from adamtl_ros.view.session import Runner

    source = source_from(options)
    keep_freed_memory()
    set_threads(options.threads)
    engine = Engine(load_model(options.model), options.device)
    tasks = parse_names(options.tasks) or engine.tasks
    settings = LocalSettings(engine.tasks, options.budget, tasks)
    runner = Runner(engine, settings, source)
    if not engine.model.trained:
        print(f"model '{engine.model.name}' is not trained: its results mean nothing")
    if engine.model.focal is not None and not source.has_lens:
        print('lens unknown, depth is scaled for that of the training: give --fov or --calibration')
    if options.out is None:
        _show(source, engine, settings, runner, options)
    else:
        _write(source, engine, settings, runner, options.out)
    for problem in source.skipped:
        print(f'left out: {problem}', file=sys.stderr)


def _show(
    source: Source,
    engine: Engine,
    settings: LocalSettings,
    runner: Runner,
    options: argparse.Namespace,
) -> None:
    """Serve the page until Ctrl-C."""
    from adamtl_ros.view.scene import SceneEncoder
    from adamtl_ros.view.server import Hub, ViewServer
    from adamtl_ros.view.session import show

    tasks = engine.model.network.tasks
    server = ViewServer(Hub(SceneEncoder(tasks), settings, source.name), options.host, options.port)
    server.start()
    print(f'open {server.address} in a browser; Ctrl-C ends', flush=True)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            show(source, runner, settings, server.hub, loop=options.loop)
    finally:
        server.stop()


def _write(
    source: Source, engine: Engine, settings: LocalSettings, runner: Runner, out: Path
) -> None:
    """Write every image of the source, as fast as it goes; Ctrl-C ends a live one."""
    from adamtl_ros.view.files import open_scene_file

    all_tasks = engine.model.network.tasks
    tasks = {name: all_tasks[name] for name in settings.tasks}
    file = open_scene_file(out, tasks, source)
    count, macs, full, infer_ms, begin = 0, 0.0, 0.0, 0.0, time.perf_counter()
    try:
        with contextlib.suppress(KeyboardInterrupt):
            for frame in source.frames():
                scene = runner.run(frame)
                file.add(scene, frame.stamp_ns)
                count += 1
                macs, full = macs + scene.statistics.macs, full + scene.statistics.macs_full
                infer_ms += scene.statistics.infer_ms
                _progress(count, source)
    finally:
        file.close()
    seconds = time.perf_counter() - begin
    print(
        f'\r{count} images in {seconds:.1f} s: {macs / full:.0%} of the MACs, network '
        f'{infer_ms / count:.1f} ms on average; in {out}'
    )


def _progress(count: int, source: Source) -> None:
    if sys.stdout.isatty():
        total = f' of {source.count}' if source.count else ''
        print(f'\r{count}{total} images', end='', flush=True)
