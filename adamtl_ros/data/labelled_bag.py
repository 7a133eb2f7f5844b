# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Bag with ground truth beside the camera as a data set of labelled images."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cv2
from rosbags.highlevel import AnyReaderError

from adamtl_ros.bags.ground_truth import (
    TRUTH_TOPICS,
    ClassMap,
    GroundTruth,
    TruthConfig,
    TruthSource,
    describe,
    find_truth_topics,
)
from adamtl_ros.bags.images import decode_image
from adamtl_ros.bags.reader import BagError, IssueLog, find_info, first_calibration, open_bag
from adamtl_ros.focal import info_focal
from adamtl_ros.labels import MAX_DEPTH_M, resize_nearest
from adamtl_ros.sample import DataError, Sample
from adamtl_ros.tasks import TASKS, Task, select

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from rosbags.highlevel import AnyReader


class LabelledBag:
    """Images of a bag with the ground truth that has exactly the same header stamp; a `Dataset`.

    Opening reads the bag once, for the stamps (0.1 to 0.2 s for 24 raw images with labels in
    SQLite3, or 180 compressed ones with depth in MCAP); an image and its labels are then read
    from their place, at about 1 ms, and decoded. Only the messages of the last image stay in
    memory. Each process opens the bag again, so that it works in data loaders; two threads must
    not share one.

    Masks (saliency, edges) are 0 and 1, or else 0..255. In one with a 1 and no values but
    0, 1 and 255, 255 is unknown.

    The focal length is that of the first `camera_info` beside the camera that has a matrix.

    Attributes:
        path: Path of the bag.
        camera: Topic of the images.
        truth: Topic of the ground truth by task.
        origins: The same as human-readable text.
        tasks: Tasks that have ground truth, with the class names of this data set.
        issues: Problems that did not stop the reading, such as class ids without a name.

    """

    def __init__(
        self,
        path: Path,
        camera: str = '',
        truth: Mapping[str, str] | None = None,
        classes: Mapping[str, Sequence[str] | Mapping[int, str]] | None = None,
        model_classes: Mapping[str, Sequence[str]] | None = None,
        *,
        depth_camera: bool = True,
        max_depth: float = MAX_DEPTH_M,
    ) -> None:
        """Find the topics and join them by stamp.

        Args:
            path: Folder of the bag, or a single .mcap file.
            camera: Topic of the images; by default as `find_camera` finds it.
            truth: Topics of ground truth by task, besides `/ground_truth/<task>/image`.
            classes: Class names by label task and id of the bag; by default those of a
                `LabelInfo` beside the ground truth, `<...>/label_info`, else those of the task
                table. With an id map (`{3: 'floor'}`), several ids may have one name, and ids
                that are named `ignore` or missing are unlabelled.
            model_classes: Class names of a model by label task, as the classes of this data
                set; ids of the bag are mapped to them by their names. By default the names of
                the bag are the classes.
            depth_camera: Whether a registered depth camera may serve as ground truth of depth
                and normals that have no topic of their own.
            max_depth: Greatest depth that is believed [m]; pixels beyond it are unknown.

        Raises:
            BagError: The bag cannot be read, or has no camera.
            DataError: No ground truth, or none with the stamp of an image.
            ValueError: A task that does not exist, classes for one that has none, a class that
                the model does not know, or a greatest depth that is not above 0.

        """
        self.path, self.issues = path, IssueLog()
        self._process = 0
        self._focals: dict[tuple[int, int], float] = {}
        reader = self._reader()
        types = {c.topic: c.msgtype for c in reader.connections if c.msgcount}
        select(classes or {}, find_truth_topics(path, types, truth or {}))
        tasks: dict[str, Task | None] = dict.fromkeys(TASKS)
        for name, of_model in (model_classes or {}).items():
            tasks[name] = TASKS[name].with_classes(of_model)
        config = replace(
            _config(camera, truth or {}, classes or {}),
            depth_camera=depth_camera,
            max_depth=max_depth,
        )
        self._truth = GroundTruth(path, reader, tasks, config, self.issues, index_camera=True)
        if not self._truth.sources:
            self._refuse(types)
        if self._truth.index.damage:
            raise BagError(f'{path} is damaged: {self._truth.index.damage}')
        self.camera = self._truth.camera
        sources = self._with_labels()
        self.tasks = {name: self._truth.tasks[name] for name in sources}
        self.truth = {name: source.topic for name, source in sources.items()}
        self.origins = {name: source.origin for name, source in sources.items()}
        self._stamps = self._labelled_stamps()

    def __len__(self) -> int:
        return len(self._stamps)

    def __getitem__(self, index: int) -> Sample:
        """Return a labelled image.

        Raises:
            IndexError: A number outside 0 to length - 1.
            DataError: An image or label that cannot be used, with its topic and stamp.

        """
        if not 0 <= index < len(self):
            raise IndexError(f'image {index} is outside 0 to {len(self) - 1}')
        stamp = self._stamps[index]
        image = self._read(stamp, None)
        if image is None:
            raise BagError(f'{self.path} is not as it was when it was opened; open it again')
        found = ((name, self._read(stamp, name)) for name in self.truth)
        labels = {
            name: resize_nearest(label, *image.shape[:2])
            for name, label in found
            if label is not None
        }
        focal = self._focal((image.shape[0], image.shape[1]))
        return Sample(image, labels, f'{self.path.name}/{stamp}', focal=focal)

    def _focal(self, size: tuple[int, int]) -> float:
        """Return the relative focal length of images of a size; NaN if unknown."""
        if size not in self._focals:
            reader = self._reader()
            info = first_calibration(reader, find_info(reader, self.camera))
            self._focals[size] = info_focal(info, size) if info else math.nan
        return self._focals[size]

    def __getstate__(self) -> dict[str, Any]:
        state = {
            key: value for key, value in self.__dict__.items() if key not in ('_bag', '_opened')
        }
        return {**state, '_process': 0}

    def close(self) -> None:
        """Close the file; the next access opens it again."""
        if self._process == os.getpid():
            self._opened.close()
        self._process = 0

    def _reader(self) -> AnyReader:
        # A forked process would share the position in the file with its parent.
        if self._process != os.getpid():
            self._opened = ExitStack()
            self._bag = self._opened.enter_context(open_bag(self.path))
            self._process = os.getpid()
        return self._bag

    def describe(self) -> list[str]:
        """Return lines of text: images and camera, and where the labels of each task are from."""
        head = f'{self.path.name}: {len(self)} labelled images on {self.camera}'
        return [head, *(f'  {task}: {origin}' for task, origin in self.origins.items())]

    def _refuse(self, types: Mapping[str, str]) -> None:
        found = ''.join(f'; {issue}' for issue in self.issues)
        raise DataError(
            f'{self.path}: no ground truth on {TRUTH_TOPICS["semseg"]} or the like for '
            f'{", ".join(TASKS)}, and no depth camera that could be one{found}; name the topics, '
            f'with --truth TASK=TOPIC or truth={{task: topic}}; it holds: {describe(types)}'
        )

    def _with_labels(self) -> dict[str, TruthSource]:
        """Return the sources by task, without a depth camera that no image shares a stamp with."""
        sources, images = self._truth.sources, self._truth.index.stamps(self.camera)
        empty = {name for name in sources if self._truth.stamps(name).isdisjoint(images)}
        unused = {name for name in empty if sources[name].depth_camera}
        if empty == set(sources) or not unused:
            return dict(sources)
        topic = sources[min(unused)].topic
        self.issues.add('depth camera is not used', f'{topic} has no header stamp of an image')
        return {name: source for name, source in sources.items() if name not in unused}

    def _labelled_stamps(self) -> list[int]:
        """Return the stamps of the images that have a label, in the order of recording."""
        stamps = {
            topic: self._truth.index.stamps(topic) for topic in (self.camera, *self.truth.values())
        }
        labelled = set().union(*(stamps[topic] for topic in self.truth.values()))
        found = [stamp for stamp in stamps[self.camera] if stamp in labelled]
        if not found:
            counts = ', '.join(f'{len(at)} stamps on {topic}' for topic, at in stamps.items())
            raise DataError(
                f'{self.path}: no ground truth has the header stamp of an image ({counts}); '
                'publish labels with the header of the image that they belong to'
            )
        return found

    def _read(self, stamp: int, task: str | None) -> NDArray[Any] | None:
        """Return the image of a stamp, or the label of a task if there is one."""
        topic = self.truth[task] if task else self.camera
        try:
            if task:
                return self._truth.read(self._reader(), task, stamp)
            return decode_image(self._truth.index.read(self._reader(), topic, stamp))
        except BagError as error:
            raise BagError(f'{self.path}: {error}') from error
        except (AnyReaderError, ValueError, struct.error, cv2.error) as error:
            raise DataError(f'{self.path}, {topic} at {stamp} ns: {error}') from error


def _config(
    camera: str,
    truth: Mapping[str, str],
    classes: Mapping[str, Sequence[str] | Mapping[int, str]],
) -> TruthConfig:
    maps: dict[str, Mapping[int, str]] = {}
    names: dict[str, Sequence[str]] = {}
    for task, given in classes.items():
        if isinstance(given, Mapping):
            maps[task] = given
        else:
            names[task] = given
    return TruthConfig(camera, truth, ClassMap(maps), names)
