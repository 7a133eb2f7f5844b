# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Predictions as an MCAP bag for Foxglove, PlotJuggler and `ros2 bag play`, and as a video."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from adamtl_ros.bags.reader import RAW
from adamtl_ros.bags.writer import LABEL_INFO, STATS, header, label_info, own_typestore, task_image
from adamtl_ros.evaluation.bags.result import STAGES, WORK
from adamtl_ros.tasks import Kind
from adamtl_ros.viz.mosaic import Mosaic, parts_run, tile
from adamtl_ros.viz.video_file import VideoFile

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from adamtl_ros.evaluation.bags.recording import Frame
    from adamtl_ros.evaluation.bags.result import FrameCost
    from adamtl_ros.runtime.engine import Inference
    from adamtl_ros.tasks import Task

NODE = '/adamtl'
PREDICTIONS, VIDEO = 'predictions', 'video.mp4'
NAN = float('nan')
NOT_APPLICABLE = (
    'battery_budget',
    'thermal_budget',
    'deadline_budget',
    'publish_ms',
    'age_ms',
    'battery',
    'temperature',
)
"""Fields of `ComputeStats` that are NaN offline."""
NOT_COUNTED = ('frames_dropped', 'frames_idle', 'frames_refused', 'frames_late')
"""Fields of `ComputeStats` that are 0 offline."""


def remove_outputs(folder: Path) -> None:
    """Remove the outputs of an earlier evaluation from a folder."""
    shutil.rmtree(folder / PREDICTIONS, ignore_errors=True)
    (folder / VIDEO).unlink(missing_ok=True)


class Predictions:
    """MCAP bag with the topics that the node would have published."""

    def __init__(self, path: Path, tasks: Mapping[str, Task], model: str, budget: float) -> None:
        """Open a new bag.

        Args:
            path: Folder of the bag; must not exist.
            tasks: Tasks that run, by name.
            model: Name of the model.
            budget: Requested budget.

        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._store, self._model, self._budget = own_typestore(), model, budget
        self._tasks, self._count = tasks, 0
        self._writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
        self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._writer.open()
        self._topics = {name: self._add(f'{NODE}/{name}/image', RAW) for name in tasks}
        self._stats = self._add(f'{NODE}/compute_stats', STATS)
        self._names = {
            name: self._add(f'{NODE}/{name}/label_info', LABEL_INFO)
            for name, task in tasks.items()
            if task.kind is Kind.LABELS
        }

    def add(self, frame: Frame, inference: Inference, cost: FrameCost) -> None:
        """Write the messages of a frame at its time of recording."""
        if not self._count:
            for name, connection in self._names.items():
                info = label_info(header(frame.stamp, frame.frame_id), self._tasks[name])
                self._write(connection, frame, LABEL_INFO, info)
        self._count += 1
        for name, result in inference.results.items():
            message = task_image(header(frame.stamp, frame.frame_id), self._tasks[name], result)
            self._write(self._topics[name], frame, RAW, message)
        self._write(self._stats, frame, STATS, self._stats_message(frame, inference, cost))

    def close(self) -> None:
        """Close the bag."""
        self._writer.close()

    def _add(self, topic: str, kind: str) -> Any:
        return self._writer.add_connection(topic, kind, typestore=self._store)

    def _write(self, connection: Any, frame: Frame, kind: str, message: object) -> None:
        data = self._store.serialize_cdr(message, kind)
        self._writer.write(connection, frame.recorded, data)

    def _stats_message(self, frame: Frame, inference: Inference, cost: FrameCost) -> object:
        message_type = self._store.types[STATS]
        floor = inference.cost.floor
        return message_type(
            header=header(frame.stamp, frame.frame_id),
            sequence=self._count,
            model=self._model,
            device='offline',
            engine=inference.engine,
            precision=inference.precision,
            tasks=list(inference.results),
            requested_budget=self._budget,
            effective_budget=max(self._budget, cost.mac_fraction) if floor else self._budget,
            limit_reason=message_type.FLOOR if floor else message_type.USER,
            **{name: getattr(cost, name) for name in (*WORK, *STAGES)},
            blocks_total=inference.cost.blocks_total,
            windows_total=inference.cost.windows_total,
            decode_ms=cost.decode_ms,
            latency_ms=cost.latency_ms,
            energy=cost.energy_j,
            frames_received=self._count,
            frames_processed=self._count,
            **dict.fromkeys(NOT_APPLICABLE, NAN),
            **dict.fromkeys(NOT_COUNTED, 0),
        )


class Video:
    """H.264 video of camera image and results at the times of the recording."""

    def __init__(self, path: Path, tasks: Mapping[str, Task], model: str) -> None:
        """Prepare a video; the file is created with the first frame.

        Args:
            path: The .mp4 file.
            tasks: Tasks that run, by name.
            model: Name of the model, shown beside the results.

        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file, self._model = VideoFile(path), model
        self._mosaic = Mosaic(tasks)

    def add(self, frame: Frame, inference: Inference, cost: FrameCost) -> None:
        """Draw a frame."""
        for name, result in inference.results.items():
            self._mosaic.add(name, result)
        lines = [
            self._model,
            f'spent {cost.macs / 1e6:.0f} of {cost.macs_full / 1e6:.0f} M MACs'
            f' ({cost.mac_fraction:.0%})',
            parts_run(
                (cost.blocks_run, inference.cost.blocks_total),
                (cost.windows_run, inference.cost.windows_total),
            ),
            f'inference {cost.infer_ms:.1f} ms',
        ]
        self._file.add(self._mosaic.page(tile(frame.image, 'camera'), lines), frame.recorded)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
