# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Synthetic scenes as a data set, rendered on the fly or once to disk, and as a camera bag."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer

from adamtl_ros.bags.reader import CAMERA_INFO, COMPRESSED, RAW
from adamtl_ros.bags.writer import LABEL_INFO, header, label_info, own_typestore, task_image
from adamtl_ros.focal import relative_focal
from adamtl_ros.sample import DataError, Sample
from adamtl_ros.scenes.compose import demo_scene, random_scene
from adamtl_ros.scenes.domains import DOMAINS, apply_domain, check_domain
from adamtl_ros.scenes.labels import SCENE_TASKS
from adamtl_ros.tasks import TASKS, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from rosbags.interfaces import Connection
    from rosbags.typesys.store import Typestore

    from adamtl_ros.scenes.render import Camera
    from adamtl_ros.scenes.scene import Scene
    from adamtl_ros.tasks import Task

VERSION = 2
"""Version of the renderer; sets that another version wrote are rendered again."""
ARRAYS = {
    'image': ((3,), np.uint8),
    'semseg': ((), np.uint8),
    'human_parts': ((), np.uint8),
    'normals': ((3,), np.float16),
    'saliency': ((), np.uint8),
    'depth': ((), np.float16),
    'edges': ((), np.uint8),
}
"""Trailing shape and type of the arrays; half floats are off by 0.03 degrees, 4 mm at 8 m."""


@dataclass(frozen=True)
class ScenesConfig:
    """Configuration of a set of rendered scenes.

    Attributes:
        scenes: Number of scenes.
        frames: Images per scene.
        height: Height of an image [px].
        width: Width of an image [px].
        first_seed: Seed of the first scene; the seeds of two sets must not overlap.
        step: Time between two images of a scene [s].
        samples: Rays per pixel and axis.
        difficulty: Difficulty of all scenes, 0..1; random for each scene by default.
        domain: Visual domain, one of `DOMAINS`.

    """

    scenes: int
    frames: int = 4
    height: int = 192
    width: int = 256
    first_seed: int = 0
    step: float = 2.0
    samples: int = 2
    difficulty: float | None = None
    domain: str = DOMAINS[0]

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: A size that is not positive, or an unknown domain.

        """
        check_domain(self.domain)
        if min(self.scenes, self.frames, self.height, self.width, self.samples) < 1:
            raise ValueError(f'sizes of a set of scenes must be positive: {self}')


class SyntheticScenes:
    """Labelled images of rendered scenes, the same for the same configuration.

    The images of a scene are consecutive.
    """

    def __init__(
        self,
        config: ScenesConfig,
        folder: Path | None = None,
        *,
        workers: int = 1,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Open the set, and render all images if a folder is given and does not hold them.

        Args:
            config: Configuration of the set.
            folder: Folder of the images, about 0.7 MB each at 192x256; by default, an image
                is rendered whenever it is read.
            workers: Processes that render.
            progress: Callback with the number of rendered scenes and of all scenes.

        Raises:
            DataError: A folder with other content.

        """
        self.config = config
        self._planes: dict[str, NDArray[np.generic]] = {}
        self._focals: dict[int, float] = {}
        if folder is not None:
            _write(config, folder, workers, progress or (lambda _done, _total: None))
            self._planes = {
                name: np.load(folder / f'{name}.npy', mmap_mode='r')
                for name in (*ARRAYS, 'difficulty')
            }

    @property
    def tasks(self) -> Mapping[str, Task]:
        """All six tasks, with the semantic classes of the scenes."""
        return SCENE_TASKS

    def __len__(self) -> int:
        """Return the number of images."""
        return self.config.scenes * self.config.frames

    def __getitem__(self, index: int) -> Sample:
        """Return an image with labels for all tasks.

        Raises:
            IndexError: A number outside 0 to length - 1.

        """
        if not 0 <= index < len(self):
            raise IndexError(f'image {index} of {len(self)}')
        if not self._planes:
            return render_sample(self.config, index)
        planes = {name: np.array(self._planes[name][index]) for name in ARRAYS}
        image = planes.pop('image')
        for name in ('normals', 'depth'):
            planes[name] = planes[name].astype(np.float32)
        name = f'scene {_seed(self.config, index)}, image {index % self.config.frames}'
        difficulty = float(self._planes['difficulty'][index])
        focal = self._focal(index // self.config.frames)
        return Sample(image, planes, name, difficulty, focal=focal)

    def _focal(self, scene: int) -> float:
        """Return the relative focal length of a scene, which the folder does not have."""
        if scene not in self._focals:  # to compose a scene takes 2 ms
            config = self.config
            view = _scene(config.first_seed + scene, config.difficulty, config.domain).view
            camera = view.camera(0, (config.height, config.width))
            self._focals[scene] = relative_focal(
                camera.focal, camera.focal, config.height, config.width
            )
        return self._focals[scene]


def render_sample(config: ScenesConfig, index: int) -> Sample:
    """Render one image of a set."""
    scene = _scene(_seed(config, index), config.difficulty, config.domain)
    time = (index % config.frames) * config.step
    return scene.frame(time, (config.height, config.width), config.samples)


@lru_cache(maxsize=4)
def _scene(seed: int, difficulty: float | None, domain: str) -> Scene:
    return apply_domain(random_scene(seed, difficulty), domain)


def _seed(config: ScenesConfig, index: int) -> int:
    return config.first_seed + index // config.frames


def _write(
    config: ScenesConfig, folder: Path, workers: int, progress: Callable[[int, int], None]
) -> None:
    """Render all images into a folder, unless it holds them."""
    metadata = folder / 'scenes.json'
    expected = {'version': VERSION, **asdict(config)}
    if _read_metadata(metadata) == expected:
        return
    if folder.exists() and any(folder.iterdir()):
        if not (metadata.is_file() or (folder / 'unfinished').is_file()):
            raise DataError(f'{folder} holds something else than rendered scenes; choose another')
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'unfinished').touch()
    count = config.scenes * config.frames
    for name, (shape, kind) in ARRAYS.items():
        _map(folder, name, (count, config.height, config.width, *shape), kind)
    _map(folder, 'difficulty', (count,), np.float32)
    with ProcessPoolExecutor(workers, mp_context=get_context('spawn')) as pool:
        jobs = [pool.submit(_write_scene, config, folder, scene) for scene in range(config.scenes)]
        for done, job in enumerate(jobs, 1):
            job.result()
            progress(done, config.scenes)
    metadata.write_text(json.dumps(expected, sort_keys=True))
    (folder / 'unfinished').unlink()


def _read_metadata(metadata: Path) -> dict[str, Any]:
    """Return the configuration of the set in a folder; empty if it is missing or damaged."""
    try:
        # The first version had no domains.
        return {'domain': DOMAINS[0], **json.loads(metadata.read_text())}
    except (OSError, TypeError, ValueError):
        return {}


def _write_scene(config: ScenesConfig, folder: Path, scene: int) -> None:
    """Render the images of one scene into the arrays."""
    planes = {name: np.load(folder / f'{name}.npy', mmap_mode='r+') for name in ARRAYS}
    difficulty = np.load(folder / 'difficulty.npy', mmap_mode='r+')
    for index in range(scene * config.frames, (scene + 1) * config.frames):
        sample = render_sample(config, index)
        planes['image'][index] = sample.image
        for name, label in sample.labels.items():
            planes[name][index] = label
        difficulty[index] = sample.difficulty


def _map(folder: Path, name: str, shape: tuple[int, ...], kind: type[Any]) -> None:
    np.lib.format.open_memmap(folder / f'{name}.npy', mode='w+', dtype=kind, shape=shape)


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
    rate: float = RATE_HZ,
) -> None:
    """Write an MCAP bag with JPEG images of a scene and the camera's calibration.

    Args:
        path: Folder of the bag; must not exist.
        scene: Scene to render; by default `demo_scene`, as long as the bag.
        frames: Number of images.
        size: Height and width of the images [px].
        truth: Whether to write the labels of all tasks, on `/ground_truth/<task>/image`, and
            the class names beside them.
        workers: Processes that render.
        rate: Frame rate [Hz].

    """
    scene = scene or demo_scene(frames / rate)
    store = own_typestore()
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        image = writer.add_connection(IMAGE, COMPRESSED, typestore=store)
        info = writer.add_connection(INFO, CAMERA_INFO, typestore=store)
        labels = _add_truth(writer) if truth else {}
        for index, sample in enumerate(_render(scene, frames, size, workers, rate)):
            stamp = START_NS + int(index * 1_000_000_000 / rate)
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


def _render(
    scene: Scene, frames: int, size: tuple[int, int], workers: int, rate: float
) -> Iterator[Sample]:
    """Render the images of a scene in order.

    One ray per pixel is enough: the images are resized to the smaller network input.
    """
    times: Iterable[float] = [index / rate for index in range(frames)]
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
