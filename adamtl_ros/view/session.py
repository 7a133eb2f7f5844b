# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Engine on the images of a source: scenes one after the other, for a browser or for files."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from adamtl_ros.sources.calibration import from_focal
from adamtl_ros.sources.frame import in_real_time, repeated
from adamtl_ros.view.scene import Scene, inference_statistics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from adamtl_ros.runtime.engine import Engine
    from adamtl_ros.sources.calibration import Calibration
    from adamtl_ros.sources.frame import Frame, Source
    from adamtl_ros.view.server import Hub, LocalSettings

HOLD_S = 0.2
"""Longest wait for a change of the settings before looking whether to go on [s]."""
USUAL_FOCAL = 0.94
"""Relative focal length that is assumed where neither camera nor model has one."""


class Runner:
    """Runs the engine on the frames of a source."""

    def __init__(self, engine: Engine, settings: LocalSettings, source: Source) -> None:
        """Set what runs.

        Args:
            engine: Engine to run.
            settings: Budget and tasks, read for each frame.
            source: Source of the frames, which knows the lens.

        """
        self._engine, self._settings, self._source = engine, settings, source
        self._processed = 0

    def run(self, frame: Frame, dropped: int = 0) -> Scene:
        """Return the scene of a frame.

        Args:
            frame: Image of the source.
            dropped: Number of frames that were left out so far, for the statistics.

        Raises:
            CalibrationError: The calibration is of another shape than the image.

        """
        begin = time.perf_counter()
        budget, tasks = self._settings.budget, self._settings.tasks
        calibration = self._source.intrinsics(*frame.image.shape[:2])
        focal = None if calibration is None else calibration.focal
        inference = self._engine.run(frame.image, budget, tasks, focal)
        self._processed += 1
        statistics = inference_statistics(
            self._engine.model.name,
            budget,
            inference,
            latency_ms=1000 * (time.perf_counter() - begin),
            processed=self._processed,
            dropped=dropped,
        )
        lens = calibration or self._usual_lens(frame)
        return Scene(frame.image, inference.results, statistics, lens, frame.name)

    def _usual_lens(self, frame: Frame) -> Calibration:
        """Return the intrinsics of an image by the lens of the training."""
        height, width = frame.image.shape[:2]
        focal = self._engine.model.focal or USUAL_FOCAL
        return from_focal(focal * math.sqrt(height * width), height, width)


def show(
    source: Source,
    runner: Runner,
    settings: LocalSettings,
    hub: Hub,
    *,
    loop: bool = False,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Run the engine on a source at the pace of its images and show the scenes.

    When the source has ended or is paused, its last image is computed again whenever budget or
    tasks change.

    Args:
        source: Source of the images.
        runner: Engine to run.
        settings: Settings that a browser changes.
        hub: Hub that shows the scenes.
        loop: Whether to begin again at the end.
        stopped: Function that returns whether to stop.

    """
    latest = None
    count = 0
    for frame in _paced(source, loop=loop):
        latest, count = frame, count + 1
        hub.show(runner.run(frame))
        if stopped():
            return
        _hold(frame, runner, settings, hub, lambda: stopped() or not settings.paused)
    if latest is not None:
        if source.count != 1:
            hub.message = f'end of {source.name}'
        hub.show(runner.run(latest))
        _hold(latest, runner, settings, hub, stopped)


def _hold(
    frame: Frame, runner: Runner, settings: LocalSettings, hub: Hub, done: Callable[[], bool]
) -> None:
    """Compute a frame again whenever the settings change, until something is done."""
    settings.changed.clear()
    while not done():
        if settings.changed.wait(HOLD_S):
            settings.changed.clear()
            hub.show(runner.run(frame))


def _paced(source: Source, *, loop: bool) -> Iterator[Frame]:
    """Return the frames of a source when it is their time."""
    if source.live:
        return source.frames()
    return in_real_time(repeated(source) if loop else source.frames())
