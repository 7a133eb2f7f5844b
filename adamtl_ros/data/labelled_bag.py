# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A robot's own recording with ground truth beside the camera, as labelled images."""

from __future__ import annotations

import os
import struct
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
from rosbags.highlevel import AnyReaderError
from rosbags.rosbag2 import ReaderError

from adamtl_ros.bags.ground_truth import (
    TRUTH_TOPICS,
    choose_camera,
    class_names,
    find_truth,
    listing,
)
from adamtl_ros.bags.images import decode_image, decode_label
from adamtl_ros.bags.reader import BagError, header_stamp, open_bag
from adamtl_ros.labels import resize_nearest
from adamtl_ros.sample import DataError, Sample
from adamtl_ros.tasks import TASKS, Kind, select

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from rosbags.highlevel import AnyReader
    from rosbags.interfaces import Connection

    from adamtl_ros.tasks import Task


@dataclass(frozen=True)
class _Frame:
    """Header stamp of an image, and when it and its labels were recorded, by topic [ns]."""

    stamp: int
    times: Mapping[str, int]


class LabelledBag:
    """Images of a bag with the ground truth that has exactly the same header stamp; a `Dataset`.

    Opening reads the bag once, for the stamps (0.1 to 0.2 s for 24 raw images with labels in
    SQLite3, or 180 compressed ones with depth in MCAP); an image and its labels are then read
    from their place, at about 1 ms, and decoded. Nothing is copied or kept. Each process opens
    the bag again, so that it works in data loaders; two threads must not share one.

    Masks (saliency, edges) are 0 and 1, or else 0..255. In one with a 1 and no values but
    0, 1 and 255, 255 is unknown.

    Attributes:
        path: The bag.
        camera: Topic of the images.
        truth: Topic of the ground truth by task.
        tasks: The tasks that have ground truth, with the class names of this bag.

    """

    def __init__(
        self,
        path: Path,
        camera: str = '',
        truth: Mapping[str, str] | None = None,
        classes: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Find the topics and join them.

        Args:
            path: Folder of the bag, or a single .mcap file.
            camera: Topic of the images; by default as `find_camera` finds it.
            truth: Topics of ground truth by task, besides `/ground_truth/<task>/image`.
            classes: Class names by label task; by default those of a `LabelInfo` beside the
                ground truth, `<...>/label_info`, else those of the task table.

        Raises:
            BagError: The bag cannot be read, or has no camera.
            DataError: No ground truth, or none with the stamp of an image.
            ValueError: A task that does not exist, or classes for one that has none.

        """
        self.path = path
        self._process = 0
        reader = self._reader()
        kinds = {c.topic: c.msgtype for c in reader.connections if c.msgcount}
        self.truth = find_truth(path, kinds, truth or {})
        if not self.truth:
            raise DataError(
                f'{path}: no ground truth on {TRUTH_TOPICS["semseg"]} or the like for '
                f'{", ".join(TASKS)}; name the topics with truth={{task: topic}}; it holds: '
                + listing(kinds)
            )
        self.camera = choose_camera(path, camera, set(self.truth.values()))
        self.tasks = self._name_classes(reader, classes or {})
        self._frames = self._join(reader)

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Sample:
        """Return a labelled image.

        Raises:
            IndexError: A number outside 0 to length - 1.
            DataError: An image or label that cannot be used; says the topic and its stamp.

        """
        if not 0 <= index < len(self):
            raise IndexError(f'image {index} is outside 0 to {len(self) - 1}')
        frame = self._frames[index]
        raw = self._read(frame)
        image: NDArray[np.uint8] = self._decode(frame, self.camera, raw[self.camera], None)
        size = image.shape[:2]
        labels = {
            name: resize_nearest(self._decode(frame, topic, raw[topic], self.tasks[name]), *size)
            for name, topic in self.truth.items()
            if topic in raw
        }
        return Sample(image, labels, f'{self.path.name}/{frame.stamp}')

    def __getstate__(self) -> dict[str, Any]:
        kept = {
            key: value for key, value in self.__dict__.items() if key not in ('_bag', '_opened')
        }
        return {**kept, '_process': 0}

    def close(self) -> None:
        """Let go of the file; the next access opens it again."""
        if self._process == os.getpid():
            self._opened.close()
        self._process = 0

    def _reader(self) -> AnyReader:
        # A forked process would share the position in the file with its parent.
        if self._process != os.getpid():
            self._opened = ExitStack()
            self._bag = self._opened.enter_context(open_bag(self.path))
            self._process = os.getpid()
        return self._bag

    def _name_classes(
        self, reader: AnyReader, given: Mapping[str, Sequence[str]]
    ) -> dict[str, Task]:
        select(given, self.truth)
        tasks = {name: TASKS[name] for name in self.truth}
        for name, task in tasks.items():
            names = given.get(name) or class_names(reader, self.truth[name])
            if name in given or (names and task.kind is Kind.LABELS):
                tasks[name] = task.with_classes(names)
        return tasks

    def _join(self, reader: AnyReader) -> list[_Frame]:
        """Return the images that have a label, in the order of recording."""
        times: dict[str, dict[int, int]] = {t: {} for t in (self.camera, *self.truth.values())}
        wanted = [c for c in reader.connections if c.topic in times]
        for connection, time, stamp, _ in self._messages(reader, wanted):
            times[connection.topic].setdefault(stamp, time)
        frames = [
            _Frame(stamp, {topic: at[stamp] for topic, at in times.items() if stamp in at})
            for stamp in times[self.camera]
        ]
        labelled = [frame for frame in frames if len(frame.times) > 1]
        if not labelled:
            counts = ', '.join(f'{len(at)} stamps on {topic}' for topic, at in times.items())
            raise DataError(
                f'{self.path}: no ground truth has the header stamp of an image ({counts}); '
                'publish labels with the header of the image that they belong to'
            )
        return labelled

    def _read(self, frame: _Frame) -> dict[str, tuple[bytes, str]]:
        """Return the serialised messages of an image and their types by topic."""
        reader = self._reader()
        messages = {}
        for time in sorted(set(frame.times.values())):
            wanted = [c for c in reader.connections if frame.times.get(c.topic) == time]
            for connection, _, stamp, raw in self._messages(reader, wanted, time, time + 1):
                if stamp == frame.stamp:
                    messages[connection.topic] = (raw, connection.msgtype)
        if len(messages) < len(frame.times):
            raise BagError(f'{self.path} is not as it was when it was opened; open it again')
        return messages

    def _messages(
        self, reader: AnyReader, wanted: list[Connection], *span: int
    ) -> Iterator[tuple[Connection, int, int, bytes]]:
        """Yield messages with the time of recording and their header stamp."""
        try:
            for connection, time, raw in reader.messages(wanted, *span):
                yield connection, time, header_stamp(raw), raw
        except (AnyReaderError, ReaderError, OSError, struct.error) as error:
            raise BagError(f'{self.path} is damaged: {error}') from error

    def _decode(
        self, frame: _Frame, topic: str, raw: tuple[bytes, str], task: Task | None
    ) -> NDArray[Any]:
        """Return the image, or the label of a task."""
        try:
            message = self._reader().deserialize(*raw)
            return decode_image(message) if task is None else decode_label(message, task)
        except (AnyReaderError, ValueError, struct.error, cv2.error) as error:
            raise DataError(f'{self.path}, {topic} at {frame.stamp} ns: {error}') from error
