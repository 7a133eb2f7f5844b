# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Scene: a camera image with its results and statistics, and its form for the browser."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from adamtl_ros.tasks import Kind
from adamtl_ros.viz.colorize import colorize
from adamtl_ros.viz.legend import Legend
from adamtl_ros.viz.mosaic import parts_run
from adamtl_ros.viz.overlay import Overlay

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from adamtl_ros.runtime.engine import Inference
    from adamtl_ros.sources.calibration import Calibration
    from adamtl_ros.tasks import Task

    Picture = NDArray[np.uint8]

NAN = math.nan
TILE_WIDTH, OVERLAY_WIDTH, CLOUD_WIDTH = 400, 800, 200
"""Largest widths of the pictures of results, of the overlay, and of the grid of points [px]."""
JPEG_QUALITY = 85
FARTHEST_M = 60.0
"""Depth beyond which points are left out; 16 bits of millimeters end there."""


@dataclass(frozen=True)
class Statistics:
    """What a frame cost; NaN and 0 blocks where unknown.

    Attributes:
        model: Name of the model.
        budget: Budget in force.
        macs: Multiply-accumulates spent.
        macs_full: Multiply-accumulates of the whole network.
        blocks: Number of blocks that ran, and of all.
        windows: The same of attention windows.
        infer_ms: Time of the network [ms].
        latency_ms: Time from the image to the last result [ms].
        processed: Number of frames so far.
        dropped: Number of frames that were left out so far.
        limit: What limits the budget; empty if nothing does.

    """

    model: str = ''
    budget: float = NAN
    macs: float = NAN
    macs_full: float = NAN
    blocks: tuple[int, int] = (0, 0)
    windows: tuple[int, int] = (0, 0)
    infer_ms: float = NAN
    latency_ms: float = NAN
    processed: int = 0
    dropped: int = 0
    limit: str = ''

    def lines(self) -> list[str]:
        """Return lines of text for a picture."""
        limit = f', limited: {self.limit}' if self.limit else ''
        return [
            self.model,
            f'budget {self.budget:.2f}{limit}',
            f'spent {self.macs / 1e6:.0f} of {self.macs_full / 1e6:.0f} M MACs',
            parts_run(self.blocks, self.windows),
            f'network {self.infer_ms:.1f} ms',
            f'image to results {self.latency_ms:.1f} ms',
        ]


def inference_statistics(model: str, budget: float, run: Inference, **further: Any) -> Statistics:
    """Return the statistics of a frame of the engine.

    Args:
        model: Name of the model.
        budget: Budget of the frame.
        run: Results and cost.
        further: Other attributes of `Statistics`.

    """
    cost = run.cost
    return Statistics(
        model=model,
        budget=budget,
        macs=cost.macs,
        macs_full=cost.macs_full,
        blocks=(cost.blocks_run, cost.blocks_total),
        windows=(cost.windows_run, cost.windows_total),
        infer_ms=float(run.infer_ms),
        **further,
    )


@dataclass(frozen=True)
class Scene:
    """Camera image with its results.

    Attributes:
        image: Camera image, (H, W, 3) RGB; None if unknown.
        results: Results by task, in the form that the node publishes; or pictures of them,
            (h, w, 3) uint8 RGB, where only these are known.
        statistics: What the frame cost.
        calibration: Intrinsics of the image; None if unknown.
        name: Name of the picture; '' for an image of a stream.

    """

    image: Picture | None
    results: Mapping[str, NDArray[np.generic]]
    statistics: Statistics = field(default_factory=Statistics)
    calibration: Calibration | None = None
    name: str = ''


class SceneEncoder:
    """Encoder of scenes for the page: a JSON header and JPEG pictures.

    The form is 4 bytes with the length of the header (little endian), the header, and one after
    the other the `parts` that it names.
    """

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        """Start without scenes.

        Args:
            tasks: Tasks by name, with their classes.

        """
        self.set_tasks(tasks)

    def set_tasks(self, tasks: Mapping[str, Task]) -> None:
        """Replace the tasks, as when the class names of a node arrive."""
        self._tasks = dict(tasks)
        self._overlay = Overlay(tasks)
        self._legend = Legend(tasks)

    def encode(self, scene: Scene, further: Mapping[str, Any]) -> bytes:
        """Return a scene in the form of the page.

        Args:
            scene: Scene to encode.
            further: Further entries of the header.

        """
        parts = list(self._parts(scene))
        header = {
            **further,
            'name': scene.name,
            'statistics': _without_nan(asdict(scene.statistics)),
            'legends': self._legends(scene),
            'parts': [{'name': name, 'size': len(data)} for name, data in parts],
        }
        cloud = _cloud(scene)
        if cloud is not None:
            header['cloud'], depth = cloud
            header['parts'].append({'name': 'depth_mm', 'size': len(depth)})
            parts.append(('depth_mm', depth))
        text = json.dumps(header).encode()
        return b''.join([struct.pack('<I', len(text)), text, *(data for _, data in parts)])

    def _parts(self, scene: Scene) -> Iterator[tuple[str, bytes]]:
        """Yield the pictures by name."""
        small = {name: _shrink(result, TILE_WIDTH) for name, result in scene.results.items()}
        if scene.image is not None:
            image = _shrink(scene.image, OVERLAY_WIDTH)
            shown = {name: r for name, r in scene.results.items() if not _is_picture(r)}
            yield 'overlay', _jpeg(self._overlay.draw(image, shown, legend=False))
            yield 'camera', _jpeg(_shrink(scene.image, TILE_WIDTH))
        for name, result in small.items():
            known = name in self._tasks and not _is_picture(result)
            yield name, _jpeg(colorize(self._tasks[name], result) if known else result)

    def _legends(self, scene: Scene) -> dict[str, list[dict[str, str]]]:
        """Return names and colors of the classes that are present, by task."""
        found = {}
        for name, result in scene.results.items():
            if name in self._tasks and self._tasks[name].kind is Kind.LABELS and result.ndim == 2:
                self._legend.add(name, result)
                listed = self._legend.entries(name)
                found[name] = [{'text': e.text, 'color': _css(e.color)} for e in listed]
        return found


def _is_picture(result: NDArray[np.generic]) -> bool:
    """Return whether a result is a picture of it already, not the result itself."""
    return result.dtype == np.uint8 and result.ndim == 3


def _cloud(scene: Scene) -> tuple[dict[str, Any], bytes] | None:
    """Return intrinsics and depth [mm, 16 bits, 0 = unknown] of a coarse grid; None if unknown."""
    depth = scene.results.get('depth')
    if depth is None or depth.ndim != 2 or scene.calibration is None:
        return None
    coarse = _shrink(depth, CLOUD_WIDTH).astype(np.float32)
    height, width = coarse.shape
    k, x, y = (
        scene.calibration.k,
        width / scene.calibration.width,
        height / scene.calibration.height,
    )
    known = np.isfinite(coarse) & (coarse > 0) & (coarse < FARTHEST_M)
    millimeters = np.where(known, coarse, 0) * np.float32(1000)
    header = {
        'width': width,
        'height': height,
        'k': [k[0] * x, k[4] * y, k[2] * x, k[5] * y],
    }
    return header, millimeters.astype('<u2').tobytes()


def _shrink(picture: NDArray[Any], width: int) -> NDArray[Any]:
    """Return a picture or a result of at most a width; results are not averaged."""
    if picture.shape[1] <= width:
        return picture
    height = max(1, round(picture.shape[0] * width / picture.shape[1]))
    averaged = picture.dtype == np.uint8 and picture.ndim == 3
    method = cv2.INTER_AREA if averaged else cv2.INTER_NEAREST
    return cv2.resize(picture, (width, height), interpolation=method)


def _jpeg(picture: Picture) -> bytes:
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    return cv2.imencode('.jpg', bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()


def _css(color: tuple[int, ...] | None) -> str:
    return '#{:02x}{:02x}{:02x}'.format(*(color or (0, 0, 0)))


def _without_nan(values: dict[str, Any]) -> dict[str, Any]:
    """Return values that JSON knows: None for NaN."""
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in values.items()}
