# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Which topics of a bag are the camera, its ground truth, and the names of its classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adamtl_ros.data.bags import COMPRESSED, RAW, BagError, find_camera, path_in_common, readable
from adamtl_ros.data.own_types import LABEL_INFO
from adamtl_ros.sample import DataError
from adamtl_ros.tasks import TASKS, UNLABELLED, select

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rosbags.highlevel import AnyReader
    from rosbags.interfaces import Connection

USUAL = {task: f'/ground_truth/{task}/image' for task in TASKS}
"""Topic of the ground truth by task, where nothing else is said."""


def find_truth(path: Path, kinds: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Return the topic of the ground truth by task, in table order; empty if there is none.

    Args:
        path: The bag, for errors.
        kinds: Message type by topic.
        given: Topics by task that somebody named; the others are looked for at `USUAL`.

    Raises:
        ValueError: A task that does not exist.
        DataError: A named topic that has no images.

    """
    select(given)
    found = {}
    for task in TASKS:
        topic = given.get(task, USUAL[task])
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
