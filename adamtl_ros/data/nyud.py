# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""NYUDv2 data set: indoor images with 40 classes, depth, surface normals and edges."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from adamtl_ros.data.image_folder import (
    FolderLayout,
    ImageFolder,
    find_file,
    read_map,
    read_normals,
    unreadable,
)
from adamtl_ros.labels import binary_mask, class_ids, valid_depth
from adamtl_ros.tasks import TASKS, UNLABELLED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from adamtl_ros.tasks import Task

NYU_CLASSES = (
    'wall', 'floor', 'cabinet', 'bed', 'chair', 'sofa', 'table', 'door', 'window', 'bookshelf',
    'picture', 'counter', 'blinds', 'desk', 'shelves', 'curtain', 'dresser', 'pillow', 'mirror',
    'floor mat', 'clothes', 'ceiling', 'books', 'refrigerator', 'television', 'paper', 'towel',
    'shower curtain', 'box', 'whiteboard', 'person', 'night stand', 'toilet', 'sink', 'lamp',
    'bathtub', 'bag', 'other structure', 'other furniture', 'other prop',
)  # fmt: skip
"""The 40 classes of Gupta et al. (CVPR 2013) in order, without their 0, the background."""

NYUD_TASKS = ('semseg', 'normals', 'depth', 'edges')

# There are two archives of the same images: images and .mat files (ASTMT, 2019), and arrays and
# .png files (AdaMTL). Their folders have the same names.
_FILES = {
    'semseg': ('segmentation', ('.png', '.mat')),
    'normals': ('normals', ('.npy', '.png', '.jpg')),
    'depth': ('depth', ('.npy', '.mat')),
    'edges': ('edge', ('.npy', '.png')),
}


class Nyud(ImageFolder):
    """NYUDv2 in the packaging of the multi-task literature, 795 train and 654 val images.

    Depth is in meters, the normals are computed from it, the edges are those of the segmentation.
    """

    layout: ClassVar[FolderLayout] = FolderLayout(
        archive=(
            'NYUD_MT.tgz (https://data.vision.ee.ethz.ch/kmaninis/share/MTL/NYUD_MT.tgz or '
            'https://drive.google.com/file/d/14EAEMXmd3zs2hIMY63UhHPSFPDAkiTzw)'
        ),
        splits='gt_sets',
        images='images',
        labels={task: (folder,) for task, (folder, _) in _FILES.items()},
    )
    available: ClassVar[Mapping[str, Task]] = {
        'semseg': TASKS['semseg'].with_classes(NYU_CLASSES),
        **{name: TASKS[name] for name in NYUD_TASKS[1:]},
    }

    def __init__(self, root: Path, split: str = 'train', tasks: Iterable[str] = NYUD_TASKS) -> None:
        """Check the folders.

        Args:
            root: Folder that holds images/, gt_sets/, segmentation/ and so on.
            split: 'train' or 'val', a list in gt_sets/.
            tasks: Tasks to read the labels of.

        Raises:
            DataError: A folder, the list of the split or an image is missing.
            ValueError: A task that the data set has no labels for.

        """
        super().__init__(root, split, tasks, self.available)

    def read_label(self, task: str, name: str) -> NDArray[np.generic] | None:
        """Return the label of an image; None if it has no file."""
        folder, suffixes = _FILES[task]
        path = find_file(self.root / folder, name, suffixes)
        if path is None:
            return None
        if task == 'semseg':
            return _without_background(read_map(path, 'segmentation'), path)
        if task == 'normals':
            return _read_normals(path)
        label = read_map(path, 'depth')
        if label.ndim != 2:
            raise unreadable(path, f'a label of {task} is (height, width), not {label.shape}')
        return valid_depth(label) if task == 'depth' else binary_mask(label)


def _without_background(stored: NDArray[np.generic], path: Path) -> NDArray[np.uint8]:
    """Move the classes from 1..40 to 0..39; background (0) becomes unlabelled."""
    ids = class_ids(stored, len(NYU_CLASSES) + 1, path)
    return np.where((ids == 0) | (ids == UNLABELLED), UNLABELLED, ids - 1).astype(np.uint8)


def _read_normals(path: Path) -> NDArray[np.float32]:
    """Convert stored normals (x left, y up, z towards the camera) to the optical frame.

    Methods that train on this data set describe them as outward normals in the optical frame
    (baegwangbin/DSINE, issues 8 and 12), which is the same: a wall in front has z = 1.
    """
    return -read_normals(path)
