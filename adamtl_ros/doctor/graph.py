# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Checks of DDS and of the topics of a camera, by listening to them for some seconds."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rclpy
from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from rclpy.executors import SingleThreadedExecutor
from rclpy.serialization import deserialize_message
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import get_rmw_implementation_identifier
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from adamtl_ros.bags.images import ImageError, decode_image
from adamtl_ros.doctor.finding import Finding, error, ok, warn
from adamtl_ros.focal import fits_image, info_focal
from adamtl_ros.ros.topics import describe_qos, input_qos, is_calibrated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rclpy.node import Node

KINDS = {'sensor_msgs/msg/Image': Image, 'sensor_msgs/msg/CompressedImage': CompressedImage}
LEAST_SHM_MB = 128
MANY_SEGMENTS = 200
"""Files of Fast DDS in shared memory from which old ones are likely."""
SLOW_HZ = 5.0
OLD_S = 1.0


def check_dds(shm: Path = Path('/dev/shm')) -> Iterator[Finding]:  # noqa: S108  no file is made
    """Yield the findings about the middleware.

    Args:
        shm: Folder of the shared memory.

    """
    rmw = get_rmw_implementation_identifier()
    where = f'domain {os.environ.get("ROS_DOMAIN_ID", "0")}'
    yield ok('ROS', f'{os.environ.get("ROS_DISTRO", "distribution unknown")}, {rmw}, {where}')
    if 'fastrtps' not in rmw:
        return
    yield _profile()
    if not shm.is_dir():
        yield warn('shared memory', f'no {shm}', 'in a container: mount it, or --ipc=host')
        return
    space = os.statvfs(shm)
    total_mb = space.f_frsize * space.f_blocks / 1e6
    free_mb = space.f_frsize * space.f_bavail / 1e6
    text = f'{free_mb:.0f} of {total_mb:.0f} MB free in {shm}'
    segments = len(list(shm.glob('fastdds_*'))) + len(list(shm.glob('fastrtps_*')))
    if free_mb < LEAST_SHM_MB:
        fix = 'in a container: --shm-size=1g or --ipc=host; else images go over the loopback'
        yield warn('shared memory', text, fix)
    elif segments > MANY_SEGMENTS:
        fix = f'when no ROS process runs: rm -f {shm}/fastdds_* {shm}/fastrtps_*'
        yield warn('shared memory', f'{text}, {segments} segments, some likely old', fix)
    else:
        yield ok('shared memory', text)


def _profile() -> Finding:
    """Return whether Fast DDS has room for images in shared memory."""
    name = 'FASTDDS_DEFAULT_PROFILES_FILE'
    path = os.environ.get(name, '')
    try:
        ours = Path(get_package_share_directory('adamtl_ros')) / 'config' / 'fastdds.xml'
    except PackageNotFoundError:
        ours = Path('config/fastdds.xml')
    fix = f'in the shell of every process: export {name}={ours}'
    if not path:
        text = 'the usual 0.5 MB segment is smaller than an image: images may be lost silently'
        return warn('DDS profile', text, fix)
    if not Path(path).is_file():
        return error('DDS profile', f'{name}={path}: no such file', fix)
    return ok('DDS profile', path)


def check_camera(image: str, node_name: str, seconds: float) -> Iterator[Finding]:
    """Yield the findings about the topics of a camera and about the node.

    Args:
        image: Topic of the images, without `/compressed`.
        node_name: Full name of the perception node.
        seconds: Time to listen [s].

    """
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node('adamtl_doctor')
    try:
        ears = Ears(node, image, node_name)
        ears.listen(seconds)
        yield from ears.images()
        yield ears.calibration()
        yield from _node(node, node_name, ears)
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


class Ears:
    """Subscriptions to the topics of a camera, as the node would make them."""

    def __init__(self, node: Node, image: str, node_name: str) -> None:
        """Subscribe to the image, raw and compressed, and to the calibration beside it.

        Args:
            node: Node to subscribe with.
            image: Topic of the images, without `/compressed`.
            node_name: Full name of the perception node, whose results are no camera.

        """
        self._node, self._results = node, f'{node_name}/'
        self._counts: dict[str, int] = {}
        self._latest: dict[str, tuple[float, Any]] = {}
        self._infos: list[CameraInfo] = []
        self._seconds = 0.0
        self.raw, self.jpeg = (
            node.resolve_topic_name(name) for name in (image, f'{image}/compressed')
        )
        self.info = f'{self.raw.rpartition("/")[0]}/camera_info'
        for topic, kind in ((self.raw, Image), (self.jpeg, CompressedImage)):
            self._subscribe(topic, kind)
        node.create_subscription(CameraInfo, self.info, self._infos.append, input_qos())

    def listen(self, seconds: float) -> None:
        """Receive for some seconds, which begin with the first image or half of them later."""
        executor = SingleThreadedExecutor()
        executor.add_node(self._node)
        latest = time.monotonic() + seconds / 2
        while not self._counts and time.monotonic() < latest:
            executor.spin_once(timeout_sec=0.1)
        self._counts.clear()
        begin = time.monotonic()
        while time.monotonic() < begin + seconds:
            executor.spin_once(timeout_sec=0.1)
        self._seconds = time.monotonic() - begin
        executor.remove_node(self._node)

    def images(self) -> Iterator[Finding]:
        """Yield what is wrong or right with the images."""
        offered = [t for t in (self.raw, self.jpeg) if self._node.get_publishers_info_by_topic(t)]
        if not offered:
            yield error('camera', f'nothing publishes {self.raw}[/compressed]', self._elsewhere())
        for topic in offered:
            yield self._image(topic)

    def calibration(self) -> Finding:
        """Return whether the calibration is there and fits."""
        if not self._infos:
            fix = "publish it beside the image, or remap 'camera_info'; metric depth needs it"
            return warn('camera_info', f'nothing on {self.info}', fix)
        info = self._infos[-1]
        if not is_calibrated(info):
            fix = 'calibrate with camera_calibration and load the result in the driver'
            return warn('camera_info', f'{self.info} has K = 0: uncalibrated', fix)
        size = self._size()
        if size and not fits_image(info, size):
            text = f'{info.width}x{info.height} does not fit the image of {size[1]}x{size[0]}'
            return warn('camera_info', text, 'publish the calibration of this mode of the camera')
        focal = info_focal(info, size or (info.height, info.width))
        return ok('camera_info', f'{self.info}, relative focal length {focal:.3f}')

    def heard(self, topic: str) -> int:
        """Return the number of images received on a topic."""
        return self._counts.get(topic, 0)

    def _subscribe(self, topic: str, kind: Any) -> None:
        def keep(raw: bytes) -> None:
            self._counts[topic] = self._counts.get(topic, 0) + 1
            self._latest[topic] = time.time(), deserialize_message(raw, kind)

        self._node.create_subscription(kind, topic, keep, input_qos(), raw=True)

    def _image(self, topic: str) -> Finding:
        """Return what is wrong or right with the images of a topic that is published."""
        publishers = self._node.get_publishers_info_by_topic(topic)
        qos = '; '.join(f'{p.node_name}: {describe_qos(p.qos_profile)}' for p in publishers)
        count = self.heard(topic)
        if not count:
            fix = 'check that the camera sends, and the DDS profile (above) in every process'
            return error('camera', f'{topic} ({qos}): no image arrived', fix)
        received, message = self._latest[topic]
        try:
            height, width = decode_image(message).shape[:2]
        except ImageError as problem:
            return error('camera', f'{topic}: {problem}', 'choose another format in the driver')
        rate = count / self._seconds
        stamp = message.header.stamp.sec + message.header.stamp.nanosec / 1e9
        text = f'{topic} ({qos}): {width}x{height}, {rate:.1f} Hz'
        if rate < SLOW_HZ:
            fix = 'a slow camera, or lost images: check the DDS profile (above) in every process'
            return warn('camera', text, fix)
        if abs(received - stamp) > OLD_S:
            age = received - stamp
            fix = 'stamp images with the time of now (adamtl play --now), or set use_sim_time'
            return warn('camera', f'{text}, stamps {age:.0f} s old: age_ms is unknown', fix)
        return ok('camera', text)

    def _size(self) -> tuple[int, int] | None:
        """Return height and width of the latest image; None without one."""
        for _, message in self._latest.values():
            try:
                return decode_image(message).shape[:2]
            except ImageError:  # noqa: PERF203
                continue
        return None

    def _elsewhere(self) -> str:
        """Return what to do when no image is published here."""
        topics = self._node.get_topic_names_and_types()
        others = [
            topic
            for topic, kinds in topics
            if set(kinds) & set(KINDS)
            and self._node.count_publishers(topic)
            and not topic.startswith(self._results)
        ]
        if others:
            return f'images are on: {", ".join(others)}; name one with --image'
        return 'start the camera (adamtl play INPUT is one); check ROS_DOMAIN_ID and the network'


def _node(node: Node, name: str, ears: Ears) -> Iterator[Finding]:
    """Yield whether the perception node runs and listens to what is published."""
    namespace, _, base = name.rpartition('/')
    try:
        topics = node.get_subscriber_names_and_types_by_node(base, namespace or '/')
    except RuntimeError:  # rclpy's NodeNameNonExistentError
        yield warn('node', f'{name} does not run', 'start it, or name it with --node')
        return
    inputs = [topic for topic, kinds in topics if kinds[0] in KINDS]
    if not inputs:
        fix = f'ros2 lifecycle set {name} configure, then activate; its log says what failed'
        yield error('node', f'{name} runs, but takes no images: it is not active', fix)
    for topic in inputs:
        if node.count_publishers(topic):
            yield ok('node', f'{name} takes images from {topic}')
        else:
            text = f'nothing publishes {topic}, which {name} takes'
            yield error('node', text, _remedy(topic, ears))


def _remedy(topic: str, ears: Ears) -> str:
    """Return what to do for a node that listens to the wrong topic."""
    if topic == ears.raw and ears.heard(ears.jpeg):
        return 'start the node with image_transport:=compressed'
    if topic == ears.jpeg and ears.heard(ears.raw):
        return 'start the node with image_transport:=raw'
    return 'give the launch argument image:=, or remap image'
