# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A drawn scene as a camera bag, with or without its ground truth."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer

from adamtl_ros.data.bags import CAMERA_INFO, COMPRESSED, RAW, typestore
from adamtl_ros.scenes.story import story
from adamtl_ros.tasks import TASKS, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from rosbags.typesys.store import Typestore

    from adamtl_ros.sample import Sample
    from adamtl_ros.scenes.render import Camera
    from adamtl_ros.scenes.scene import Scene

RATE_HZ = 15
IMAGE, INFO = '/camera/image_raw/compressed', '/camera/camera_info'
START_NS = 1_700_000_000_000_000_000


def write_scene_bag(
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
        path: Folder to make; must not exist.
        scene: What is seen; the story of the demo, as long as the bag, if not given.
        frames: Number of images, at 15 Hz.
        size: Their height and width [px].
        truth: Write the labels of all tasks too, on `/ground_truth/<task>/image`.
        workers: Processes that draw.

    """
    scene = scene or story(frames / RATE_HZ)
    store = typestore()
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        image = writer.add_connection(IMAGE, COMPRESSED, typestore=store)
        info = writer.add_connection(INFO, CAMERA_INFO, typestore=store)
        labels = {
            name: writer.add_connection(f'/ground_truth/{name}/image', RAW, typestore=store)
            for name in (TASKS if truth else ())
        }
        for index, sample in enumerate(_draw(scene, frames, size, workers)):
            stamp = START_NS + index * 1_000_000_000 // RATE_HZ
            header = _header(store, stamp)
            writer.write(
                image, stamp, store.serialize_cdr(_jpeg(store, header, sample), COMPRESSED)
            )
            calibration = _calibration(store, header, scene.view.camera(0, size))
            writer.write(info, stamp, store.serialize_cdr(calibration, CAMERA_INFO))
            for name, connection in labels.items():
                message = _label(store, header, name, sample.labels[name])
                writer.write(connection, stamp, store.serialize_cdr(message, RAW))


def _draw(scene: Scene, frames: int, size: tuple[int, int], workers: int) -> Iterator[Sample]:
    """Draw the images of a scene in order.

    With one ray per pixel: who looks at them reduces them to the size of the network.
    """
    times: Iterable[float] = [index / RATE_HZ for index in range(frames)]
    frame = partial(scene.frame, size=size, samples=1)
    if workers == 1:
        yield from map(frame, times)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context('spawn')) as pool:
        yield from pool.map(frame, times)


def _header(store: Typestore, stamp: int) -> object:
    time = store.types['builtin_interfaces/msg/Time'](*divmod(stamp, 1_000_000_000))
    return store.types['std_msgs/msg/Header'](time, 'camera_optical_frame')


def _jpeg(store: Typestore, header: object, sample: Sample) -> object:
    data = cv2.imencode('.jpg', cv2.cvtColor(sample.image, cv2.COLOR_RGB2BGR))[1]
    return store.types[COMPRESSED](header, 'rgb8; jpeg compressed bgr8', data.ravel())


def _label(store: Typestore, header: object, name: str, label: NDArray[Any]) -> object:
    if TASKS[name].kind is Kind.PROBABILITY:
        label = label * np.uint8(255)
    data = np.ascontiguousarray(label)
    row = data.nbytes // data.shape[0]
    return store.types[RAW](
        header, data.shape[0], data.shape[1], TASKS[name].encoding, 0, row,
        data.view(np.uint8).ravel(),
    )  # fmt: skip


def _calibration(store: Typestore, header: object, camera: Camera) -> object:
    f, (cx, cy) = camera.focal, camera.middle
    return store.types[CAMERA_INFO](
        header=header,
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
