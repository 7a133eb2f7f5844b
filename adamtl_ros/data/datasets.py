# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Data sets made of others: several in a row, a part in time, another size."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING

from adamtl_ros.data.transforms import resized
from adamtl_ros.sample import DataError
from adamtl_ros.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from adamtl_ros.sample import Dataset, Sample
    from adamtl_ros.tasks import Task


class Joined:
    """Data sets in a row; a task has labels if it has some in any of them.

    Attributes:
        tasks: Those of all.

    """

    def __init__(self, members: Sequence[Dataset]) -> None:
        """Join.

        Args:
            members: At least one.

        Raises:
            DataError: A task whose classes are not the same everywhere.

        """
        self.members = list(members)
        self.tasks = _all_tasks(self.members)
        self._ends = list(accumulate(map(len, self.members)))

    def __len__(self) -> int:
        """Return the number of images."""
        return self._ends[-1]

    def __getitem__(self, index: int) -> Sample:
        """Return a labelled image.

        Raises:
            IndexError: A number outside 0 to length - 1.

        """
        _check(index, self)
        member = bisect_right(self._ends, index)
        return self.members[member][index - (self._ends[member - 1] if member else 0)]


class Part:
    """Consecutive images of a data set."""

    def __init__(self, whole: Dataset, images: range) -> None:
        """Choose them."""
        self.whole, self.images = whole, images

    @property
    def tasks(self) -> Mapping[str, Task]:
        """Those of the whole."""
        return self.whole.tasks

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        """Return a labelled image.

        Raises:
            IndexError: A number outside 0 to length - 1.

        """
        _check(index, self)
        return self.whole[self.images[index]]


class Resized:
    """The images of a data set at another height and width, whole, as the network sees them."""

    def __init__(self, whole: Dataset, size: tuple[int, int]) -> None:
        """Choose the size."""
        self.whole, self.size = whole, size

    @property
    def tasks(self) -> Mapping[str, Task]:
        """Those of the whole."""
        return self.whole.tasks

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.whole)

    def __getitem__(self, index: int) -> Sample:
        """Return a labelled image."""
        return resized(self.whole[index], self.size)


def split_in_time(count: int, holdout: float, gap: float) -> tuple[range, range]:
    """Return which images of a recording are learned from, and which are held out at its end.

    Neighbours in time look alike, so those between the two are left out.

    Args:
        count: Number of images.
        holdout: Share of them that is held out, at least one image.
        gap: Share of them that is left out before these.

    Raises:
        ValueError: Shares that leave nothing to one of the two.

    """
    first = count - max(1, round(count * holdout)) if holdout else count
    last = first - round(count * gap) if holdout else count
    if not (0 <= holdout < 1 and 0 <= gap < 1) or last < 1:
        raise ValueError(
            f'holdout {holdout} and gap {gap} of {count} images leave none to learn from; '
            'take less of both, or a longer recording'
        )
    return range(last), range(first, count)


def _all_tasks(members: Sequence[Dataset]) -> dict[str, Task]:
    found: dict[str, Task] = {}
    for member in members:
        for name, task in member.tasks.items():
            if found.setdefault(name, task).classes != task.classes:
                raise DataError(
                    f"the classes of '{name}' differ between the recordings: "
                    f'{list(found[name].classes)} and {list(task.classes)}'
                )
    return {name: found[name] for name in TASKS if name in found}


def _check(index: int, dataset: Dataset) -> None:
    if not 0 <= index < len(dataset):
        raise IndexError(f'image {index} is outside 0 to {len(dataset) - 1}')
