# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A source of images as a ROS camera: `image`, `image/compressed` and `camera_info`.

Messages of a bag are published unchanged, in real time: a replacement for `ros2 bag play`, which
is not among the wheels, for one camera.
"""

from __future__ import annotations

import contextlib
import csv
import itertools
import struct
import threading
import time
from typing import TYPE_CHECKING, Any

import rclpy
from rclpy.duration import Duration
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.executors import ExternalShutdownException
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from adamtl_ros.bags.images import ImageError, decode_image
from adamtl_ros.bags.reader import header_stamp, open_bag
from adamtl_ros.ros.topics import jpeg_message, to_message
from adamtl_ros.sources.frame import in_real_time, repeated
from adamtl_ros.sources.recording import Recording

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Self

    import numpy as np
    from numpy.typing import NDArray
    from rclpy.node import Node
    from rclpy.publisher import Publisher

    from adamtl_ros.sources.calibration import Calibration
    from adamtl_ros.sources.frame import Frame, Source

PLAYER_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
FRAME_ID = 'camera_optical_frame'


class PlayerError(RuntimeError):
    """Nobody listens to what is played."""


class CameraPublisher:
    """Publishers of a camera; an image is converted only for a topic that has a subscriber.

    Attributes:
        matched: Event that is set once an image topic has a subscriber.

    """

    def __init__(self, node: Node, image: str = 'image', frame_id: str = FRAME_ID) -> None:
        """Create the publishers.

        Args:
            node: Node to publish with.
            image: Topic of the images; `camera_info` stands beside it.
            frame_id: Frame of the images that have none.

        """
        self.matched = threading.Event()
        self._node, self._frame_id = node, frame_id
        callbacks = PublisherEventCallbacks(matched=lambda _event: self.matched.set())
        compressed = f'{image}/compressed'
        create = node.create_publisher
        self.raw = create(Image, image, PLAYER_QOS, event_callbacks=callbacks)
        self.jpeg = create(CompressedImage, compressed, PLAYER_QOS, event_callbacks=callbacks)
        folder, slash, _ = image.rpartition('/')
        self.info = create(CameraInfo, f'{folder}{slash}camera_info', PLAYER_QOS)

    def publish(self, frame: Frame, lens: Calibration | None) -> None:
        """Publish an image as one of this moment, and its calibration; K is 0 where unknown."""
        header = Header(frame_id=self._frame_id, stamp=self._node.get_clock().now().to_msg())
        height, width = frame.image.shape[:2]
        self.info.publish(info_message(lens, height, width, header))
        self._publish_raw(frame.image, header)
        self._publish_jpeg(frame.image, header)

    def publish_serialized(self, raw: bytes, *, compressed: bool) -> None:
        """Publish an image message unchanged, and converted to the other topic if it is in use."""
        (self.jpeg if compressed else self.raw).publish(raw)
        if not _subscribed(self.raw if compressed else self.jpeg):
            return
        message: Any = deserialize_message(raw, CompressedImage if compressed else Image)
        with contextlib.suppress(ImageError):  # who takes it as it is says what is wrong
            image = decode_image(message)
            (self._publish_raw if compressed else self._publish_jpeg)(image, message.header)

    def finish(self) -> None:
        """Wait until the messages have been received."""
        for publisher in (self.raw, self.jpeg):
            publisher.wait_for_all_acked(Duration(seconds=2))

    def _publish_raw(self, image: NDArray[np.uint8], header: Header) -> None:
        if _subscribed(self.raw):
            self.raw.publish(to_message(image, 'rgb8', header))

    def _publish_jpeg(self, image: NDArray[np.uint8], header: Header) -> None:
        if _subscribed(self.jpeg):
            self.jpeg.publish(jpeg_message(image, header))


def info_message(lens: Calibration | None, height: int, width: int, header: Header) -> CameraInfo:
    """Return a calibration as a message; K is zero where it is unknown, as REP-104 asks."""
    message = CameraInfo(header=header, height=height, width=width)
    if lens is None:
        return message
    fx, _, cx, _, fy, cy, *_ = lens.k
    message.k = list(lens.k)
    message.d = list(lens.d)
    message.distortion_model = lens.distortion_model
    message.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    message.p = [fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0]
    return message


def play(
    source: Source,
    camera: CameraPublisher,
    *,
    loop: bool = False,
    log: Path | None = None,
    now: bool = False,
) -> int:
    """Publish the images of a source at their pace.

    Args:
        source: Source of the images; of a bag, the messages are published unchanged.
        camera: Publishers.
        loop: Whether to begin again at the end.
        log: CSV file to write: stamp of each image [ns], steady clock when it left [ns].
        now: Whether messages of a bag get the time of publishing as their stamp.

    Returns:
        Number of images.

    """
    with _Log(log) as sent:
        if isinstance(source, Recording):
            rounds = itertools.count() if loop else range(1)
            return sum(_play_bag(source, camera, sent, now=now or loop) for _ in rounds)
        count = 0
        for count, frame in enumerate(_paced(source, loop=loop), 1):  # noqa: B007
            lens = source.intrinsics(*frame.image.shape[:2])
            sent.add(frame.stamp_ns)
            camera.publish(frame, lens)
        return count


def play_camera(  # the arguments of the command
    source: Source,
    *,
    image: str = 'image',
    frame_id: str = FRAME_ID,
    loop: bool = False,
    now: bool = False,
    log: Path | None = None,
    wait_s: float = 30.0,
) -> None:
    """Start a node that plays a source, wait for a subscriber, and play.

    Args:
        source: Source of the images.
        image: Topic of the images.
        frame_id: Frame of images that have none.
        loop: Whether to begin again at the end.
        now: Whether messages of a bag get the time of publishing as their stamp.
        log: CSV file, see `play()`.
        wait_s: Longest wait for a subscriber before a recording is played [s]; a live or endless
            source does not wait.

    Raises:
        PlayerError: No subscriber in time.

    """
    # Without rclpy's handlers, Ctrl-C and SIGTERM do what they do elsewhere.
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node('adamtl_player')
    spinner = threading.Thread(target=_spin, args=[node], daemon=True)
    try:
        camera = CameraPublisher(node, image, frame_id)
        topics = f'{camera.raw.topic_name}[/compressed]'
        print(f'playing {source.name} on {topics}', flush=True)
        spinner.start()
        if not (source.live or loop or camera.matched.wait(wait_s)):
            raise PlayerError(f'nobody subscribed to {topics} within {wait_s:g} s')
        count = play(source, camera, loop=loop, log=log, now=now)
        camera.finish()
        print(f'{count} images')
    finally:
        rclpy.try_shutdown()
        if spinner.is_alive():
            spinner.join()
        node.destroy_node()


def _play_bag(recording: Recording, camera: CameraPublisher, sent: _Log, *, now: bool) -> int:
    """Publish the messages of a bag's camera once, at the pace of the recording."""
    topics, compressed = recording.camera, recording.camera.compressed
    count = 0
    with open_bag(recording.path) as reader:
        connections = [c for c in reader.connections if c.topic in (topics.image, topics.info)]
        started, first = time.monotonic_ns(), None
        for connection, recorded, raw in reader.messages(connections):
            first = recorded if first is None else first
            time.sleep(max(0, started + recorded - first - time.monotonic_ns()) / 1e9)
            message = _restamped(bytes(raw)) if now else bytes(raw)
            if connection.topic != topics.image:
                camera.info.publish(message)
                continue
            sent.add(header_stamp(message))
            camera.publish_serialized(message, compressed=compressed)
            count += 1
    return count


def _restamped(raw: bytes) -> bytes:
    """Return a serialized message that begins with a header, with the time of now."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    stamp = struct.pack('<iI' if raw[1] & 1 else '>iI', seconds, nanoseconds)
    return raw[:4] + stamp + raw[12:]


def _paced(source: Source, *, loop: bool) -> Iterator[Frame]:
    if source.live:
        return source.frames()
    return in_real_time(repeated(source) if loop else source.frames())


def _subscribed(publisher: Publisher[Any]) -> bool:
    return publisher.get_subscription_count() > 0


class _Log:
    """CSV file of when each image left; nothing without a path."""

    def __init__(self, path: Path | None) -> None:
        self._file = path.open('w', newline='') if path else None

    def __enter__(self) -> Self:
        if self._file:
            self._writer = csv.writer(self._file)
            self._writer.writerow(['stamp_ns', 'sent_ns'])
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()

    def add(self, stamp_ns: int) -> None:
        """Write that an image leaves now."""
        if self._file:
            self._writer.writerow([stamp_ns, time.monotonic_ns()])
            self._file.flush()


def _spin(node: Node) -> None:
    with contextlib.suppress(ExternalShutdownException):
        rclpy.spin(node)
