# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A model on a data set, at one or more budgets: how good, how many MACs, how long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from adamtl_ros.evaluation.metrics import metric_for, rank_correlation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from adamtl_ros.evaluation.metrics import Metric
    from adamtl_ros.runtime.engine import Engine, Inference
    from adamtl_ros.sample import Dataset


@dataclass(frozen=True)
class Evaluation:
    """What a model is worth at a budget.

    Attributes:
        budget: Share of the full MACs that was asked for.
        metrics: Values by task and name.
        shares: Share of the full MACs that each image took, (n,).
        macs: Multiply-accumulates of an image, on average.
        difficulty: Of each image, (n,), NaN where nobody knows.
        infer_ms: Median time of the network on an image.

    """

    budget: float
    metrics: dict[str, dict[str, float]]
    shares: NDArray[np.float64]
    macs: float
    difficulty: NDArray[np.float64]
    infer_ms: float

    @property
    def share(self) -> float:
        """Mean share of the full MACs."""
        return float(self.shares.mean())

    @property
    def follows_difficulty(self) -> float:
        """Spearman's rank correlation of spent MACs and difficulty; NaN where it has none."""
        return rank_correlation(self.shares, self.difficulty)

    def headline(self, tasks: dict[str, Any]) -> dict[str, float]:
        """Return the value that stands for each task."""
        return {name: values[tasks[name].metric] for name, values in self.metrics.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary that JSON can hold; NaN is None."""
        return {
            'budget': self.budget,
            'metrics': {
                task: {name: _plain(value) for name, value in values.items()}
                for task, values in self.metrics.items()
            },
            'share': self.share,
            'share_spread': float(self.shares.std()),
            'macs': self.macs,
            'follows_difficulty': _plain(self.follows_difficulty),
            'infer_ms': self.infer_ms,
            'images': len(self.shares),
        }


def evaluate(
    engine: Engine,
    dataset: Dataset,
    budgets: Sequence[float] = (1.0,),
    tasks: Iterable[str] | None = None,
    progress: Callable[[], None] | None = None,
) -> list[Evaluation]:
    """Run a model on every image of a data set, as the node would.

    Every image runs at each budget in turn, so that the times can be compared although the
    machine drifts.

    Args:
        engine: With the model.
        dataset: Images with labels; an image without one for a task does not count for it.
        budgets: Each in (0, 1].
        tasks: Those in use; all of the model's that have labels if not given.
        progress: Called after each image.

    Raises:
        ValueError: Tasks that the model or the data do not have, or that have other classes.

    """
    wanted = _wanted(engine, dataset, tasks)
    known = engine.model.network.tasks
    metrics = [{name: metric_for(known[name]) for name in wanted} for _ in budgets]
    runs: list[list[Inference]] = [[] for _ in budgets]
    difficulty = []
    for index in range(len(dataset)):
        sample = dataset[index]
        difficulty.append(sample.difficulty)
        for some, run, budget in zip(metrics, runs, budgets, strict=True):
            inference = engine.run(sample.image, budget, wanted)
            run.append(inference)
            _score(some, inference, sample.labels)
            inference.results.clear()
        if progress:
            progress()
    return [
        _summary(budget, some, run, np.array(difficulty))
        for budget, some, run in zip(budgets, metrics, runs, strict=True)
    ]


def _score(metrics: dict[str, Metric], inference: Inference, labels: Any) -> None:  # noqa: ANN401
    for name, metric in metrics.items():
        if name in labels:
            metric.update(inference.results[name], labels[name])


def _summary(
    budget: float,
    metrics: dict[str, Metric],
    run: Sequence[Inference],
    difficulty: NDArray[np.float64],
) -> Evaluation:
    return Evaluation(
        budget,
        {name: metric.compute() for name, metric in metrics.items()},
        np.array([inference.cost.fraction for inference in run]),
        float(np.mean([inference.cost.macs for inference in run])),
        difficulty,
        float(np.median([inference.infer_ms for inference in run])),
    )


def _wanted(engine: Engine, dataset: Dataset, tasks: Iterable[str] | None) -> tuple[str, ...]:
    """Return the tasks to evaluate."""
    known = engine.model.network.tasks
    shared = [name for name in known if name in dataset.tasks]
    wanted = tuple(shared if tasks is None else tasks)
    missing = [name for name in wanted if name not in shared]
    if missing or not wanted:
        raise ValueError(
            f'the model knows {", ".join(known)}, the data {", ".join(dataset.tasks)}; '
            f'{missing or "nothing"} cannot be evaluated'
        )
    for name in wanted:
        if known[name].classes != dataset.tasks[name].classes:
            raise ValueError(
                f"the classes of '{name}' differ: the model has {known[name].classes}, the data "
                f'{dataset.tasks[name].classes}'
            )
    return wanted


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
