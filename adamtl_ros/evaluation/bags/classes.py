# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the class ids of a recording mean in the classes of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import yaml

from adamtl_ros.tasks import TASKS, UNLABELLED, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from adamtl_ros.tasks import Task

IGNORE = 'ignore'
"""Stands for a class that the model does not know: where it is, results are not looked at."""


class ClassMap:
    """For each label task, the class of the model by class id of the recording."""

    def __init__(self, names: Mapping[str, Mapping[int, str]] | None = None) -> None:
        """Take names.

        Args:
            names: By task and id; `ignore`, or an id that is not there, is looked over.

        Raises:
            ValueError: A task without classes, or an id outside 0..254.

        """
        self.names = {task: dict(by_id) for task, by_id in (names or {}).items()}
        labels = [task.name for task in TASKS.values() if task.kind is Kind.LABELS]
        for task, by_id in self.names.items():
            if task not in labels:
                raise ValueError(f"class map for '{task}', choose from: {', '.join(labels)}")
            wrong = [i for i in by_id if type(i) is not int or not 0 <= i < UNLABELLED]
            if wrong:
                raise ValueError(f"class map for '{task}': id {wrong[0]!r} is not in 0..254")

    @classmethod
    def read(cls, path: Path) -> ClassMap:
        """Read a YAML file: under the name of each task, `id: class of the model`.

        Raises:
            ValueError: Not such a file.
            OSError: It cannot be read.

        """
        try:
            names = yaml.safe_load(path.read_text())
        except yaml.YAMLError as error:
            raise ValueError(f'{path} is not YAML: {error}') from error
        if not isinstance(names, dict) or not all(isinstance(v, dict) for v in names.values()):
            raise ValueError(f"{path}: expected 'semseg:' and below it lines such as '3: floor'")
        try:
            return cls(names)
        except ValueError as error:
            raise ValueError(f'{path}: {error}') from error

    def check(self, tasks: Mapping[str, Task]) -> None:
        """Refuse what a model does not have.

        Args:
            tasks: All that the model can do, with its classes.

        Raises:
            ValueError: A task or a class that the model does not know.

        """
        for name in self.names:
            if name not in tasks:
                labels = [one.name for one in tasks.values() if one.kind is Kind.LABELS]
                raise ValueError(
                    f"class map for '{name}', which the model does not do; choose from: "
                    f'{", ".join(labels) or "none"}'
                )
            self.table(name, tasks[name].classes)

    def unnamed(self, task: str, ids: NDArray[np.uint8]) -> dict[int, int]:
        """Return how many pixels have an id that is not in the map, by id; 255 is no class."""
        counts = np.bincount(ids.ravel(), minlength=256)
        known = {*self.names[task], UNLABELLED}
        return {int(i): int(counts[i]) for i in np.flatnonzero(counts) if int(i) not in known}

    def table(self, task: str, classes: Sequence[str]) -> NDArray[np.uint8]:
        """Return the model's class id by id of the recording, (256,), 255 where there is none.

        Args:
            task: Name of the task.
            classes: Class names of the model by id.

        Raises:
            ValueError: A class that the model does not know.

        """
        table = np.full(256, UNLABELLED, np.uint8)
        for number, name in self.names[task].items():
            if name == IGNORE:
                continue
            if name not in classes:
                raise ValueError(
                    f"class map: {task} {number} is '{name}', which the model does not know; "
                    f'choose from: {", ".join(classes)}, {IGNORE}'
                )
            table[number] = list(classes).index(name)
        return table
