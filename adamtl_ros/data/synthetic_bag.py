# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Rendered scene as a camera bag, with or without ground truth."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer

from adamtl_ros.bags.reader import CAMERA_INFO, COMPRESSED, RAW
from adamtl_ros.bags.writer import LABEL_INFO, header, label_info, own_typestore, task_image
from adamtl_ros.scenes.demo_scene import demo_scene
from adamtl_ros.scenes.labels import SCENE_TASKS
from adamtl_ros.tasks import TASKS, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from rosbags.interfaces import Connection
    from rosbags.typesys.store import Typestore

    from adamtl_ros.sample import Sample
    from adamtl_ros.scenes.render import Camera
    from adamtl_ros.scenes.scene import Scene

RATE_HZ = 15
IMAGE, INFO = '/camera/image_raw/compressed', '/camera/camera_info'
START_NS = 1_700_000_000_000_000_000
FRAME_ID = 'camera_optical_frame'


def write_synthetic_bag(
    path: Path,
    scene: Scene | None = None,
    *,
    frames: int = 150,
    size: tuple[int, int] = (480, 640),
    truth: bool = False,
    workers: int = 1,
) -> None:
    """Write an MCAP bag with JPEG images of a scene and the camera's calibration.

    Args:
        path: Folder of the bag; must not exist.
        scene: Scene to render; by default `demo_scene`, as long as the bag.
        frames: Number of images, at 15 Hz.
        size: Height and width of the images [px].
        truth: Whether to write the labels of all tasks, on `/ground_truth/<task>/image`, and
            the class names beside them.
        workers: Processes that render.

    """
    scene = scene or demo_scene(frames / RATE_HZ)
    store = own_typestore()
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        image = writer.add_connection(IMAGE, COMPRESSED, typestore=store)
        info = writer.add_connection(INFO, CAMERA_INFO, typestore=store)
        labels = _add_truth(writer) if truth else {}
        for index, sample in enumerate(_render(scene, frames, size, workers)):
            stamp = START_NS + index * 1_000_000_000 // RATE_HZ
            head = header(stamp, FRAME_ID)
            writer.write(image, stamp, store.serialize_cdr(_jpeg(store, head, sample), COMPRESSED))
            calibration = _calibration(store, head, scene.view.camera(0, size))
            writer.write(info, stamp, store.serialize_cdr(calibration, CAMERA_INFO))
            for name, connection in labels.items():
                message = task_image(head, TASKS[name], _label(name, sample.labels[name]))
                writer.write(connection, stamp, store.serialize_cdr(message, RAW))


def _add_truth(writer: Writer) -> dict[str, Connection]:
    """Add the topics of the labels, and write the class names."""
    store = own_typestore()
    topics = {}
    for name, task in SCENE_TASKS.items():
        topics[name] = writer.add_connection(f'/ground_truth/{name}/image', RAW, typestore=store)
        if task.kind is Kind.LABELS:
            topic = f'/ground_truth/{name}/label_info'
            names = writer.add_connection(topic, LABEL_INFO, typestore=store)
            info = label_info(header(START_NS, FRAME_ID), task)
            writer.write(names, START_NS, store.serialize_cdr(info, LABEL_INFO))
    return topics


def _render(scene: Scene, frames: int, size: tuple[int, int], workers: int) -> Iterator[Sample]:
    """Render the images of a scene in order.

    One ray per pixel is enough: the images are resized to the smaller network input.
    """
    times: Iterable[float] = [index / RATE_HZ for index in range(frames)]
    frame = partial(scene.frame, size=size, samples=1)
    if workers == 1:
        yield from map(frame, times)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context('spawn')) as pool:
        yield from pool.map(frame, times)


def _jpeg(store: Typestore, head: object, sample: Sample) -> object:
    data = cv2.imencode('.jpg', cv2.cvtColor(sample.image, cv2.COLOR_RGB2BGR))[1]
    return store.types[COMPRESSED](head, 'rgb8; jpeg compressed bgr8', data.ravel())


def _label(name: str, label: NDArray[Any]) -> NDArray[Any]:
    return label * np.uint8(255) if TASKS[name].kind is Kind.PROBABILITY else label


def _calibration(store: Typestore, head: object, camera: Camera) -> object:
    f, (cx, cy) = camera.focal, camera.principal_point
    return store.types[CAMERA_INFO](
        header=head,
        height=camera.height,
        width=camera.width,
        distortion_model='plumb_bob',
        d=np.zeros(5),
        k=np.array([f, 0, cx, 0, f, cy, 0, 0, 1]),
        r=np.eye(3).ravel(),
        p=np.array([f, 0, cx, 0, 0, f, cy, 0, 0, 0, 1, 0]),
        binning_x=0,
        binning_y=0,
        roi=store.types['sensor_msgs/msg/RegionOfInterest'](0, 0, 0, 0, False),
    )
