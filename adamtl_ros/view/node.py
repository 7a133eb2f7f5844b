# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Running node as scenes: subscribes to what a browser looks at, and to nothing while none does."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from adamtl_ros.bags.images import ImageError, decode_image
from adamtl_ros.bags.reader import header_stamp
from adamtl_ros.msg import ComputeStats
from adamtl_ros.ros.topics import LabelInfo, latched_qos
from adamtl_ros.sources.calibration import from_info
from adamtl_ros.tasks import TASKS, UNLABELLED, Kind
from adamtl_ros.view.scene import Scene, Statistics
from adamtl_ros.view.server import checked_budget, checked_tasks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from rclpy.node import Node
    from rclpy.subscription import Subscription

    from adamtl_ros.view.scene import SceneEncoder
    from adamtl_ros.view.server import Hub

RESULT_QOS = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
CAMERA_QOS = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
LOOK_S = 0.5
"""Period of looking who watches and what the node subscribes to [s]."""
KEPT_RESULTS = 5
"""Frames whose results are kept: they come on other topics, and in any order."""
KEPT_IMAGES = 40
"""Camera images that wait for their results: at 30 Hz those of a second and more."""
ANSWER_S = 5.0
REASONS = {
    ComputeStats.BATTERY: 'battery',
    ComputeStats.THERMAL: 'heat',
    ComputeStats.DEADLINE: 'deadline',
    ComputeStats.FLOOR: 'floor',
}


class NodeView:
    """Scenes of a running node, from its topics, and its settings.

    The image topic is the one that the node itself subscribes to. Normals come as `color`, a
    quarter of the data of the result. A task that is not shown is not subscribed to, so that the
    node need not compute it.
    """

    def __init__(self, node: Node, name: str, camera: str = '') -> None:
        """Connect to the node, which need not run yet.

        Args:
            node: Node to subscribe with; spun by another thread.
            name: Full name of the node to watch.
            camera: Name of the camera, of a node with several.

        """
        self.name = name
        self._node, self._camera = node, f'{camera}/' if camera else ''
        self._tasks = dict(TASKS)
        self._shown = tuple(TASKS)
        self._budget: float | None = None
        self._images: OrderedDict[int, tuple[bytes, type]] = OrderedDict()
        self._results: OrderedDict[int, dict[str, bytes]] = OrderedDict()
        self._stats: ComputeStats | None = None
        self._lens: CameraInfo | None = None
        self._subscriptions: dict[str, Subscription[Any]] = {}
        self._hub: Hub | None = None
        self._parameters = AsyncParameterClient(node, name)
        node.create_subscription(
            ComputeStats, self._topic('compute_stats'), self._on_stats, RESULT_QOS
        )
        if LabelInfo:
            for task in TASKS.values():
                if task.kind is Kind.LABELS:
                    self._subscribe_labels(task.name)
        node.create_timer(LOOK_S, self._look)

    def show_in(self, hub: Hub, encoder: SceneEncoder) -> None:
        """Show scenes in a hub from now on."""
        self._encoder = encoder
        self._hub = hub

    # Settings of the page

    def values(self) -> dict[str, Any]:
        """Return budget and tasks; no budget before the node has said it."""
        known = {} if self._budget is None else {'budget': self._budget}
        return {**known, 'tasks': list(self._shown), 'available': list(TASKS)}

    def change(self, values: Mapping[str, Any]) -> None:
        """Set the budget of the node, or choose the tasks to show.

        Raises:
            ValueError: Unknown setting, or one that is invalid or that the node refuses.

        """
        if unknown := set(values) - {'budget', 'tasks'}:
            raise ValueError(f"no setting '{min(unknown)}', choose from: budget, tasks")
        if 'tasks' in values:
            self._shown = checked_tasks(values['tasks'], tuple(TASKS))
        if 'budget' in values:
            budget = checked_budget(values['budget'])
            self._set_parameter('budget', budget)
            self._budget = budget

    def _set_parameter(self, name: str, value: float) -> None:
        if not self._parameters.services_are_ready():
            raise ValueError(f'{self.name} does not run')
        answered = threading.Event()
        future = self._parameters.set_parameters([Parameter(name, value=value)])
        future.add_done_callback(lambda _: answered.set())
        if not answered.wait(ANSWER_S):
            raise ValueError(f'{self.name} does not answer')
        (result,) = future.result().results
        if not result.successful:
            raise ValueError(f'{self.name}: {result.reason}')

    # Topics

    def _topic(self, name: str) -> str:
        return f'{self.name}/{self._camera}{name}'

    def _subscribe_labels(self, task: str) -> None:
        def receive(message: Any) -> None:
            names = {c.class_id: c.class_name for c in message.class_map}
            classes = [names.get(i, f'class {i}') for i in range(max(names, default=-1) + 1)]
            if 0 < len(classes) <= UNLABELLED:
                self._tasks[task] = TASKS[task].with_classes(classes)
                if self._hub is not None:
                    self._encoder.set_tasks(self._tasks)

        self._node.create_subscription(
            LabelInfo, self._topic(f'{task}/label_info'), receive, latched_qos()
        )

    def _look(self) -> None:
        """Subscribe to what is looked at, and unsubscribe from what is not."""
        wanted = self._wanted() if self._hub is not None and self._hub.watched else {}
        for topic in set(self._subscriptions) - set(wanted):
            self._node.destroy_subscription(self._subscriptions.pop(topic))
        for topic, arguments in wanted.items():
            if topic not in self._subscriptions:
                self._subscriptions[topic] = self._subscribe(topic, *arguments)

    def _wanted(self) -> dict[str, tuple[Any, ...]]:
        """Return type, callback and quality of service by topic."""
        wanted: dict[str, tuple[Any, ...]] = {}
        for name in self._shown:
            suffix = 'color' if TASKS[name].kind is Kind.NORMALS else 'image'
            wanted[self._topic(f'{name}/{suffix}')] = (Image, self._keep_result(name), RESULT_QOS)
        inputs = self._inputs()
        for topic, kind in inputs.items():
            on_message = self._on_lens if kind is CameraInfo else self._keep_image(kind)
            wanted[topic] = (kind, on_message, CAMERA_QOS)
        assert self._hub is not None
        self._hub.message = '' if inputs else f'{self.name} does not run, or is not active'
        return wanted

    def _inputs(self) -> dict[str, Any]:
        """Return the topics that the node takes images and calibration from."""
        namespace, _, name = self.name.rpartition('/')
        kinds = {
            'sensor_msgs/msg/Image': Image,
            'sensor_msgs/msg/CompressedImage': CompressedImage,
            'sensor_msgs/msg/CameraInfo': CameraInfo,
        }
        try:
            topics = self._node.get_subscriber_names_and_types_by_node(name, namespace or '/')
        except RuntimeError:  # rclpy's NodeNameNonExistentError, among others
            return {}
        found = {topic: kinds[types[0]] for topic, types in topics if types[0] in kinds}
        camera = self._camera
        return {topic: kind for topic, kind in found.items() if not camera or f'/{camera}' in topic}

    def _subscribe(self, topic: str, kind: Any, receive: Any, qos: Any) -> Subscription[Any]:
        return self._node.create_subscription(kind, topic, receive, qos, raw=kind is not CameraInfo)

    def _keep_result(self, name: str) -> Any:
        def keep(raw: bytes) -> None:
            stamp = header_stamp(raw)
            self._results.setdefault(stamp, {})[name] = raw
            if len(self._results) > KEPT_RESULTS:
                self._results.popitem(last=False)
            self._show_if_complete()

        return keep

    def _keep_image(self, kind: type) -> Any:
        def keep(raw: bytes) -> None:
            self._images[header_stamp(raw)] = raw, kind
            if len(self._images) > KEPT_IMAGES:
                self._images.popitem(last=False)

        return keep

    def _on_lens(self, message: CameraInfo) -> None:
        self._lens = message

    def _on_stats(self, stats: ComputeStats) -> None:
        """Show the frame before, if it still waits; this one once its results are here."""
        self._budget = stats.requested_budget
        if not stats.tasks:
            return
        if self._stats is not None:
            self._show(self._stats)
        self._stats = stats
        self._show_if_complete()

    def _show_if_complete(self) -> None:
        """Show the frame of the latest statistics if all its results have come."""
        if self._stats is None:
            return
        expected = set(self._stats.tasks) & set(self._shown)
        if expected <= set(self._results.get(_stamp(self._stats), {})):
            self._show(self._stats)
            self._stats = None

    def _show(self, stats: ComputeStats) -> None:
        """Show what there is of a frame."""
        if self._hub is None or not self._hub.watched:
            return
        stamp = _stamp(stats)
        results = {
            name: _array(deserialize_message(raw, Image))
            for name, raw in self._results.get(stamp, {}).items()
            if name in self._shown
        }
        image = self._image(stamp)
        if results or image is not None:
            lens = None if self._lens is None else from_info(self._lens)
            self._hub.show(Scene(image, results, message_statistics(stats), lens))

    def _image(self, stamp: int) -> NDArray[np.uint8] | None:
        raw, kind = self._images.get(stamp, (None, Image))
        with contextlib.suppress(ImageError):
            return None if raw is None else decode_image(deserialize_message(raw, kind))
        return None


def message_statistics(stats: ComputeStats) -> Statistics:
    """Return the statistics in a message."""
    return Statistics(
        model=stats.model,
        budget=stats.effective_budget,
        macs=float(stats.macs),
        macs_full=float(stats.macs_full),
        blocks=(stats.blocks_run, stats.blocks_total),
        windows=(stats.windows_run, stats.windows_total),
        infer_ms=stats.infer_ms,
        latency_ms=stats.latency_ms,
        processed=int(stats.frames_processed),
        dropped=int(stats.frames_dropped),
        limit=REASONS.get(stats.limit_reason, ''),
    )


@contextlib.contextmanager
def spun_node(name: str) -> Any:
    """Give a node that another thread spins, for the length of a `with` block."""
    # Without rclpy's handlers, Ctrl-C and SIGTERM do what they do elsewhere.
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node(name)
    executor = SingleThreadedExecutor()
    executor.add_node(node)

    def spin() -> None:
        with contextlib.suppress(ExternalShutdownException):
            executor.spin()

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    try:
        yield node
    finally:
        rclpy.try_shutdown()
        thread.join()
        node.destroy_node()


def _stamp(stats: ComputeStats) -> int:
    """Return the stamp of the frame [ns]."""
    return int(1_000_000_000 * stats.header.stamp.sec + stats.header.stamp.nanosec)


def _array(message: Image) -> NDArray[np.generic]:
    """Return the pixels of a result or of a picture of one."""
    kind = np.float32 if message.encoding.startswith('32F') else np.uint8
    channels = 3 if message.encoding in ('32FC3', 'rgb8') else 1
    shape = (message.height, message.width, channels)[: 3 if channels > 1 else 2]
    return np.frombuffer(message.data, kind).reshape(shape)
