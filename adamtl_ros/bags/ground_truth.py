# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Where a bag says what is true: topics of ground truth, or a depth camera beside the colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from adamtl_ros.bags.depth_normals import normals_from_depth
from adamtl_ros.bags.images import decode_label
from adamtl_ros.bags.reader import (
    CAMERA_INFO,
    COMPRESSED,
    RAW,
    BagError,
    StampIndex,
    find_camera,
    find_info,
    path_in_common,
    readable,
)
from adamtl_ros.bags.writer import LABEL_INFO
from adamtl_ros.sample import DataError
from adamtl_ros.tasks import TASKS, UNLABELLED, Kind, select

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from rosbags.highlevel import AnyReader
    from rosbags.interfaces import Connection

    from adamtl_ros.bags.reader import IssueLog
    from adamtl_ros.tasks import Task

IGNORE = 'ignore'
"""Stands for a class that the model does not know: where it is, results are not looked at."""


class ClassMap:
    """For each label task, the class of the model by class id of the recording."""

    def __init__(self, names: Mapping[str, Mapping[int, str]] | None = None) -> None:
        """Take names.

        Args:
            names: By task and id; `ignore`, or an id that is not there, is looked over.

        Raises:
            ValueError: A task without classes, or an id outside 0..254.

        """
        self.names = {task: dict(by_id) for task, by_id in (names or {}).items()}
        labels = [task.name for task in TASKS.values() if task.kind is Kind.LABELS]
        for task, by_id in self.names.items():
            if task not in labels:
                raise ValueError(f"class map for '{task}', choose from: {', '.join(labels)}")
            wrong = [i for i in by_id if type(i) is not int or not 0 <= i < UNLABELLED]
            if wrong:
                raise ValueError(f"class map for '{task}': id {wrong[0]!r} is not in 0..254")

    @classmethod
    def read(cls, path: Path) -> ClassMap:
        """Read a YAML file: under the name of each task, `id: class of the model`.

        Raises:
            ValueError: Not such a file.
            OSError: It cannot be read.

        """
        try:
            names = yaml.safe_load(path.read_text())
        except yaml.YAMLError as error:
            raise ValueError(f'{path} is not YAML: {error}') from error
        if not isinstance(names, dict) or not all(isinstance(v, dict) for v in names.values()):
            raise ValueError(f"{path}: expected 'semseg:' and below it lines such as '3: floor'")
        try:
            return cls(names)
        except ValueError as error:
            raise ValueError(f'{path}: {error}') from error

    def check(self, tasks: Mapping[str, Task]) -> None:
        """Refuse what a model does not have.

        Args:
            tasks: All that the model can do, with its classes.

        Raises:
            ValueError: A task or a class that the model does not know.

        """
        for name in self.names:
            if name not in tasks:
                labels = [one.name for one in tasks.values() if one.kind is Kind.LABELS]
                raise ValueError(
                    f"class map for '{name}', which the model does not do; choose from: "
                    f'{", ".join(labels) or "none"}'
                )
            self.table(name, tasks[name].classes)

    def unnamed(self, task: str, ids: NDArray[np.uint8]) -> dict[int, int]:
        """Return how many pixels have an id that is not in the map, by id; 255 is no class."""
        counts = np.bincount(ids.ravel(), minlength=256)
        known = {*self.names[task], UNLABELLED}
        return {int(i): int(counts[i]) for i in np.flatnonzero(counts) if int(i) not in known}

    def table(self, task: str, classes: Sequence[str]) -> NDArray[np.uint8]:
        """Return the model's class id by id of the recording, (256,), 255 where there is none.

        Args:
            task: Name of the task.
            classes: Class names of the model by id.

        Raises:
            ValueError: A class that the model does not know.

        """
        table = np.full(256, UNLABELLED, np.uint8)
        for number, name in self.names[task].items():
            if name == IGNORE:
                continue
            if name not in classes:
                raise ValueError(
                    f"class map: {task} {number} is '{name}', which the model does not know; "
                    f'choose from: {", ".join(classes)}, {IGNORE}'
                )
            table[number] = list(classes).index(name)
        return table


TRUTH_TOPICS = {task: f'/ground_truth/{task}/image' for task in TASKS}
"""Topic of the ground truth by task, where nothing else is said."""


def find_truth(path: Path, kinds: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Return the topic of the ground truth by task, in table order; empty if there is none.

    Args:
        path: The bag, for errors.
        kinds: Message type by topic.
        given: Topics by task that somebody named; the others are looked for at `TRUTH_TOPICS`.

    Raises:
        ValueError: A task that does not exist.
        DataError: A named topic that has no images.

    """
    select(given)
    found = {}
    for task in TASKS:
        topic = given.get(task, TRUTH_TOPICS[task])
        if kinds.get(topic) in (RAW, COMPRESSED):
            found[task] = topic
        elif task in given:
            raise DataError(f'{path}: no images on {topic} for {task}; it holds: {listing(kinds)}')
    return found


def listing(kinds: Mapping[str, str]) -> str:
    """Return topics and types for people."""
    return ', '.join(f'{topic} ({kind})' for topic, kind in sorted(kinds.items())) or 'nothing'


def choose_camera(path: Path, wanted: str, truth: set[str]) -> str:
    """Return the topic of the camera, which no topic of the truth is unless it is named.

    Raises:
        BagError: There is none.

    """
    camera = find_camera(path, wanted)
    # Labels are grey images, too.
    topics = [topic for topic in (camera.image, *camera.others) if wanted or topic not in truth]
    if not topics:
        raise BagError(f'{path}: no camera images besides the ground truth on {sorted(truth)}')
    return topics[0]


def find_depth(reader: AnyReader, camera: str) -> str | None:
    """Return the topic of the depth camera that stands nearest to a colour camera, if any."""
    images = [c for c in reader.connections if c.msgtype in (RAW, COMPRESSED) and c.msgcount]
    found = [c.topic for c in images if c.topic != camera and _is_depth(reader, c)]
    return max(found, key=lambda topic: (path_in_common(topic, camera), topic), default=None)


def _is_depth(reader: AnyReader, connection: Connection) -> bool:
    message = next(readable(reader, connection), None)
    if message is None:
        return False
    if connection.msgtype == RAW:
        return message.encoding in ('16UC1', '32FC1')  # mono16 may be anything
    return '16UC1' in message.format and 'quantized' not in message.format


def class_names(reader: AnyReader, topic: str) -> list[str]:
    """Return the class names that stand beside a topic of labels; none if there are none."""
    beside = topic.removesuffix('/compressed').rpartition('/')[0] + '/label_info'
    wanted = [c for c in reader.connections if (c.topic, c.msgtype) == (beside, LABEL_INFO)]
    # Old SQLite3 bags do not define their types, and this one is not among the usual ones.
    if not wanted or LABEL_INFO not in reader.typestore.types:
        return []
    names: dict[int, str] = {}
    for message in (one for connection in wanted for one in readable(reader, connection)):
        names = {entry.class_id: entry.class_name for entry in message.class_map}
    count = max((i for i in names if i < UNLABELLED), default=-1) + 1
    return [names.get(i, f'class {i}') for i in range(count)]


@dataclass(frozen=True)
class TruthConfig:
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
class TruthTopic:
    """Ground truth of one task.

    Attributes:
        topic: Whose messages say it.
        origin: The same in words.
        decode: Makes a label of such a message, in the form of `Sample`.

    """

    topic: str
    origin: str
    decode: Callable[[Any], NDArray[np.generic]]


class GroundTruth:
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
        wanted: TruthConfig,
        notes: IssueLog,
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
        self._messages = StampIndex(reader, {source.topic for source in self.sources.values()})
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

    def _labels(self, reader: AnyReader, topic: str, task: Task, given: ClassMap) -> TruthTopic:
        classes = None
        if task.kind is Kind.LABELS:
            classes = self._classes(task, class_names(reader, topic), given)
        if classes is None:
            return TruthTopic(topic, topic, lambda message: decode_label(message, task))
        table = classes.table(task.name, task.classes)
        # Read as they are, since they are not yet ids of the model.
        plain = task.with_classes([f'class {i}' for i in range(UNLABELLED)])

        def decode(message: Any) -> NDArray[np.uint8]:  # noqa: ANN401
            ids = decode_label(message, plain)
            stamp = message.header.stamp
            where = f'{topic} at {stamp.sec * 10**9 + stamp.nanosec} ns'
            self._note_unnamed(task.name, classes.unnamed(task.name, ids), where)
            return table[ids]

        return TruthTopic(topic, topic, decode)

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

    def _depth_camera(self, reader: AnyReader, missing: list[str]) -> dict[str, TruthTopic]:
        """Return what the depth camera says of the tasks that have no topic of their own."""
        topic = find_depth(reader, self.camera) if {'depth', 'normals'} & set(missing) else None
        if topic is None or not self._registered(reader, topic):
            return {}
        found = {}
        decode = _Remembering(lambda message: decode_label(message, TASKS['depth']))
        if 'depth' in missing:
            found['depth'] = TruthTopic(topic, f'{topic} (depth camera)', decode)
        if 'normals' in missing:
            matrix = _calibration(reader, topic)
            if matrix is None:
                why = f'no camera_info beside {topic} has a matrix'
                self._notes.add('no normals from the depth camera', why)
            else:
                found['normals'] = TruthTopic(
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
