# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Where a bag says what is true: topics of ground truth, or a depth camera beside the colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from adamtl_ros.data.bags import CAMERA_INFO, find_info, readable
from adamtl_ros.data.by_stamp import ByStamp
from adamtl_ros.data.depth_normals import normals_from_depth
from adamtl_ros.data.messages import label
from adamtl_ros.data.truth_topics import choose_camera, class_names, find_depth, find_truth
from adamtl_ros.evaluation.bags.classes import IGNORE, ClassMap
from adamtl_ros.tasks import TASKS, UNLABELLED, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from rosbags.highlevel import AnyReader

    from adamtl_ros.evaluation.bags.notes import Notes
    from adamtl_ros.tasks import Task


@dataclass(frozen=True)
class Wanted:
    """What somebody said of the topics; the rest is found.

    Attributes:
        camera: Topic of the images; '' for the one that `find_camera` finds.
        truth: Topics of ground truth by task.
        classes: What its class ids mean.

    """

    camera: str
    truth: Mapping[str, str]
    classes: ClassMap


@dataclass(frozen=True)
class Source:
    """Ground truth of one task.

    Attributes:
        topic: Whose messages say it.
        origin: The same in words.
        decode: Makes a label of such a message, in the form of `Sample`.

    """

    topic: str
    origin: str
    decode: Callable[[Any], NDArray[np.generic]]


class Truth:
    """Finds ground truth for the frames of a bag by their exact header stamp.

    Topics that are named go first, then `/ground_truth/<task>/image`, then a depth camera: its
    image for depth, and the normals of what it shows where it is calibrated.

    Attributes:
        camera: Topic of the camera.
        sources: Where the ground truth comes from, by task in table order.

    """

    def __init__(
        self,
        path: Path,
        reader: AnyReader,
        tasks: Mapping[str, Task],
        wanted: Wanted,
        notes: Notes,
    ) -> None:
        """Find the topics, and the stamps and times of their messages.

        Args:
            path: The bag.
            reader: The same, open.
            tasks: Tasks to be evaluated, with the classes of the model.
            wanted: Topics that somebody named.
            notes: Takes what is wrong.

        Raises:
            BagError: The bag has no camera.
            DataError: A named topic that is not there.
            ValueError: A class map for a class that the model does not know.

        """
        self._notes = notes
        kinds = {c.topic: c.msgtype for c in reader.connections if c.msgcount}
        topics = find_truth(path, kinds, wanted.truth)
        self.camera = choose_camera(path, wanted.camera, set(topics.values()))
        found = {
            name: self._labels(reader, topic, tasks[name], wanted.classes)
            for name, topic in topics.items()
            if name in tasks
        }
        beside = self._depth_camera(reader, [name for name in tasks if name not in found])
        self.sources = {name: (found | beside)[name] for name in TASKS if name in found | beside}
        self._messages = ByStamp(reader, {source.topic for source in self.sources.values()})
        if self._messages.damage:
            notes.add('ground truth is damaged', self._messages.damage)
        for topic, stamp in self._messages.repeated:
            notes.add('ground truth with a stamp that was there before', f'{topic} at {stamp} ns')

    def read(self, reader: AnyReader, task: str, stamp: int) -> NDArray[np.generic] | None:
        """Return the label of a frame; None if the bag has none.

        Raises:
            ValueError: It cannot be used.

        """
        source = self.sources[task]
        message = self._messages.read(reader, source.topic, stamp)
        return None if message is None else source.decode(message)

    def stamps(self, task: str) -> set[int]:
        """Return the header stamps for which there is ground truth [ns]."""
        return self._messages.stamps(self.sources[task].topic)

    def _labels(self, reader: AnyReader, topic: str, task: Task, given: ClassMap) -> Source:
        classes = None
        if task.kind is Kind.LABELS:
            classes = self._classes(task, class_names(reader, topic), given)
        if classes is None:
            return Source(topic, topic, lambda message: label(message, task))
        table = classes.table(task.name, task.classes)
        # Read as they are, since they are not yet ids of the model.
        plain = task.with_classes([f'class {i}' for i in range(UNLABELLED)])

        def decode(message: Any) -> NDArray[np.uint8]:  # noqa: ANN401
            ids = label(message, plain)
            stamp = message.header.stamp
            where = f'{topic} at {stamp.sec * 10**9 + stamp.nanosec} ns'
            self._note_unnamed(task.name, classes.unnamed(task.name, ids), where)
            return table[ids]

        return Source(topic, topic, decode)

    def _note_unnamed(self, task: str, unnamed: Mapping[int, int], where: str) -> None:
        for number, pixels in unnamed.items():
            self._notes.add(
                f'{task} has id {number}, which nothing says the class of; it is not looked at',
                f"{pixels} pixels, {where}; --classes FILE says what it is, or '{IGNORE}'",
            )

    def _classes(self, task: Task, there: list[str], given: ClassMap) -> ClassMap | None:
        """Return what the ids of the bag mean; None if they are those of the model."""
        if task.name in given.names:
            return given
        if not there:
            self._notes.add(
                f'class ids of {task.name} are taken as those of the model',
                f'the bag has no names of classes, the model has {", ".join(task.classes)}; '
                '--classes FILE says what the ids of the bag mean',
            )
            return None
        unknown = [name for name in there if name not in task.classes]
        if unknown:
            self._notes.add(
                f'classes of {task.name} that the model does not know are not looked at',
                f'{", ".join(unknown)}; --classes FILE says which of the model they are',
            )
        known = {i: IGNORE if name in unknown else name for i, name in enumerate(there)}
        return ClassMap({task.name: known})

    def _depth_camera(self, reader: AnyReader, missing: list[str]) -> dict[str, Source]:
        """Return what the depth camera says of the tasks that have no topic of their own."""
        topic = find_depth(reader, self.camera) if {'depth', 'normals'} & set(missing) else None
        if topic is None or not self._registered(reader, topic):
            return {}
        found = {}
        decode = _Remembering(lambda message: label(message, TASKS['depth']))
        if 'depth' in missing:
            found['depth'] = Source(topic, f'{topic} (depth camera)', decode)
        if 'normals' in missing:
            matrix = _calibration(reader, topic)
            if matrix is None:
                why = f'no camera_info beside {topic} has a matrix'
                self._notes.add('no normals from the depth camera', why)
            else:
                found['normals'] = Source(
                    topic, f'from {topic}', lambda message: _normals(decode(message), *matrix)
                )
        return found

    def _registered(self, reader: AnyReader, depth: str) -> bool:
        """Return whether a depth camera says that it sees what the camera sees."""
        ids = []
        for topic in (self.camera, depth):
            connection = next(c for c in reader.connections if c.topic == topic)
            message = next(readable(reader, connection), None)
            ids.append(message.header.frame_id if message else '')
        if ids[0] != ids[1]:
            self._notes.add(
                'depth camera is not used',
                f"{depth} has frame_id '{ids[1]}', {self.camera} '{ids[0]}'; if it is aligned, "
                f'name it: --truth depth={depth}',
            )
        return ids[0] == ids[1]


def _calibration(
    reader: AnyReader, topic: str
) -> tuple[NDArray[np.float64], tuple[int, int]] | None:
    """Return the camera matrix of an image topic and the height and width it is for."""
    info = find_info(reader, topic)
    for connection in (
        c for c in reader.connections if (c.topic, c.msgtype) == (info, CAMERA_INFO)
    ):
        for message in readable(reader, connection):
            matrix = np.array(message.k, np.float64).reshape(3, 3)
            if matrix[0, 0] > 0 and message.height and message.width:
                return matrix, (message.height, message.width)
    return None


class _Remembering:
    """Decodes a message that several tasks ask for once."""

    def __init__(self, decode: Callable[[Any], NDArray[np.generic]]) -> None:
        self._decode = decode
        self._last: tuple[Any, NDArray[np.generic]] | None = None

    def __call__(self, message: Any) -> NDArray[np.generic]:  # noqa: ANN401
        if self._last is None or self._last[0] is not message:
            self._last = message, self._decode(message)
        return self._last[1]


def _normals(
    depth: NDArray[np.generic], matrix: NDArray[np.float64], size: tuple[int, int]
) -> NDArray[np.float32]:
    scale = np.array([depth.shape[1] / size[1], depth.shape[0] / size[0], 1.0])
    return normals_from_depth(depth, scale[:, None] * matrix)
