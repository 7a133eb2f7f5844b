# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Ground truth of a bag: label topics, or a depth camera beside the color camera.

One reader for training (`data.LabelledBag`) and evaluation (`evaluation.bags.Recording`). Labels
belong to the image with exactly the same header stamp.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from adamtl_ros.bags.depth_normals import normals_from_depth
from adamtl_ros.bags.images import decode_depth, decode_label, read_label
from adamtl_ros.bags.reader import (
    CAMERA_INFO,
    COMPRESSED,
    RAW,
    BagError,
    StampIndex,
    common_prefix,
    find_camera,
    find_info,
    read_valid,
)
from adamtl_ros.bags.writer import LABEL_INFO
from adamtl_ros.config import read_yaml
from adamtl_ros.labels import MAX_DEPTH_M, NO_DEPTH
from adamtl_ros.sample import DataError
from adamtl_ros.tasks import TASKS, UNLABELLED, Kind, select
from adamtl_ros.text import quote

if TYPE_CHECKING:
    from collections.abc import Callable, KeysView, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from rosbags.highlevel import AnyReader
    from rosbags.interfaces import Connection

    from adamtl_ros.bags.reader import IssueLog
    from adamtl_ros.tasks import Task

IGNORE = 'ignore'
"""Class name for ids whose pixels are left unlabelled."""
LABEL_TASKS = tuple(task.name for task in TASKS.values() if task.kind is Kind.LABELS)


class ClassMap:
    """Class names of the model by class id of a bag, for each label task."""

    def __init__(self, names: Mapping[str, Mapping[int, str]] | None = None) -> None:
        """Copy the names.

        Args:
            names: Class names by task and id; ids named `ignore` and ids that are missing are
                unlabelled.

        Raises:
            ValueError: A task without classes, or an id outside 0..254.

        """
        self.names = {task: dict(by_id) for task, by_id in (names or {}).items()}
        for task, by_id in self.names.items():
            if task not in LABEL_TASKS:
                known = ', '.join(LABEL_TASKS)
                raise ValueError(f'class map for {quote(task)}, choose from: {known}')
            wrong = [i for i in by_id if type(i) is not int or not 0 <= i < UNLABELLED]
            if wrong:
                raise ValueError(f"class map for '{task}': id {quote(wrong[0])} is not in 0..254")
            unnamed = [one for one in by_id.values() if not isinstance(one, str)]
            if unnamed:
                raise ValueError(f"class map for '{task}': {quote(unnamed[0])} is no class name")

    @classmethod
    def read(cls, path: Path) -> ClassMap:
        """Read a YAML file with `id: class of the model` under the name of each task.

        Raises:
            ValueError: Another content.
            OSError: The file cannot be read.

        """
        names = _read_tasks(path)
        if not all(isinstance(by_id, dict) for by_id in names.values()):
            raise ValueError(f'{path}: {EXPECTED}')
        return _checked(path, names)

    def check(self, tasks: Mapping[str, Task]) -> None:
        """Check that a model knows all tasks and classes of this map.

        Args:
            tasks: All tasks of the model, with its classes.

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

    def count_unmapped(self, task: str, ids: NDArray[np.uint8]) -> dict[int, int]:
        """Return the number of pixels by id, for ids that are not in the map; 255 is no class."""
        counts = np.bincount(ids.ravel(), minlength=256)
        mapped = {*self.names[task], UNLABELLED}
        return {int(i): int(counts[i]) for i in np.flatnonzero(counts) if int(i) not in mapped}

    def table(self, task: str, classes: Sequence[str]) -> NDArray[np.uint8]:
        """Return the class id of the model by class id of the bag, (256,), 255 for none.

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
                    f'class map: {task} {number} is {quote(name)}, which the model does not know; '
                    f'choose from: {", ".join(classes)}, {IGNORE}'
                )
            table[number] = list(classes).index(name)
        return table


EXPECTED = "expected 'semseg:' and below it lines such as '3: floor'"


def read_classes(path: Path) -> dict[str, list[str] | dict[int, str]]:
    """Read a YAML file of classes by label task.

    Under the name of a task stand either the class names of the bag in the order of their ids
    (`- floor`), or the same id map as in `ClassMap.read` (`3: floor`).

    Raises:
        ValueError: Another content.
        OSError: The file cannot be read.

    """
    classes = _read_tasks(path)
    if not all(isinstance(one, (dict, list)) for one in classes.values()):
        raise ValueError(f"{path}: {EXPECTED}, or '- floor' for the class names by id")
    _checked(path, {task: one for task, one in classes.items() if isinstance(one, dict)})
    return classes


def _read_tasks(path: Path) -> dict[str, Any]:
    classes = read_yaml(path)
    if not isinstance(classes, dict):
        raise ValueError(f'{path}: {EXPECTED}')  # noqa: TRY004  of the file, not of an argument
    return classes


def _checked(path: Path, names: Mapping[str, Mapping[int, str]]) -> ClassMap:
    try:
        return ClassMap(names)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error


TRUTH_TOPICS = {task: f'/ground_truth/{task}/image' for task in TASKS}
"""Default topic of the ground truth by task."""


def find_truth_topics(
    path: Path, types: Mapping[str, str], given: Mapping[str, str]
) -> dict[str, str]:
    """Return the topic of the ground truth by task, in table order; empty if there is none.

    Args:
        path: Path of the bag, for errors.
        types: Message type by topic.
        given: Topics by task named by the user; other tasks use `TRUTH_TOPICS`.

    Raises:
        ValueError: A task that does not exist.
        DataError: A named topic that has no images.

    """
    select(given)
    found = {}
    for task in TASKS:
        topic = given.get(task, TRUTH_TOPICS[task])
        if types.get(topic) in (RAW, COMPRESSED):
            found[task] = topic
        elif task in given:
            raise DataError(f'{path}: no images on {topic} for {task}; it holds: {describe(types)}')
    return found


def describe(types: Mapping[str, str]) -> str:
    """Return topics and message types as human-readable text."""
    return ', '.join(f'{topic} ({kind})' for topic, kind in sorted(types.items())) or 'nothing'


def choose_camera(path: Path, topic: str, truth: set[str]) -> str:
    """Return the topic of the camera; topics of ground truth only if named.

    Raises:
        BagError: There is none.

    """
    camera = find_camera(path, topic)
    # Labels are gray images, too.
    topics = [found for found in (camera.image, *camera.others) if topic or found not in truth]
    if not topics:
        raise BagError(f'{path}: no camera images besides the ground truth on {sorted(truth)}')
    return topics[0]


def find_depth_camera(reader: AnyReader, camera: str) -> str | None:
    """Return the depth image topic with the longest path in common with a color camera, if any."""
    images = [c for c in reader.connections if c.msgtype in (RAW, COMPRESSED) and c.msgcount]
    found = [c.topic for c in images if c.topic != camera and _is_depth(reader, c)]
    return max(found, key=lambda topic: (common_prefix(topic, camera), topic), default=None)


def _is_depth(reader: AnyReader, connection: Connection) -> bool:
    message = next(read_valid(reader, connection), None)
    if message is None:
        return False
    if connection.msgtype == RAW:
        return message.encoding in ('16UC1', '32FC1')  # mono16 may be anything
    return '16UC1' in message.format and 'quantized' not in message.format


def read_label_info(reader: AnyReader, topic: str) -> list[str]:
    """Return the class names in the `label_info` topic beside a label topic; empty if none."""
    beside = topic.removesuffix('/compressed').rpartition('/')[0] + '/label_info'
    connections = [c for c in reader.connections if (c.topic, c.msgtype) == (beside, LABEL_INFO)]
    # Old SQLite3 bags do not define their types, and this one is not among the usual ones.
    if not connections or LABEL_INFO not in reader.typestore.types:
        return []
    names: dict[int, str] = {}
    for message in (one for connection in connections for one in read_valid(reader, connection)):
        names = {entry.class_id: entry.class_name for entry in message.class_map}
    count = max((i for i in names if i < UNLABELLED), default=-1) + 1
    return [names.get(i, f'class {i}') for i in range(count)]


@dataclass(frozen=True)
class TruthConfig:
    """Topics of the ground truth of a bag, and the meaning of its class ids.

    Attributes:
        camera: Topic of the images; '' for the one that `find_camera` finds.
        truth: Topics of ground truth by task, besides `TRUTH_TOPICS`.
        classes: Class names of the model by class id of the bag.
        names: Class names of the bag by label task, instead of those in its `label_info`.
        depth_camera: Whether a registered depth camera may serve for depth and normals.
        max_depth: Greatest depth that is believed [m]; pixels beyond it are unknown.

    """

    camera: str
    truth: Mapping[str, str]
    classes: ClassMap
    names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    depth_camera: bool = True
    max_depth: float = MAX_DEPTH_M

    def __post_init__(self) -> None:
        """Check the greatest depth.

        Raises:
            ValueError: It is not a positive, finite number.

        """
        check_max_depth(self.max_depth)


def check_max_depth(meters: float) -> None:
    """Check a greatest depth [m].

    Raises:
        ValueError: It is not a positive, finite number.

    """
    if not 0 < meters < float('inf'):
        raise ValueError(f'the greatest depth must be a number of meters above 0, got {meters}')


@dataclass(frozen=True)
class TruthSource:
    """Ground truth of one task.

    Attributes:
        topic: Topic of its messages.
        origin: The same as human-readable text.
        decode: Function from a message to a label in the form of `Sample`.
        depth_camera: Whether it was found as a depth camera, not named as ground truth.

    """

    topic: str
    origin: str
    decode: Callable[[Any], NDArray[np.generic]]
    depth_camera: bool = False


class GroundTruth:
    """Ground truth of the frames of a bag, by exact header stamp.

    Named topics go first, then `/ground_truth/<task>/image`, then a depth camera that is
    registered with the camera: its image for depth, and the normals of its surfaces if it is
    calibrated.

    Attributes:
        camera: Topic of the camera.
        sources: Source of the ground truth by task, in table order.
        tasks: Tasks that have a source, with the classes of their labels.
        index: Stamps of all topics of ground truth, and of the camera if requested.

    """

    def __init__(
        self,
        path: Path,
        reader: AnyReader,
        tasks: Mapping[str, Task | None],
        config: TruthConfig,
        issues: IssueLog,
        *,
        index_camera: bool = False,
    ) -> None:
        """Find the topics, and the stamps and times of their messages.

        Args:
            path: Path of the bag.
            reader: The same bag, opened.
            tasks: Tasks to find, with the classes of the model; None for those of the bag.
            config: Topics and classes named by the user.
            issues: Log for problems that do not stop the reading.
            index_camera: Whether to index the images of the camera, too.

        Raises:
            BagError: The bag has no camera.
            DataError: A named topic that is not there.
            ValueError: A class map for a class that the model does not know.

        """
        self._issues, self._max_depth = issues, config.max_depth
        types = {c.topic: c.msgtype for c in reader.connections if c.msgcount}
        topics = find_truth_topics(path, types, config.truth)
        self.camera = choose_camera(path, config.camera, set(topics.values()))
        self.tasks: dict[str, Task] = {}
        found = {
            name: self._label_source(reader, name, topic, tasks[name], config)
            for name, topic in topics.items()
            if name in tasks
        }
        missing = [name for name in tasks if name not in found]
        if config.depth_camera:
            found |= self._depth_camera_sources(reader, missing)
        self.sources = {name: found[name] for name in TASKS if name in found}
        self.tasks = {name: self.tasks.get(name, TASKS[name]) for name in self.sources}
        self._build_index(reader, index_camera=index_camera)

    def read(self, reader: AnyReader, task: str, stamp: int) -> NDArray[np.generic] | None:
        """Return the label of a frame; None if the bag has none.

        Args:
            reader: The bag, opened.
            task: Name of a task of `sources`.
            stamp: Header stamp of the frame [ns].

        Raises:
            ValueError: A message that cannot be used.

        """
        source = self.sources[task]
        message = self.index.read(reader, source.topic, stamp)
        return None if message is None else source.decode(message)

    def stamps(self, task: str) -> KeysView[int]:
        """Return the header stamps that have ground truth [ns]."""
        return self.index.stamps(self.sources[task].topic)

    def _build_index(self, reader: AnyReader, *, index_camera: bool) -> None:
        topics = {source.topic for source in self.sources.values()}
        self.index = StampIndex(reader, topics | {self.camera} if index_camera else topics)
        if self.index.damage:
            self._issues.add('ground truth is damaged', self.index.damage)
        for topic, stamp in self.index.repeated:
            where = f'{topic} at {stamp} ns'
            self._issues.add('ground truth with a stamp that was there before', where)

    def _label_source(
        self, reader: AnyReader, name: str, topic: str, task: Task | None, config: TruthConfig
    ) -> TruthSource:
        """Return the source of a task, and note the task with its classes."""
        names, classes = list(config.names.get(name, ())), None
        if not names and TASKS[name].kind is Kind.LABELS:
            names = read_label_info(reader, topic)
        if task is None:
            task, classes = _bag_task(TASKS[name], names, config.classes)
        elif task.kind is Kind.LABELS:
            classes = self._model_classes(task, names, config.classes)
        self.tasks[name] = task
        if task.kind is Kind.DEPTH:
            return TruthSource(topic, topic, self._depth_decoder(topic))
        if classes is None:
            return TruthSource(topic, topic, partial(decode_label, task=task))
        return TruthSource(topic, topic, _MappedLabels(topic, task, classes, self._issues))

    def _depth_decoder(self, topic: str) -> _BelievedDepth:
        return _BelievedDepth(topic, self._max_depth, self._issues)

    def _model_classes(self, task: Task, names: list[str], given: ClassMap) -> ClassMap | None:
        """Return the classes of the model by id of the bag; None if the ids are the same."""
        if task.name in given.names:
            return given
        if not names:
            self._issues.add(
                f'class ids of {task.name} are taken as those of the model',
                f'the bag has no names of classes, the model has {", ".join(task.classes)}; '
                '--classes FILE says what the ids of the bag mean',
            )
            return None
        unknown = [name for name in names if name not in task.classes]
        if unknown:
            self._issues.add(
                f'classes of {task.name} that the model does not know are not looked at',
                f'{", ".join(unknown)}; --classes FILE says which of the model they are',
            )
        known = {i: IGNORE if name in unknown else name for i, name in enumerate(names)}
        return ClassMap({task.name: known})

    def _depth_camera_sources(
        self, reader: AnyReader, missing: list[str]
    ) -> dict[str, TruthSource]:
        """Return a depth camera as the source of depth and normals that have no own topic."""
        needed = {'depth', 'normals'} & set(missing)
        topic = find_depth_camera(reader, self.camera) if needed else None
        if topic is None or not self._registered(reader, topic):
            return {}
        found = {}
        decode = _CachedDecoder(self._depth_decoder(topic))
        if 'depth' in missing:
            found['depth'] = TruthSource(topic, f'{topic} (depth camera)', decode, True)
        if 'normals' in missing:
            calibration = _read_calibration(reader, topic)
            if calibration is None:
                reason = f'no camera_info beside {topic} has a matrix'
                self._issues.add('no normals from the depth camera', reason)
            else:
                decoder = _NormalsFromDepth(decode, *calibration)
                found['normals'] = TruthSource(topic, f'from {topic}', decoder, True)
        return found

    def _registered(self, reader: AnyReader, depth: str) -> bool:
        """Return whether the images of a depth camera are in the frame of the camera."""
        ids = []
        for topic in (self.camera, depth):
            connection = next(c for c in reader.connections if c.topic == topic)
            message = next(read_valid(reader, connection), None)
            ids.append(message.header.frame_id if message else '')
        if ids[0] != ids[1]:
            self._issues.add(
                'depth camera is not used',
                f"{depth} has frame_id '{ids[1]}', {self.camera} '{ids[0]}'; if it is aligned, "
                f'name it: --truth depth={depth}',
            )
        return ids[0] == ids[1]


def _bag_task(task: Task, names: list[str], given: ClassMap) -> tuple[Task, ClassMap | None]:
    """Return a task with the classes of the bag, and what maps its ids to them, if necessary."""
    if task.name in given.names:
        classes = dict.fromkeys(given.names[task.name].values())
        return task.with_classes([name for name in classes if name != IGNORE]), given
    return (task.with_classes(names) if names else task), None


def _read_calibration(
    reader: AnyReader, topic: str
) -> tuple[NDArray[np.float64], tuple[int, int]] | None:
    """Return the (3, 3) camera matrix of an image topic and the height and width it is for."""
    info = find_info(reader, topic)
    for connection in (
        c for c in reader.connections if (c.topic, c.msgtype) == (info, CAMERA_INFO)
    ):
        for message in read_valid(reader, connection):
            matrix = np.array(message.k, np.float64).reshape(3, 3)
            if matrix[0, 0] > 0 and message.height and message.width:
                return matrix, (message.height, message.width)
    return None


class _MappedLabels:
    """Decoder of labels whose ids are mapped to the classes of a task."""

    def __init__(self, topic: str, task: Task, classes: ClassMap, issues: IssueLog) -> None:
        self._topic, self._name, self._classes, self._issues = topic, task.name, classes, issues
        self._table = classes.table(task.name, task.classes)
        # Ids of the bag may be any; its class names are not needed here.
        self._any_ids = task.with_classes([f'class {i}' for i in range(UNLABELLED)])

    def __call__(self, message: Any) -> NDArray[np.uint8]:
        ids = decode_label(message, self._any_ids)
        for number, pixels in self._classes.count_unmapped(self._name, ids).items():
            stamp = message.header.stamp
            where = f'{self._topic} at {stamp.sec * 10**9 + stamp.nanosec} ns'
            self._issues.add(
                f'{self._name} has id {number}, which nothing says the class of; '
                'it is not looked at',
                f"{pixels} pixels, {where}; --classes FILE says what it is, or '{IGNORE}'",
            )
        return self._table[ids]


@dataclass(frozen=True)
class _BelievedDepth:
    """Decoder of depth images that leaves out what is no measurement.

    Attributes:
        topic: Topic of the images, for the issues.
        farthest: Greatest depth that is believed [m].
        issues: Log for values that are left out, once for each image.

    """

    topic: str
    farthest: float
    issues: IssueLog

    def __call__(self, message: Any) -> NDArray[np.float32]:
        pixels = read_label(message, TASKS['depth'])
        depth = decode_depth(pixels)
        time = message.header.stamp
        where = f'of {depth.size} pixels at {time.sec * 10**9 + time.nanosec} ns'
        if pixels.dtype == np.uint16 and (count := np.count_nonzero(pixels == NO_DEPTH)):
            what = f'{NO_DEPTH} on {self.topic} is no distance; these pixels are unknown'
            self.issues.add(what, f'{count} {where}')
        beyond = depth > self.farthest
        if beyond.any():
            what = f'depth beyond {self.farthest:g} m on {self.topic} is taken as unknown'
            most = f'up to {depth[beyond].max():.3g} m'
            advice = '--max-depth METERS says how far the sensor can be believed'
            self.issues.add(what, f'{np.count_nonzero(beyond)} {where}, {most}; {advice}')
            depth[beyond] = np.nan
        return depth


class _CachedDecoder:
    """Decoder that keeps the label of its last message, for messages that serve two tasks."""

    def __init__(self, decode: Callable[[Any], NDArray[np.generic]]) -> None:
        self._decode = decode
        self._last: tuple[Any, NDArray[np.generic]] | None = None

    def __call__(self, message: Any) -> NDArray[np.generic]:
        if self._last is None or self._last[0] is not message:
            self._last = message, self._decode(message)
        return self._last[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, '_last': None}


@dataclass(frozen=True)
class _NormalsFromDepth:
    """Decoder of depth images to surface normals.

    Attributes:
        decode: Decoder of the depth.
        matrix: (3, 3) camera matrix.
        size: Height and width that the matrix is for.

    """

    decode: Callable[[Any], NDArray[np.generic]]
    matrix: NDArray[np.float64]
    size: tuple[int, int]

    def __call__(self, message: Any) -> NDArray[np.float32]:
        depth = self.decode(message)
        scale = np.array([depth.shape[1] / self.size[1], depth.shape[0] / self.size[0], 1.0])
        return normals_from_depth(depth, scale[:, None] * self.matrix)
