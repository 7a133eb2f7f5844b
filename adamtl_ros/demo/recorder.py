# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Records the node's outputs as serialised messages, and when each arrived."""

from __future__ import annotations

import struct
import threading
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from sensor_msgs.msg import CameraInfo, Image

from adamtl_ros.bags.reader import header_stamp
from adamtl_ros.bags.writer import own_typestore
from adamtl_ros.msg import ComputeStats
from adamtl_ros.ros.topics import LabelInfo, latched_qos
from adamtl_ros.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rclpy.node import Node

QOS = QoSProfile(depth=30, reliability=ReliabilityPolicy.RELIABLE)
KINDS = {
    Image: 'sensor_msgs/msg/Image',
    CameraInfo: 'sensor_msgs/msg/CameraInfo',
    DiagnosticArray: 'diagnostic_msgs/msg/DiagnosticArray',
    ComputeStats: 'adamtl_ros/msg/ComputeStats',
    LabelInfo: 'vision_msgs/msg/LabelInfo',
}
RECORD = struct.Struct('<HqI')
"""Index of the topic, time of arrival [ns since 1970], bytes of the message that follows."""


class Recorder:
    """Subscribes to everything a node publishes and keeps it.

    While the node runs, messages go to a plain file: writing a bag takes five copies of each,
    time that the node would miss on a small machine. `write_bag()` makes the bag afterwards.

    Attributes:
        arrivals: By topic, by header stamp [ns], the steady clock at arrival [ns].
        stats: The compute statistics, in order.
        ready: Set once the node is active and sees a subscriber for each of its tasks.

    """

    def __init__(self, node: Node, name: str, spool: Path, *, color: bool) -> None:
        """Subscribe.

        Args:
            node: Node to subscribe with; somebody else spins it.
            name: Full name of the node to record.
            spool: File to keep the messages in until the bag is written.
            color: Record the pictures for people too, twice the data.

        """
        self.arrivals: dict[str, dict[int, int]] = defaultdict(dict)
        self.stats: list[ComputeStats] = []
        self.latest_ns = time.monotonic_ns()
        self.ready = threading.Event()
        self._name = name
        self._spool = spool
        self._file = spool.open('wb')
        self._topics = dict(_topics(name, color=color))
        self._matched: set[str] = set()
        for index, (topic, kind) in enumerate(self._topics.items()):
            self._subscribe(node, index, topic, kind)

    def write_bag(self, path: Path) -> None:
        """Write what was recorded to a compressed MCAP bag and remove the spool.

        Args:
            path: Folder of the bag; must not exist.

        """
        self._file.close()
        store = own_typestore()
        writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
        writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        with writer, self._spool.open('rb') as file:
            connections = [
                writer.add_connection(topic, KINDS[kind], typestore=store)
                for topic, kind in self._topics.items()
            ]
            while head := file.read(RECORD.size):
                index, arrived, size = RECORD.unpack(head)
                writer.write(connections[index], arrived, file.read(size))
        self._spool.unlink()

    def _subscribe(self, node: Node, index: int, topic: str, kind: type) -> None:
        node.create_subscription(
            kind,
            topic,
            lambda raw: self._receive(index, topic, kind, raw),
            latched_qos() if kind is LabelInfo else QOS,
            raw=True,
            event_callbacks=SubscriptionEventCallbacks(matched=lambda _: self._matched.add(topic)),
        )

    def _receive(self, index: int, topic: str, kind: type, raw: bytes) -> None:
        now = time.monotonic_ns()
        self.arrivals[topic][header_stamp(raw)] = now
        self._file.write(RECORD.pack(index, time.time_ns(), len(raw)))
        self._file.write(raw)
        if kind is ComputeStats:
            message: ComputeStats = deserialize_message(raw, ComputeStats)
            self.stats.append(message)
            self.latest_ns = now if message.tasks else self.latest_ns
        elif kind is DiagnosticArray and not self.ready.is_set():
            self._look_for_tasks(deserialize_message(raw, DiagnosticArray))

    def _look_for_tasks(self, message: DiagnosticArray) -> None:
        values = {pair.key: pair.value for status in message.status for pair in status.values}
        tasks = values.get('tasks', '').split()
        sees_us = bool(tasks) and values['subscribed tasks'].split() == tasks
        # Both ends must know of each other: what a writer sends before its reader knows is lost.
        see_it = all(f'{self._name}/{task}/image' in self._matched for task in tasks)
        if sees_us and see_it:
            self.ready.set()


def _topics(name: str, *, color: bool) -> Iterator[tuple[str, Any]]:
    yield f'{name}/compute_stats', ComputeStats
    yield '/diagnostics', DiagnosticArray
    for task in TASKS.values():
        yield f'{name}/{task.name}/image', Image
        yield f'{name}/{task.name}/camera_info', CameraInfo
        if color:
            yield f'{name}/{task.name}/color', Image
        if task.classes and LabelInfo:
            yield f'{name}/{task.name}/label_info', LabelInfo
