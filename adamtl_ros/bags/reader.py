# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Bags as recorded: their camera topics, messages by header stamp, and issues found."""

from __future__ import annotations

import itertools
import struct
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.rosbag2 import ReaderError
from rosbags.typesys import Stores, get_typestore

from adamtl_ros.bags.images import decode_image, decode_stored
from adamtl_ros.files import file_problem
from adamtl_ros.text import LINE_LIMIT, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, KeysView
    from pathlib import Path

    from numpy.typing import NDArray
    from rosbags.interfaces import Connection
    from rosbags.typesys.store import Typestore

RAW = 'sensor_msgs/msg/Image'
COMPRESSED = 'sensor_msgs/msg/CompressedImage'
CAMERA_INFO = 'sensor_msgs/msg/CameraInfo'
LIST_LIMIT = 2000
"""Largest number of characters of a list of topics."""
TRIES = 5
"""Number of messages of a topic to look at: the first ones of a recording may be damaged."""


class BagError(ValueError):
    """Bag that cannot be read, or has no camera."""


@dataclass(frozen=True)
class CameraTopics:
    """Topics of a camera in a bag.

    Attributes:
        image: Topic of the images.
        compressed: Whether the images are `CompressedImage`.
        info: Topic of the calibration; None if there is none.
        frames: Number of images.
        duration_s: Duration of the bag [s].
        others: Other topics with camera images.

    """

    image: str
    compressed: bool
    info: str | None
    frames: int
    duration_s: float
    others: tuple[str, ...] = ()


def typestore() -> Typestore:
    """Return the message types for bags that do not define their own."""
    return get_typestore(Stores.ROS2_JAZZY)


@contextmanager
def open_bag(path: Path) -> Iterator[AnyReader]:
    """Open a ROS 2 bag, MCAP or SQLite3, for the length of a `with` block.

    Raises:
        BagError: Not a whole ROS 2 bag.

    """
    if not path.exists():
        raise BagError(f'{path}: no such file or folder')
    _check_kinds(path)
    inside = sorted(metadata.parent.name for metadata in path.glob('*/metadata.yaml'))
    if inside:
        raise BagError(f'{path} is no bag, but holds some: {", ".join(inside)}')
    files = _files(path)
    try:
        reader = AnyReader(files, default_typestore=typestore())
        reader.open()
    except Exception as error:  # whatever a parser meets in damaged bytes
        usual = isinstance(error, (AnyReaderError, ReaderError, OSError))
        reason = one_line(error if usual else f'{type(error).__name__}: {error}')
        raise BagError(
            f'{path} is not a ROS 2 bag that can be read: {reason} (recordings that were cut off '
            "may be saved: 'mcap recover' or 'sqlite3 FILE .recover', then 'ros2 bag reindex')"
        ) from error
    try:
        if not reader.is2:
            raise BagError(f'{path} is a ROS 1 bag; convert it with rosbags-convert')
        yield reader
    finally:
        reader.close()


def find_camera(path: Path, topic: str = '') -> CameraTopics:
    """Find the camera of a bag.

    Args:
        path: Folder of the bag, or a single .mcap file.
        topic: Name of the image topic; by default a color camera, else a gray one, and of
            several the one with the most images.

    Raises:
        BagError: The bag cannot be read, or holds no such topic.

    """
    with open_bag(path) as reader:
        images = [c for c in reader.connections if c.msgtype in (RAW, COMPRESSED) and c.msgcount]
        if topic:
            images = [c for c in images if c.topic == topic]
        ranked = sorted(images, key=lambda c: (-_channels(reader, c), -c.msgcount, c.topic))
        if not ranked or not _channels(reader, ranked[0]):
            held = sorted({f'{c.topic} ({c.msgtype})' for c in reader.connections})
            found = one_line(', '.join(held), LIST_LIMIT)
            missing = f'no images on {topic}' if topic else 'no camera images'
            raise BagError(f'{path}: {missing}; it holds: {found or "nothing"}')
        best = ranked[0]
        return CameraTopics(
            image=best.topic,
            compressed=best.msgtype == COMPRESSED,
            info=find_info(reader, best.topic),
            frames=best.msgcount,
            duration_s=reader.duration / 1e9,
            others=tuple(c.topic for c in ranked[1:] if _channels(reader, c)),
        )


def bag_name(path: Path) -> str:
    """Return the name of a bag: of its folder, or of its file without .mcap."""
    whole = path.resolve()
    return whole.stem if whole.is_file() else whole.name


def header_stamp(raw: bytes | memoryview) -> int:
    """Return the stamp [ns] of a serialized message that begins with a header."""
    # CDR: four bytes of encapsulation, the second of which is the byte order; then the stamp.
    seconds, nanoseconds = struct.unpack_from('<iI' if raw[1] & 1 else '>iI', raw, 4)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)


def read_valid(reader: AnyReader, connection: Connection) -> Iterator[Any]:
    """Yield the messages of a topic, without damaged ones."""
    try:
        for _, _, raw in reader.messages([connection]):
            try:
                message: Any = reader.deserialize(raw, connection.msgtype)
            except Exception:  # noqa: BLE001, S112  whatever a parser meets in damaged bytes
                continue
            yield message
    except Exception:  # noqa: BLE001  as above; there is nothing behind it
        return


def read_images(path: Path, camera: CameraTopics) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield the header stamp [ns] and the pixels, (H, W, 3) RGB, of each image of a camera."""
    with open_bag(path) as reader:
        connections = [c for c in reader.connections if c.topic == camera.image]
        for connection, _, raw in reader.messages(connections):
            yield header_stamp(raw), decode_image(reader.deserialize(raw, connection.msgtype))


def find_info(reader: AnyReader, image: str) -> str | None:
    """Return the calibration topic that shares the longest path with the image topic.

    One that shares nothing belongs to another camera, unless it stands at the root.
    """
    topics = [c.topic for c in reader.connections if c.msgtype == CAMERA_INFO and c.msgcount]
    close = [topic for topic in topics if common_prefix(topic, image) > 1 or topic.count('/') == 1]
    return max(close, key=lambda topic: (common_prefix(topic, image), topic), default=None)


def first_calibration(reader: AnyReader, topic: str | None) -> Any | None:
    """Return the first calibration of a topic whose K is not zero; None if none is.

    Only some messages are looked at: the others are spread over the whole bag.
    """
    connections = [c for c in reader.connections if (c.topic, c.msgtype) == (topic, CAMERA_INFO)]
    messages = (one for connection in connections for one in read_valid(reader, connection))
    return next((one for one in itertools.islice(messages, TRIES) if one.k[0]), None)


def common_prefix(one: str, other: str) -> int:
    """Return the number of equal leading parts of two topics, the empty first one included."""
    pairs = zip(one.split('/'), other.split('/'), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _check_kinds(path: Path) -> None:
    """Refuse pipes and devices, which may be read for ever."""
    for file in path.iterdir() if path.is_dir() else [path]:
        problem = '' if file.is_dir() else file_problem(file)
        if problem:
            raise BagError(f'{path} cannot be read: {one_line(file.name)}: {problem}')


def _files(path: Path) -> list[Path]:
    """Return the files to open; bag files can be read without metadata.yaml."""
    if path.is_file() or (path / 'metadata.yaml').exists():
        return [path]
    inside = sorted([*path.glob('*.mcap'), *path.glob('*.db3')])
    if not inside:
        raise BagError(f'{path} is no bag: it holds no .mcap or .db3 file')
    return inside


def _channels(reader: AnyReader, connection: Connection) -> int:
    """Return 3 for a color camera, 1 for a gray one, 0 for depth and the like."""
    for message in itertools.islice(read_valid(reader, connection), TRIES):
        if connection.msgtype == RAW:
            return _channels_of(message.encoding)
        image = decode_stored(message)
        if image is not None:
            return (3 if image.ndim == 3 else 1) if image.dtype == np.uint8 else 0
    return 0


def _channels_of(encoding: str) -> int:
    if encoding in ('mono8', 'mono16'):
        return 1
    return 3 if encoding.startswith(('rgb', 'bgr', 'yuv', 'uyvy', 'bayer')) else 0


class IssueLog:
    """Log of issues of a recording: count and first example by kind."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, str]] = {}

    def add(self, kind: str, example: str) -> None:
        """Count an issue.

        Args:
            kind: Description, the same text each time.
            example: Where it happened, and what to do about it.

        """
        short = example if len(example) <= LINE_LIMIT else one_line(example)
        count, first = self._found.get(kind, (0, short))
        self._found[kind] = (count + 1, first)

    def count(self, kind: str) -> int:
        """Return how often an issue was added."""
        return self._found.get(kind, (0, ''))[0]

    def __iter__(self) -> Iterator[str]:
        """Yield a line of text for each kind."""
        for kind, (count, first) in self._found.items():
            line = f'{kind} ({count}x): {first}' if count > 1 else f'{kind}: {first}'
            yield one_line(line, 2 * LINE_LIMIT)

    def __len__(self) -> int:
        return len(self._found)

    def to_list(self) -> list[dict[str, Any]]:
        """Return the issues as JSON values."""
        return [
            {'what': kind, 'count': count, 'example': first}
            for kind, (count, first) in self._found.items()
        ]


class StampIndex:
    """Index of messages by topic and header stamp; of messages with the same stamp, the first.

    Building it reads the topics once. A message is then read from its place, together with the
    messages of the other topics that have its stamp; those of the last stamp stay in memory.

    Attributes:
        damage: What could not be read, or stopped the reading before the end of the bag; empty
            if nothing did.
        repeated: Topic and stamp of messages that had the stamp of an earlier one.

    """

    def __init__(self, reader: AnyReader, topics: Iterable[str]) -> None:
        """Read the stamps of all messages of some topics."""
        self._times: dict[str, dict[int, int]] = {topic: {} for topic in topics}
        self.damage = ''
        self.repeated: list[tuple[str, int]] = []
        self._clear_cache()
        connections = [c for c in reader.connections if c.topic in self._times]
        try:
            for connection, time, raw in reader.messages(connections) if connections else ():
                self._add(connection.topic, time, raw)
        except Exception as error:  # noqa: BLE001  whatever a parser meets in damaged bytes
            self.damage = one_line(f'{type(error).__name__}: {error}')

    def _add(self, topic: str, time: int, raw: bytes) -> None:
        try:
            stamp = header_stamp(raw)
            if stamp in self._times[topic]:
                self.repeated.append((topic, stamp))
            self._times[topic].setdefault(stamp, time)
        except (struct.error, IndexError) as error:
            self.damage = self.damage or f'{topic}, recorded at {time} ns: {error}'

    def _clear_cache(self) -> None:
        self._stamp: int | None = None
        self._raw: dict[str, tuple[bytes, str]] = {}
        self._messages: dict[str, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        # The types of the messages are made for each bag, and cannot be pickled.
        return {**self.__dict__, '_stamp': None, '_raw': {}, '_messages': {}}

    def time(self, topic: str, stamp: int) -> int | None:
        """Return when a message was recorded [ns]; None if there is none."""
        return self._times[topic].get(stamp)

    def stamps(self, topic: str) -> KeysView[int]:
        """Return the header stamps of a topic in the order of recording [ns]."""
        return self._times[topic].keys()

    def read(self, reader: AnyReader, topic: str, stamp: int) -> Any | None:
        """Return a message of the bag, the same object if asked for it again; None if none.

        Raises:
            BagError: The message is no longer in the bag.

        """
        if self.time(topic, stamp) is None:
            return None
        if self._stamp != stamp:
            self._clear_cache()
            self._raw = self._find(reader, stamp)
            self._stamp = stamp
        if topic not in self._raw:
            raise BagError('the bag is not as it was when it was opened; open it again')
        if topic not in self._messages:
            self._messages[topic] = reader.deserialize(*self._raw[topic])
        return self._messages[topic]

    def _find(self, reader: AnyReader, stamp: int) -> dict[str, tuple[bytes, str]]:
        """Return the serialized messages with a stamp, and their types, by topic."""
        times = {topic: at[stamp] for topic, at in self._times.items() if stamp in at}
        found: dict[str, tuple[bytes, str]] = {}
        for time in sorted(set(times.values())):
            connections = [c for c in reader.connections if times.get(c.topic) == time]
            for connection, _, raw in reader.messages(connections, time, time + 1):
                if connection.topic not in found and _has_stamp(raw, stamp):
                    found[connection.topic] = raw, connection.msgtype
        return found


def _has_stamp(raw: bytes, stamp: int) -> bool:
    try:
        return header_stamp(raw) == stamp
    except (struct.error, IndexError):
        return False
