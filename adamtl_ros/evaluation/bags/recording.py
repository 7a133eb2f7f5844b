# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Camera frames of a bag, each once and in order, with their ground truth."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from adamtl_ros.bags.ground_truth import GroundTruth
from adamtl_ros.bags.images import decode_image
from adamtl_ros.bags.reader import find_info, first_calibration, header_stamp, open_bag
from adamtl_ros.focal import info_focal
from adamtl_ros.labels import resize_nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from rosbags.highlevel import AnyReader
    from rosbags.interfaces import Connection

    from adamtl_ros.bags.ground_truth import TruthConfig
    from adamtl_ros.bags.reader import IssueLog
    from adamtl_ros.tasks import Task


@dataclass(frozen=True)
class Frame:
    """Camera frame of a recording.

    Attributes:
        index: Number among the images of the camera, unreadable ones included.
        stamp: Header stamp [ns].
        recorded: Time of recording [ns].
        frame_id: Frame id of the header.
        image: (H, W, 3) uint8 RGB.
        labels: Ground truth by task in the format of `Sample`, at the size of the image.
        decode_ms: Time to decode the image [ms].
        focal: Relative focal length by the latest calibration, see `adamtl_ros.focal`; NaN if
            unknown.

    """

    index: int
    stamp: int
    recorded: int
    frame_id: str
    image: NDArray[np.uint8]
    labels: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)
    decode_ms: float = 0.0
    focal: float = math.nan


class Recording:
    """Bag as a sequence of frames; damaged messages are skipped and logged as issues.

    Attributes:
        path: Path of the bag.
        camera: Topic of the images.
        info: Topic of their calibration; None if there is none.
        truth: Ground truth of the bag.
        expected: Number of images according to the bag.

    """

    def __init__(
        self, path: Path, tasks: Mapping[str, Task], config: TruthConfig, issues: IssueLog
    ) -> None:
        """Find the topics, and index the ground truth by stamp.

        Args:
            path: Folder of the bag, or a single .mcap file.
            tasks: Tasks to evaluate by name, with the classes of the model.
            config: Topics given by the user, and the map of class ids.
            issues: Log for what is wrong with the bag.

        Raises:
            BagError: The bag cannot be read at all, or has no camera.
            DataError: The bag lacks a given topic.
            ValueError: The class map names a class that the model does not have.

        """
        self.path, self._issues = path, issues
        with open_bag(path) as reader:
            self.truth = GroundTruth(path, reader, tasks, config, issues)
            self.camera = self.truth.camera
            self.info = find_info(reader, self.camera)
            counts = [c.msgcount for c in reader.connections if c.topic == self.camera]
            self.expected = sum(counts)

    def frames(self) -> Iterator[Frame]:
        """Yield the frames in the order of recording."""
        index, last, size = -1, -(2**63), None
        with open_bag(self.path) as reader:
            # The calibration of the first images may have been recorded after them.
            info = first_calibration(reader, self.info)
            topics = {self.camera, self.info}
            connections = [c for c in reader.connections if c.topic in topics]
            for connection, recorded, raw in self._messages(reader, connections):
                if connection.topic == self.info:
                    info = self._calibration(reader, connection, raw) or info
                    continue
                index += 1
                frame = self._frame(reader, index, connection, recorded, raw)
                if frame is None:
                    continue
                if info is not None:
                    frame = replace(frame, focal=info_focal(info, frame.image.shape[:2]))
                if frame.stamp <= last:
                    self._log('header stamp not after the one before', frame, '')
                if size not in (None, frame.image.shape):
                    was = f'{size[1]}x{size[0]} before'
                    self._log('frame size changes', frame, was)
                last, size = frame.stamp, frame.image.shape
                yield frame
        if index + 1 < self.expected:
            missing = f'{index + 1} of {self.expected} on {self.camera} could be read'
            self._issues.add('images lost in a damaged bag', missing)

    def _messages(
        self, reader: AnyReader, connections: list[Connection]
    ) -> Iterator[tuple[Connection, int, bytes]]:
        try:
            yield from reader.messages(connections)
        except Exception as error:  # noqa: BLE001  parsers raise anything on damaged bytes
            self._issues.add('bag is damaged', f'{type(error).__name__}: {error}')

    def _calibration(self, reader: AnyReader, connection: Connection, raw: bytes) -> Any | None:
        try:
            return reader.deserialize(raw, connection.msgtype)
        except Exception as error:  # noqa: BLE001  as above
            example = f'{self.info}: {type(error).__name__}: {error}'
            self._issues.add('calibration cannot be read', example)
            return None

    def _frame(
        self, reader: AnyReader, index: int, connection: Connection, recorded: int, raw: bytes
    ) -> Frame | None:
        started = time.perf_counter()
        try:
            stamp = header_stamp(raw)
            message: Any = reader.deserialize(raw, connection.msgtype)
            image = decode_image(message)
        except Exception as error:  # noqa: BLE001  as above
            where = f'image {index} on {self.camera}'
            self._issues.add('image cannot be read', f'{where}: {type(error).__name__}: {error}')
            return None
        decode_ms = 1000 * (time.perf_counter() - started)
        labels = self._labels(reader, stamp, image.shape[:2])
        frame_id = str(message.header.frame_id)
        return Frame(index, stamp, recorded, frame_id, image, labels, decode_ms)

    def _labels(
        self, reader: AnyReader, stamp: int, size: tuple[int, ...]
    ) -> dict[str, NDArray[np.generic]]:
        labels: dict[str, NDArray[np.generic]] = {}
        for task, source in self.truth.sources.items():
            try:
                truth = self.truth.read(reader, task, stamp)
            except Exception as error:  # noqa: BLE001  as above
                example = f'{source.topic} at {stamp} ns: {error}'
                self._issues.add(f'ground truth of {task} cannot be used', example)
                continue
            if truth is None:
                self._issues.add(f'no ground truth of {task}', f'{source.topic} at {stamp} ns')
                continue
            if truth.shape[:2] != size:
                sizes = f'{truth.shape[1]}x{truth.shape[0]} for {size[1]}x{size[0]}'
                self._issues.add(
                    f'ground truth of {task} has another size than the image',
                    f'{sizes} at {stamp} ns; stretched to it',
                )
            labels[task] = resize_nearest(truth, *size[:2])
        return labels

    def _log(self, kind: str, frame: Frame, details: str) -> None:
        height, width = frame.image.shape[:2]
        where = f'image {frame.index}, {width}x{height}, stamp {frame.stamp} ns'
        self._issues.add(kind, f'{where}, {details}' if details else where)
