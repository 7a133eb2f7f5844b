# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""One recording through the engine at every budget."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from adamtl_ros.bags.reader import bag_name
from adamtl_ros.evaluation.bags.pipeline import ModelInfo, score_recording
from adamtl_ros.evaluation.bags.process import calling
from adamtl_ros.governor.sensors import EnergyCounter
from adamtl_ros.tasks import select

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from adamtl_ros.evaluation.bags.pipeline import Answers
    from adamtl_ros.evaluation.bags.result import BagResult, EvaluationSettings
    from adamtl_ros.runtime.engine import Engine

    Progress = Callable[[], object]


def evaluate_bag(
    path: Path,
    engine: Engine,
    settings: EvaluationSettings,
    progress: Progress | None = None,
    name: str = '',
) -> BagResult:
    """Run a model on every frame of a recording.

    Reading, scoring and drawing go on in a process beside this one, at most some frames away.
    The same bag, model and number of threads give the same result, but for the times, on any
    machine of one kind and however fast it is.

    Args:
        path: Folder of the bag, or a single .mcap file.
        engine: With the model.
        settings: What to evaluate.
        progress: Called after each frame.
        name: Of the results, and of the folder for them; that of the bag if not given.

    Returns:
        What was found. A bag that cannot be read, or has not the topics and classes that
        were named, has `failure` set.

    Raises:
        ValueError: Tasks that the model does not have.
        NeighbourError: The process beside this one is lost.

    """
    begun = time.perf_counter()
    network = engine.model.network
    tasks = {
        name: network.tasks[name] for name in select(settings.tasks or network.tasks, network.tasks)
    }
    subject = ModelInfo(name or bag_name(path), engine.model.name, tasks, network.arch)
    # The other process may have started in another folder.
    settings = replace(settings, out=settings.out and settings.out.absolute())
    answer = _Answering(engine, settings.budgets, tasks)
    with calling(score_recording, path.absolute(), subject, settings) as desk:
        for image in desk:
            desk.tell(answer(image))
            if progress:
                progress()
    result: BagResult = desk.result
    result.wall_s = time.perf_counter() - begun
    return result


class _Answering:
    """The engine at all budgets, and the energy that each takes."""

    def __init__(self, engine: Engine, budgets: Iterable[float], tasks: Iterable[str]) -> None:
        self._engine, self._budgets, self._tasks = engine, tuple(budgets), tuple(tasks)
        self._energy = EnergyCounter()

    def __call__(self, image: NDArray[np.uint8]) -> Answers:
        answers, joules = [], []
        for budget in self._budgets:
            before = self._energy.joules()
            answers.append(self._engine.run(image, budget, self._tasks))
            joules.append(self._energy.joules() - before)
        return answers, joules
