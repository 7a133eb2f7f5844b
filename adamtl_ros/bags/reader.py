# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What was wrong with a recording: each kind counted, with an example."""

from __future__ import annotations

import itertools
import struct
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.rosbag2 import ReaderError
from rosbags.typesys import Stores, get_typestore

from adamtl_ros.bags.images import decode_image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from rosbags.interfaces import Connection
    from rosbags.typesys.store import Typestore

RAW = 'sensor_msgs/msg/Image'
COMPRESSED = 'sensor_msgs/msg/CompressedImage'
CAMERA_INFO = 'sensor_msgs/msg/CameraInfo'
TRIES = 5
"""So many images of a topic are looked at: the first ones of a recording may be damaged."""


class BagError(ValueError):
    """A bag that cannot be read, or has no camera."""


@dataclass(frozen=True)
class CameraTopics:
    """A camera in a bag.

    Attributes:
        image: Topic of the images.
        compressed: They are `CompressedImage`.
        info: Topic of the calibration; None if there is none.
        frames: Number of images.
        duration_s: Length of the bag.
        others: Image topics that would have done as well.

    """

    image: str
    compressed: bool
    info: str | None
    frames: int
    duration_s: float
    others: tuple[str, ...] = ()


def typestore() -> Typestore:
    """Return the types for bags that do not bring their own definitions."""
    return get_typestore(Stores.ROS2_JAZZY)


@contextmanager
def open_bag(path: Path) -> Iterator[AnyReader]:
    """Open a ROS 2 bag, MCAP or SQLite3, for the length of a `with` block.

    Raises:
        BagError: Not a whole ROS 2 bag.

    """
    if not path.exists():
        raise BagError(f'{path}: no such file or folder')
    inside = sorted(metadata.parent.name for metadata in path.glob('*/metadata.yaml'))
    if inside:
        raise BagError(f'{path} is no bag, but holds some: {", ".join(inside)}')
    files = _files(path)
    try:
        reader = AnyReader(files, default_typestore=typestore())
        reader.open()
    except Exception as error:  # whatever a parser meets in damaged bytes
        usual = isinstance(error, (AnyReaderError, ReaderError, OSError))
        reason = str(error) if usual else f'{type(error).__name__}: {error}'
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
        topic: Name of the image topic; by default colour goes before grey, then the topic
            with the most images.

    Raises:
        BagError: The bag cannot be read, or holds no such topic.

    """
    with open_bag(path) as reader:
        images = [c for c in reader.connections if c.msgtype in (RAW, COMPRESSED) and c.msgcount]
        if topic:
            images = [c for c in images if c.topic == topic]
        ranked = sorted(images, key=lambda c: (-_colours(reader, c), -c.msgcount, c.topic))
        if not ranked or not _colours(reader, ranked[0]):
            found = ', '.join(sorted({f'{c.topic} ({c.msgtype})' for c in reader.connections}))
            wanted = f'no images on {topic}' if topic else 'no camera images'
            raise BagError(f'{path}: {wanted}; it holds: {found or "nothing"}')
        best = ranked[0]
        return CameraTopics(
            image=best.topic,
            compressed=best.msgtype == COMPRESSED,
            info=find_info(reader, best.topic),
            frames=best.msgcount,
            duration_s=reader.duration / 1e9,
            others=tuple(c.topic for c in ranked[1:] if _colours(reader, c)),
        )


def bag_name(path: Path) -> str:
    """Return the name of a bag: of its folder, or of its file without .mcap."""
    whole = path.resolve()
    return whole.stem if whole.is_file() else whole.name


def header_stamp(raw: bytes | memoryview) -> int:
    """Return the stamp [ns] of a serialised message that begins with a header."""
    # CDR: four bytes of encapsulation, the second of which tells the byte order; then the stamp.
    seconds, nanoseconds = struct.unpack_from('<iI' if raw[1] & 1 else '>iI', raw, 4)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)


def read_valid(reader: AnyReader, connection: Connection) -> Iterator[Any]:
    """Yield the messages of a topic; those that are damaged are left out."""
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


def common_prefix(one: str, other: str) -> int:
    """Return how many leading parts of two topics are the same, the empty first one included."""
    pairs = zip(one.split('/'), other.split('/'), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _files(path: Path) -> list[Path]:
    """Return what to open: files say themselves what they hold, and need no metadata."""
    if path.is_file() or (path / 'metadata.yaml').exists():
        return [path]
    inside = sorted([*path.glob('*.mcap'), *path.glob('*.db3')])
    if not inside:
        raise BagError(f'{path} is no bag: it holds no .mcap or .db3 file')
    return inside


def _colours(reader: AnyReader, connection: Connection) -> int:
    """Return 3 for a colour camera, 1 for a grey one, 0 for depth and the like."""
    for message in itertools.islice(read_valid(reader, connection), TRIES):
        if connection.msgtype == RAW:
            return _colours_of(message.encoding)
        flags = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH
        image = cv2.imdecode(message.data, flags) if message.data.size else None
        if image is not None:
            return (3 if image.ndim == 3 else 1) if image.dtype == np.uint8 else 0
    return 0


def _colours_of(encoding: str) -> int:
    if encoding in ('mono8', 'mono16'):
        return 1
    return 3 if encoding.startswith(('rgb', 'bgr', 'yuv', 'uyvy', 'bayer')) else 0


class IssueLog:
    """Messages by kind, how often each came, and what the first one said."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, str]] = {}

    def add(self, kind: str, example: str) -> None:
        """Count a message.

        Args:
            kind: What happened, the same words each time.
            example: Where, and what to do.

        """
        count, first = self._found.get(kind, (0, example))
        self._found[kind] = (count + 1, first)

    def count(self, kind: str) -> int:
        """Return how often a message came."""
        return self._found.get(kind, (0, ''))[0]

    def __iter__(self) -> Iterator[str]:
        """Give a line for each kind."""
        for kind, (count, first) in self._found.items():
            yield f'{kind} ({count}x): {first}' if count > 1 else f'{kind}: {first}'

    def __len__(self) -> int:
        return len(self._found)

    def to_list(self) -> list[dict[str, Any]]:
        """Return what JSON can hold."""
        return [
            {'what': kind, 'count': count, 'example': first}
            for kind, (count, first) in self._found.items()
        ]
