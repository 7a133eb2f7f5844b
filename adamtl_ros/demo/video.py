# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The recorded results beside the camera image, as a video."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import cv2
import numpy as np
from rosbags.image import message_to_cvimage
from tqdm import tqdm

from adamtl_ros.data.bags import header_stamp, open_bag
from adamtl_ros.data.messages import camera_images
from adamtl_ros.runtime.colour import colourise
from adamtl_ros.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from adamtl_ros.data.bags import Camera
    from adamtl_ros.msg import ComputeStats

    Picture = NDArray[np.uint8]

TILE_WIDTH, COLUMNS, LABEL_HEIGHT = 320, 4, 24
SHEET_ROWS = 5
INK, PAPER = (235, 235, 235), 24


def write_video(
    bag: Path, camera: Camera, results: Path, stats: list[ComputeStats], path: Path, sheet: Path
) -> None:
    """Draw every camera image beside the newest results that were made of one so far.

    Some of them, from the begin to the end, also become the rows of one picture.

    Args:
        bag: The played bag.
        camera: Its camera.
        results: The recorded bag.
        stats: The statistics of the processed frames.
        path: The .mp4 file to write (H.264).
        sheet: The .png file to write.

    """
    rate = Fraction(max(1.0, camera.frames / max(camera.duration_s, 1e-3))).limit_denominator(100)
    by_stamp = {s.header.stamp.sec * 1_000_000_000 + s.header.stamp.nanosec: s for s in stats}
    frames = _frames(bag, camera, results, by_stamp)
    chosen = set(np.linspace(0, camera.frames - 1, SHEET_ROWS + 1).astype(int)[1:])
    with av.open(str(path), 'w') as container:
        stream: Any = None
        rows = []
        bar = tqdm(frames, total=camera.frames, unit='frame', desc='drawing')
        for index, (picture, row) in enumerate(bar):
            if index in chosen:
                rows.append(row)
            if stream is None:
                stream = container.add_stream('libx264', rate=rate, options={'crf': '20'})
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = 'yuv420p'
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, 'rgb24')))
        if stream is not None:
            container.mux(stream.encode())
    cv2.imwrite(str(sheet), cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))


def _frames(
    bag: Path, camera: Camera, results: Path, stats: dict[int, ComputeStats]
) -> Iterator[tuple[Picture, Picture]]:
    """Draw the frames and the rows of the sheet, holding each result until the next one."""
    tiles: dict[str, Picture] = {}
    newest: ComputeStats | None = None
    with open_bag(results) as recorded:
        outputs = _by_stamp(recorded)
        pending = next(outputs, None)
        for stamp, image in camera_images(bag, camera):
            while pending is not None and pending[0] <= stamp:
                newest = stats.get(pending[0], newest)
                tiles[pending[1]] = _tile(colourise(TASKS[pending[1]], pending[2]), pending[1])
                pending = next(outputs, None)
            shown = _tile(image, 'camera')
            yield _compose(shown, tiles, newest), _row(shown, tiles, newest)


def _by_stamp(recorded: Any) -> Iterator[tuple[int, str, NDArray[np.generic]]]:  # noqa: ANN401
    """Give (stamp, task, result) in order of the stamps; the bag is in order of arrival."""
    connections = [c for c in recorded.connections if c.topic.endswith('/image')]
    held: list[tuple[int, str, bytes, str]] = []
    for connection, _, raw in recorded.messages(connections):
        stamp = header_stamp(raw)
        if held and stamp > held[-1][0]:
            yield from _decode(recorded, held)
            held = []
        held.append((stamp, connection.topic.split('/')[-2], raw, connection.msgtype))
    yield from _decode(recorded, held)


def _decode(
    recorded: Any,  # noqa: ANN401
    held: list[tuple[int, str, bytes, str]],
) -> Iterator[tuple[int, str, NDArray[np.generic]]]:
    for stamp, task, raw, kind in held:
        yield stamp, task, message_to_cvimage(recorded.deserialize(raw, kind))


def _tile(image: Picture, label: str) -> Picture:
    """Shrink a picture to the width of a tile, under its label."""
    height = 2 * round(image.shape[0] * TILE_WIDTH / image.shape[1] / 2)
    tile = np.full((LABEL_HEIGHT + height, TILE_WIDTH, 3), PAPER, np.uint8)
    tile[LABEL_HEIGHT:] = cv2.resize(image, (TILE_WIDTH, height), interpolation=cv2.INTER_AREA)
    _write(tile, label.replace('_', ' '), (8, 17))
    return tile


def _compose(camera: Picture, tiles: dict[str, Picture], stats: ComputeStats | None) -> Picture:
    empty = np.full_like(camera, PAPER)
    pictures = [camera, *(tiles.get(name, empty) for name in TASKS), _panel(empty, stats)]
    pictures += [empty] * (-len(pictures) % COLUMNS)
    rows = [np.hstack(pictures[i : i + COLUMNS]) for i in range(0, len(pictures), COLUMNS)]
    return np.vstack(rows)


def _row(camera: Picture, tiles: dict[str, Picture], stats: ComputeStats | None) -> Picture:
    """Draw the results side by side, smaller than in the video."""
    shown = camera.copy()
    if stats is not None:
        text = f'budget {stats.effective_budget:.2f}, {stats.macs / 1e6:.0f} M MACs'
        shown[:LABEL_HEIGHT] = PAPER
        _write(shown, text, (8, 17))
    empty = np.full_like(camera, PAPER)
    row = np.hstack([shown, *(tiles.get(name, empty) for name in TASKS)])
    return cv2.resize(row, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)


def _panel(empty: Picture, stats: ComputeStats | None) -> Picture:
    panel = empty.copy()
    if stats is None:
        _write(panel, 'no result yet', (8, 17))
        return panel
    lines = [
        stats.model,
        f'budget {stats.effective_budget:.2f}{_limited(stats)}',
        f'spent {stats.macs / 1e6:.0f} of {stats.macs_full / 1e6:.0f} M MACs',
        f'blocks {stats.blocks_run} of {stats.blocks_total},'
        f' windows {stats.windows_run} of {stats.windows_total}',
        f'inference {stats.infer_ms:.1f} ms',
        f'latency {stats.latency_ms:.1f} ms',
        f'frames processed {stats.frames_processed}',
        f'frames dropped {stats.frames_dropped}',
        *_sensors(stats),
    ]
    spacing = min(26, (panel.shape[0] - 52) // len(lines))
    for index, line in enumerate(lines):
        _write(panel, line, (16, 44 + spacing * index))
    return panel


def _limited(stats: ComputeStats) -> str:
    """Say what holds the budget below what was asked for."""
    names = {
        stats.BATTERY: 'battery',
        stats.THERMAL: 'heat',
        stats.DEADLINE: 'deadline',
        stats.FLOOR: 'floor',
    }
    return f', limited: {names[stats.limit_reason]}' if stats.limit_reason in names else ''


def _sensors(stats: ComputeStats) -> list[str]:
    known = []
    if not math.isnan(stats.battery):
        known.append(f'battery {100 * stats.battery:.0f} %')
    if not math.isnan(stats.temperature):
        known.append(f'temperature {stats.temperature:.1f} C')
    return [', '.join(known)] if known else []


def _write(image: Picture, text: str, position: tuple[int, int]) -> None:
    cv2.putText(image, text, position, cv2.FONT_HERSHEY_SIMPLEX, 0.5, INK, 1, cv2.LINE_AA)
