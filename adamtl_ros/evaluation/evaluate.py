# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Accuracy, MACs and time of a model on a data set, at one or more budgets."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from adamtl_ros.evaluation.metrics import PROTOCOLS, metric_for, rank_correlation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from adamtl_ros.evaluation.floors import Floors
    from adamtl_ros.evaluation.metrics import EvaluationProtocol, Metric
    from adamtl_ros.runtime.engine import Engine, Inference
    from adamtl_ros.sample import Dataset
    from adamtl_ros.tasks import Task


@dataclass(frozen=True)
class Evaluation:
    """Accuracy and cost of a model at a budget.

    Attributes:
        budget: Requested budget, a fraction of the full MACs.
        metrics: Values by task and metric.
        shares: (n,) fraction of the full MACs that was spent on each image.
        macs: Mean multiply-accumulates per image.
        difficulty: (n,) difficulty of each image, NaN where unknown.
        infer_ms: Median inference time of the network per image [ms].
        wall_ms: Median time per image from the image to all results [ms].
        input_sizes: Numbers of images by the size of the network input, such as '192x256'.

    """

    budget: float
    metrics: dict[str, dict[str, float]]
    shares: NDArray[np.float64]
    macs: float
    difficulty: NDArray[np.float64]
    infer_ms: float
    wall_ms: float
    input_sizes: dict[str, int]

    @property
    def share(self) -> float:
        """Mean fraction of the full MACs that was spent."""
        return float(self.shares.mean())

    @property
    def difficulty_correlation(self) -> float:
        """Rank correlation of spent MACs and difficulty; NaN where it is undefined."""
        return rank_correlation(self.shares, self.difficulty)

    def headline(self, tasks: Mapping[str, Task]) -> dict[str, float]:
        """Return the headline metric of each task.

        Args:
            tasks: Tasks by name.

        """
        return {name: values[tasks[name].metric] for name, values in self.metrics.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary for JSON; NaN becomes None."""
        return {
            'budget': self.budget,
            'metrics': {
                task: {name: _none_if_nan(value) for name, value in values.items()}
                for task, values in self.metrics.items()
            },
            'share': self.share,
            'share_spread': float(self.shares.std()),
            'macs': self.macs,
            'follows_difficulty': _none_if_nan(self.difficulty_correlation),
            'infer_ms': self.infer_ms,
            'wall_ms': self.wall_ms,
            'input_sizes': self.input_sizes,
            'images': len(self.shares),
        }


def evaluate(
    engine: Engine,
    dataset: Dataset,
    budgets: Sequence[float] = (1.0,),
    tasks: Iterable[str] | None = None,
    progress: Callable[[], None] | None = None,
    protocol: EvaluationProtocol = PROTOCOLS['standard'],
    floors: Floors | None = None,
) -> list[Evaluation]:
    """Run a model on every image of a data set, as the node does.

    Each image runs at all budgets in turn, so that their times compare although the speed of the
    machine changes.

    Args:
        engine: Engine of the model.
        dataset: Images with labels; an image without label of a task is ignored for the task.
        budgets: Budgets, each in (0, 1].
        tasks: Names of the active tasks; all tasks of the model with labels if not given.
        progress: Callback after each image.
        protocol: Protocol of the metrics.
        floors: Constant answers, to which the labels of each image are added.

    Returns:
        One evaluation per budget.

    Raises:
        ValueError: Tasks that the model or the data do not have, or that have other classes.

    Examples:
        >>> engine = Engine(load_model('indoor_lite0'))
        >>> full, half = evaluate(engine, PascalContext(root, 'val'), budgets=(1.0, 0.5))
        >>> full.metrics['semseg']['miou'], half.share

    """
    active = _select_tasks(engine.model.network.tasks, dataset.tasks, tasks)
    metrics = [{task.name: metric_for(task, protocol) for task in active} for _ in budgets]
    names = [task.name for task in active]
    runs: list[list[Inference]] = [[] for _ in budgets]
    difficulty = []
    for index in range(len(dataset)):
        sample = dataset[index]
        difficulty.append(sample.difficulty)
        if floors:
            floors.update(sample.labels)
        for accumulators, run, budget in zip(metrics, runs, budgets, strict=True):
            inference = engine.run(sample.image, budget, names, sample.focal)
            run.append(inference)
            _update(accumulators, inference, sample.labels)
            inference.results.clear()  # the costs are needed, the results would fill the memory
        if progress:
            progress()
    return [
        _summarize(budget, accumulators, run, np.array(difficulty))
        for budget, accumulators, run in zip(budgets, metrics, runs, strict=True)
    ]


def _update(metrics: dict[str, Metric], inference: Inference, labels: Mapping[str, Any]) -> None:
    for name, metric in metrics.items():
        if name in labels:
            metric.update(inference.results[name], labels[name])


def _summarize(
    budget: float,
    metrics: dict[str, Metric],
    run: Sequence[Inference],
    difficulty: NDArray[np.float64],
) -> Evaluation:
    times = [one.preprocess_ms + one.infer_ms + one.postprocess_ms for one in run]
    return Evaluation(
        budget,
        {name: metric.compute() for name, metric in metrics.items()},
        np.array([inference.cost.fraction for inference in run]),
        float(np.mean([inference.cost.macs for inference in run])),
        difficulty,
        float(np.median([inference.infer_ms for inference in run])),
        float(np.median(times)),
        dict(Counter('x'.join(map(str, one.input_size)) for one in run)),
    )


def _select_tasks(
    model: Mapping[str, Task], data: Mapping[str, Task], names: Iterable[str] | None
) -> list[Task]:
    """Return the tasks to evaluate: the given ones, or all of the model with labels."""
    shared = [name for name in model if name in data]
    selected = shared if names is None else list(names)
    missing = [name for name in selected if name not in shared]
    if missing or not selected:
        raise ValueError(
            f'the model has tasks {", ".join(model)}, the data set has labels for '
            f'{", ".join(data)}; '
            f'{missing or "nothing"} cannot be evaluated'
        )
    for name in selected:
        if model[name].classes != data[name].classes:
            raise ValueError(
                f"the classes of '{name}' differ: the model has {model[name].classes}, the data "
                f'{data[name].classes}'
            )
    return [model[name] for name in selected]


def _none_if_nan(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
