# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""PASCAL-Context data set: photographs with classes, human parts, normals, saliency, edges."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import cv2
import numpy as np

from adamtl_ros.data.image_folder import (
    FolderLayout,
    ImageFolder,
    find_file,
    read_map,
    read_mat,
    read_normals,
    unreadable,
)
from adamtl_ros.labels import class_ids, resize_nearest
from adamtl_ros.tasks import PASCAL_CLASSES, TASKS, UNLABELLED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from adamtl_ros.tasks import Task

PASCAL_TASKS = ('semseg', 'human_parts', 'normals', 'saliency', 'edges')

_PART_GROUPS = (
    'hair head lear lebrow leye mouth nose rear rebrow reye',
    'neck torso',
    'luarm ruarm',
    'lhand llarm rhand rlarm',
    'luleg ruleg',
    'lfoot llleg rfoot rlleg',
)
PART_IDS = {part: i for i, group in enumerate(_PART_GROUPS, 1) for part in group.split()}
"""Ids of `PASCAL_PARTS` for the 24 parts of a person in PASCAL-Part."""

_PERSON = 15

# The normals were predicted by a network trained on NYUDv2 only, so they are used only for those of
# the 459 classes of PASCAL-Context that NYUDv2 has by the same name, and for tvmonitor (427), its
# television; not for 'unknown'.
NORMALS_CLASSES = (
    3, 4, 6, 9, 10, 11, 13, 15, 17, 18, 22, 23, 29, 30, 33, 34, 36, 37, 38, 39, 41, 43, 46, 49, 50,
    51, 53, 55, 56, 59, 61, 62, 65, 66, 68, 69, 72, 73, 78, 83, 84, 85, 87, 88, 95, 96, 101, 104,
    105, 107, 111, 113, 115, 122, 124, 135, 141, 142, 143, 146, 150, 154, 157, 158, 159, 165, 172,
    174, 181, 183, 184, 191, 193, 195, 197, 199, 202, 213, 215, 216, 219, 220, 223, 225, 228, 230,
    232, 233, 238, 239, 242, 243, 246, 250, 251, 252, 255, 260, 261, 263, 269, 272, 273, 275, 281,
    283, 284, 285, 286, 287, 288, 290, 291, 292, 293, 295, 304, 307, 309, 310, 314, 315, 319, 323,
    329, 330, 331, 336, 342, 345, 349, 350, 351, 352, 355, 357, 368, 370, 371, 374, 379, 380, 383,
    384, 397, 401, 403, 405, 407, 408, 411, 412, 413, 414, 417, 419, 421, 423, 427, 429, 430, 432,
    440, 441, 442, 443, 444, 446, 454, 457,
)  # fmt: skip

_MAPS = 'pascal-context/trainval'
_FILES = {
    'human_parts': 'human_parts',
    'normals': 'normals_distill',
    'saliency': 'sal_distill',
    'edges': _MAPS,
}


class PascalContext(ImageFolder):
    """PASCAL-Context in the packaging of ASTMT (CVPR 2019), 4998 train and 5105 val images.

    The classes are the 21 of PASCAL VOC. An image without any human part is unlabelled for that
    task as a whole, not background. Normals and saliency were
    predicted by networks, not measured.
    """

    layout: ClassVar[FolderLayout] = FolderLayout(
        archive='PASCAL_MT.tgz (https://data.vision.ee.ethz.ch/kmaninis/share/MTL/PASCAL_MT.tgz)',
        splits='ImageSets/Context',
        images='JPEGImages',
        labels={
            'semseg': ('semseg',),
            **{task: (folder,) for task, folder in _FILES.items()},
            'normals': (_FILES['normals'], _MAPS),
        },
    )
    available: ClassVar[Mapping[str, Task]] = {name: TASKS[name] for name in PASCAL_TASKS}

    def __init__(
        self, root: Path, split: str = 'train', tasks: Iterable[str] = PASCAL_TASKS
    ) -> None:
        """Check the folders.

        Args:
            root: Folder that holds JPEGImages/, ImageSets/, semseg/ and so on.
            split: 'train' or 'val', a list in ImageSets/Context/.
            tasks: Tasks to read the labels of.

        Raises:
            DataError: A folder, the list of the split or an image is missing.
            ValueError: A task that the data set has no labels for.

        """
        super().__init__(root, split, tasks, self.available)

    def read_label(self, task: str, name: str) -> NDArray[np.generic] | None:
        """Return the label of an image; None if it has no file."""
        if task == 'semseg':
            return self._semseg(name)
        path = find_file(self.root / _FILES[task], name, ('.mat', '.png'))
        if path is None:
            return None
        if task == 'normals':
            return self._normals(name, path)
        return _READ[task](path)

    def _semseg(self, name: str) -> NDArray[np.uint8] | None:
        # The labels of VOC are finer, but not every image has one.
        for folder in ('VOC12', 'pascal-context'):
            path = find_file(self.root / 'semseg' / folder, name, ['.png'])
            if path:
                return class_ids(read_map(path), len(PASCAL_CLASSES), path)
        return None

    def _normals(self, name: str, path: Path) -> NDArray[np.float32] | None:
        areas = find_file(self.root / _MAPS, name, ['.mat'])
        if areas is None:
            return None
        # Stored with x left, y up and z towards the camera. This is not documented, but visible in
        # the figures of ASTMT: red grows to the left of a head, green to its top and on the
        # ground, blue is high everywhere. Its rotation augmentation is consistent only with this.
        normals = -read_normals(path)
        normals[~np.isin(resize_nearest(_areas(areas), *normals.shape[:2]), NORMALS_CLASSES)] = (
            np.nan
        )
        return normals


def label_edges(labels: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the boundaries between areas of different labels, thinned to a pixel.

    Args:
        labels: (H, W) labels of any integer type.

    Returns:
        (H, W) uint8, 1 on a boundary.

    """
    edges = np.zeros(labels.shape, np.uint8)
    down = labels[1:] != labels[:-1]
    right = labels[:, 1:] != labels[:, :-1]
    edges[1:] |= down
    edges[:-1] |= down
    edges[:, 1:] |= right
    edges[:, :-1] |= right
    return _thin(edges)


def _human_parts(path: Path) -> NDArray[np.uint8]:
    annotation = read_mat(path, 'anno')
    try:
        return _draw_parts(annotation)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise unreadable(path, f'it is not laid out like PASCAL-Part ({error!r})') from error


def _draw_parts(annotation: NDArray[Any]) -> NDArray[np.uint8]:
    """Draw the parts of all persons in order; one unlabelled pixel if there are none."""
    objects = annotation.ravel()[0][1].ravel()
    # An object is its class name, class number, mask and parts; a part is its name and mask.
    persons = [thing for thing in objects if thing[1].item() == _PERSON and thing[3].size]
    label = np.zeros(persons[0][2].shape if persons else (1, 1), np.uint8)
    for part in (part for person in persons for part in person[3].ravel()):
        label[part[1].astype(bool)] = PART_IDS[part[0].item()]
    return label if label.any() else np.full((1, 1), UNLABELLED, np.uint8)


def _saliency(path: Path) -> NDArray[np.uint8]:
    stored = read_map(path)
    if stored.ndim != 2:
        raise unreadable(path, f'saliency is (height, width), not {stored.shape}')
    return (stored > 127.5).astype(np.uint8)


def _areas(path: Path) -> NDArray[Any]:
    return read_mat(path, 'LabelMap')


def _edges(path: Path) -> NDArray[np.uint8]:
    return label_edges(_areas(path))


_READ = {'human_parts': _human_parts, 'saliency': _saliency, 'edges': _edges}


def _thin(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Thin lines to a pixel as Guo and Hall do (Communications of the ACM 32, 1989)."""
    # The neighbors of a pixel, clockwise from above, as the bits of a number.
    weights = np.array([[128, 1, 2], [64, 0, 4], [32, 16, 8]], np.float32)
    before = -1
    while before != (before := int(mask.sum())):
        for table in _removable():
            code = cv2.filter2D(mask, -1, weights, borderType=cv2.BORDER_CONSTANT)
            mask = mask & ~cv2.LUT(code, table)
    return mask


@lru_cache(maxsize=1)
def _removable() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return 1 for neighborhoods whose pixel is removed, for both sub-iterations."""
    bits = ((np.arange(256)[:, None] >> np.arange(8)) & 1).astype(bool)
    n, ne, e, se, s, sw, w, nw = bits.T
    corners = ((n, ne, e), (e, se, s), (s, sw, w), (w, nw, n))
    gaps = sum((~a & (b | c)).astype(int) for a, b, c in corners)
    pairs = sum((a | b).astype(int) for a, b in ((nw, n), (ne, e), (se, s), (sw, w)))
    shifted = sum((a | b).astype(int) for a, b in ((n, ne), (e, se), (s, sw), (w, nw)))
    fewest = np.minimum(pairs, shifted)
    common = (gaps == 1) & (fewest >= 2) & (fewest <= 3)
    first, second = (n | ne | ~se) & e, (s | sw | ~nw) & w
    return (common & ~first).astype(np.uint8), (common & ~second).astype(np.uint8)
