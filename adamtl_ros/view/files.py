# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Scenes as pictures and videos."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import cv2

from adamtl_ros.viz.mosaic import Mosaic, tile
from adamtl_ros.viz.overlay import Overlay

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from adamtl_ros.sources.frame import Source
    from adamtl_ros.tasks import Task
    from adamtl_ros.view.scene import Scene

    Picture = NDArray[np.uint8]

VIDEOS, PICTURES = ('.mp4', '.mkv', '.mov'), ('.png', '.jpg', '.webp')


class SceneFile(ABC):
    """Writer of scenes."""

    def __init__(self, path: Path, tasks: Mapping[str, Task]) -> None:
        """Set the path.

        Args:
            path: File or folder to write.
            tasks: Tasks by name, with their classes, in the order of their tiles.

        """
        self.path, self._tasks = path, tasks
        self._overlay, self._mosaic = Overlay(tasks), Mosaic(tasks)

    def draw(self, scene: Scene) -> Picture:
        """Return a scene as one picture: overlay, results with legends, statistics."""
        for name, result in scene.results.items():
            self._mosaic.add(name, result)
        assert scene.image is not None
        first = tile(self._overlay.draw(scene.image, scene.results, legend=False), 'camera')
        return self._mosaic.page(first, scene.statistics.lines())

    @abstractmethod
    def add(self, scene: Scene, time_ns: int) -> None:
        """Write a scene; a video shows it at a time on any clock [ns]."""

    def close(self) -> None:  # noqa: B027  pictures have nothing to finish
        """Finish the file."""


class _VideoScenes(SceneFile):
    def __init__(self, path: Path, tasks: Mapping[str, Task]) -> None:
        from adamtl_ros.viz.video_file import VideoFile

        super().__init__(path, tasks)
        self._file = VideoFile(path)

    def add(self, scene: Scene, time_ns: int) -> None:
        self._file.add(self.draw(scene), time_ns)

    def close(self) -> None:
        self._file.close()


class _PictureScene(SceneFile):
    def add(self, scene: Scene, time_ns: int) -> None:
        del time_ns
        _write(self.path, self.draw(scene))


class _FolderScenes(SceneFile):
    """A picture of each scene, of which each has another size."""

    def __init__(self, path: Path, tasks: Mapping[str, Task]) -> None:
        super().__init__(path, tasks)
        path.mkdir(parents=True, exist_ok=True)
        self._count = 0

    def add(self, scene: Scene, time_ns: int) -> None:
        del time_ns
        name = scene.name.rpartition('.')[0] or f'{self._count:06}'
        self._mosaic = Mosaic({n: self._tasks[n] for n in scene.results})
        _write(self.path / f'{name}.png', self.draw(scene))
        self._count += 1


def open_scene_file(path: Path, tasks: Mapping[str, Task], source: Source) -> SceneFile:
    """Return the writer for a path: a video, a picture, or a folder of pictures.

    Raises:
        ValueError: A picture for more than one image, or an unknown suffix.

    """
    suffix = path.suffix.lower()
    if suffix and path.exists() and path.is_dir():
        suffix = ''
    if suffix in PICTURES and source.count != 1:
        raise ValueError(
            f'{path} is one picture, but {source.name} has more images; give a folder for a '
            'picture of each, or a .mp4 for a video'
        )
    if suffix and suffix not in VIDEOS + PICTURES:
        raise ValueError(
            f"unknown suffix '{suffix}' of {path}, choose from: {', '.join(VIDEOS + PICTURES)}; "
            'none makes a folder of pictures'
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    kinds = {True: _VideoScenes, False: _PictureScene}
    return kinds[suffix in VIDEOS](path, tasks) if suffix else _FolderScenes(path, tasks)


def _write(path: Path, picture: Picture) -> None:
    if not cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)):
        raise OSError(f'{path} cannot be written')
