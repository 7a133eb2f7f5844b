# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Video and contact sheet of the camera images beside the recorded results."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import cv2
import numpy as np
from rosbags.image import message_to_cvimage
from tqdm import tqdm

from adamtl_ros.bags.ground_truth import read_label_info
from adamtl_ros.bags.reader import header_stamp, open_bag, read_images
from adamtl_ros.tasks import TASKS, UNLABELLED, Kind
from adamtl_ros.viz.legend import Legend
from adamtl_ros.viz.mosaic import Mosaic, parts_run, strip, strip_legend, tile
from adamtl_ros.viz.video_file import add_stream

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from adamtl_ros.bags.reader import CameraTopics
    from adamtl_ros.msg import ComputeStats
    from adamtl_ros.tasks import Task

    Picture = NDArray[np.uint8]

SHEET_ROWS = 5


def write_video(
    bag: Path,
    camera: CameraTopics,
    results: Path,
    stats: list[ComputeStats],
    path: Path,
    sheet: Path,
) -> None:
    """Write a video of every camera image beside the newest results, and a contact sheet.

    Args:
        bag: Played bag.
        camera: Camera of the bag.
        results: Recorded bag.
        stats: Statistics of the processed frames.
        path: Video to write, .mp4 (H.264).
        sheet: Contact sheet of some frames to write, .png.

    """
    rate = Fraction(max(1.0, camera.frames / max(camera.duration_s, 1e-3))).limit_denominator(100)
    by_stamp = {s.header.stamp.sec * 1_000_000_000 + s.header.stamp.nanosec: s for s in stats}
    tasks = _recorded_tasks(results)
    frames = _frames(bag, camera, results, by_stamp, tasks)
    legend = Legend(tasks, memory=1)
    chosen = set(np.linspace(0, camera.frames - 1, SHEET_ROWS + 1).astype(int)[1:])
    with av.open(str(path), 'w') as container:
        stream: Any = None
        rows = []
        bar = tqdm(frames, total=camera.frames, unit='frame', desc='drawing')
        for index, (picture, row, shown) in enumerate(bar):
            if index in chosen:
                rows.append(row)
                for name, result in shown.items():
                    legend.add(name, result)
            if stream is None:
                stream = add_stream(container, picture, rate)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, 'rgb24')))
        if stream is not None:
            container.mux(stream.encode())
    page = np.vstack([*rows, strip_legend(legend, tasks)])
    cv2.imwrite(str(sheet), cv2.cvtColor(page, cv2.COLOR_RGB2BGR))


def _recorded_tasks(results: Path) -> dict[str, Task]:
    """Return all tasks, with the class names that the node published."""
    tasks = dict(TASKS)
    with open_bag(results) as recorded:
        topics = {c.topic.split('/')[-2]: c.topic for c in _outputs(recorded)}
        for name in [name for name, task in TASKS.items() if task.kind is Kind.LABELS]:
            known = read_label_info(recorded, topics[name]) if name in topics else []
            # Without vision_msgs the node cannot say them.
            names = known or [f'class {number}' for number in range(UNLABELLED)]
            tasks[name] = TASKS[name].with_classes(names)
    return tasks


def _frames(
    bag: Path,
    camera: CameraTopics,
    results: Path,
    stats: dict[int, ComputeStats],
    tasks: dict[str, Task],
) -> Iterator[tuple[Picture, Picture, dict[str, NDArray[np.generic]]]]:
    """Yield the pages of the video, the rows of the sheet, and the results that they show.

    Results are held until the next.
    """
    held: dict[str, NDArray[np.generic]] = {}
    mosaic = Mosaic(tasks)
    newest: ComputeStats | None = None
    with open_bag(results) as recorded:
        outputs = _by_stamp(recorded)
        pending = next(outputs, None)
        for stamp, image in read_images(bag, camera):
            while pending is not None and pending[0] <= stamp:
                newest = stats.get(pending[0], newest)
                _, name, result = pending
                held[name] = result
                mosaic.add(name, result)
                pending = next(outputs, None)
            shown = tile(image, 'camera')
            yield (
                mosaic.page(shown, _lines(newest)),
                strip(shown, mosaic.tiles, tasks, _short(newest)),
                held,
            )


def _by_stamp(recorded: Any) -> Iterator[tuple[int, str, NDArray[np.generic]]]:
    """Yield (stamp, task, result) in order of stamps; the bag is in order of arrival."""
    connections = _outputs(recorded)
    held: list[tuple[int, str, bytes, str]] = []
    for connection, _, raw in recorded.messages(connections):
        stamp = header_stamp(raw)
        if held and stamp > held[-1][0]:
            yield from _decode(recorded, held)
            held = []
        held.append((stamp, connection.topic.split('/')[-2], raw, connection.msgtype))
    yield from _decode(recorded, held)


def _outputs(recorded: Any) -> list[Any]:
    """Return the connections of the results in the bag of a node."""
    return [c for c in recorded.connections if c.topic.endswith('/image')]


def _decode(
    recorded: Any,
    held: list[tuple[int, str, bytes, str]],
) -> Iterator[tuple[int, str, NDArray[np.generic]]]:
    for stamp, task, raw, kind in held:
        yield stamp, task, message_to_cvimage(recorded.deserialize(raw, kind))


def _lines(stats: ComputeStats | None) -> list[str]:
    if stats is None:
        return ['no result yet']
    return [
        stats.model,
        f'budget {stats.effective_budget:.2f}{_limited(stats)}',
        f'spent {stats.macs / 1e6:.0f} of {stats.macs_full / 1e6:.0f} M MACs',
        parts_run((stats.blocks_run, stats.blocks_total), (stats.windows_run, stats.windows_total)),
        f'inference {stats.infer_ms:.1f} ms',
        f'latency {stats.latency_ms:.1f} ms',
        f'frames processed {stats.frames_processed}',
        f'frames dropped {stats.frames_dropped}',
        *_sensors(stats),
    ]


def _short(stats: ComputeStats | None) -> str:
    if stats is None:
        return ''
    return f'budget {stats.effective_budget:.2f}, {stats.macs / 1e6:.0f} M MACs'


def _limited(stats: ComputeStats) -> str:
    """Return a note on what limits the budget; empty if nothing does."""
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
