# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Machine-readable summary of an evaluation: `metrics.json`.

Everything except the entry `timing` is the same in every run on the same kind of machine.

Format 2 (since 0.1.0): `truth` has jackknife samples (`left_out`) and their checksum, so that two
evaluations can be compared in pairs.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import rosbags
import torch

import adamtl_ros
from adamtl_ros.config import json_value
from adamtl_ros.evaluation.bags.result import add_up, mac_fractions
from adamtl_ros.evaluation.machine import machine
from adamtl_ros.files import write_file
from adamtl_ros.nn.io.checkpoint import model_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from adamtl_ros.evaluation.bags.result import (
        BagResult,
        BudgetResult,
        EvaluationSettings,
        Streaming,
    )
    from adamtl_ros.evaluation.bags.scores import Scores
    from adamtl_ros.tasks import Task

FORMAT = 2
"""Version of the file format; increased when an entry changes its meaning."""

PERCENTILES = (5, 25, 50, 75, 90, 95, 99)
BINS = 40


def build_summary(
    results: Sequence[BagResult],
    settings: EvaluationSettings,
    tasks: Mapping[str, Task],
    wall_s: float,
) -> dict[str, Any]:
    """Return the content of `metrics.json`; NaN becomes None.

    Args:
        results: Result of each recording, in the order of the command line.
        settings: Settings of the evaluation.
        tasks: Tasks that ran, by name.
        wall_s: Duration of the whole evaluation [s].

    """
    totals = add_up(results, tasks)
    frames = sum(result.frames for result in results)
    summary = {
        'format': FORMAT,
        'settings': _settings(settings, tasks),
        'machine': machine(),
        'versions': versions(),
        'bags': [result.to_dict() for result in results],
        'frames': frames,
        'results': [_budget(total) for total in totals],
        'temporal': [
            {'bag': result.name, 'ways': [way.to_dict() for way in result.temporal]}
            for result in results
            if result.temporal
        ],
        'timing': {
            'when': datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds'),
            'wall_s': wall_s,
            'frames_per_s': frames / wall_s,
            'results': [_times(total) for total in totals],
            'temporal': [[way.times() for way in r.temporal] for r in results if r.temporal],
        },
    }
    converted: dict[str, Any] = json_value(summary)
    return converted


def write_summary(summary: Mapping[str, Any], path: Path) -> None:
    """Write a summary as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, json.dumps(summary, indent=1, sort_keys=True, allow_nan=False) + '\n')


def versions() -> dict[str, str]:
    """Return the versions of the software that computes results."""
    return {
        'adamtl_ros': adamtl_ros.__version__,
        'python': platform.python_version(),
        'torch': str(torch.__version__),
        'numpy': np.__version__,
        'opencv': cv2.__version__,
        'rosbags': getattr(rosbags, '__version__', '') or _distribution('rosbags'),
    }


def _settings(settings: EvaluationSettings, tasks: Mapping[str, Task]) -> dict[str, Any]:
    """Return the settings that determine the results, without paths of this machine."""
    return {
        'model': _model(settings),
        'budgets': settings.budgets,
        'tasks': list(tasks),
        'camera': settings.camera,
        'truth': dict(settings.truth),
        'classes': settings.classes.names,
        'threads': settings.threads,
        'engine': settings.engine,
        'precision': settings.precision,
        'realtime': settings.realtime,
        'shown': settings.shown,
        'max_depth': settings.max_depth,
    }


def _budget(total: BudgetResult) -> dict[str, Any]:
    fractions = mac_fractions(total.costs)
    return {
        'budget': total.budget,
        'live': total.from_recorded_node,
        'share': fractions.mean() if len(fractions) else None,
        'share_percentiles': _percentiles(fractions),
        'macs': float(np.mean([cost.macs for cost in total.costs])) if total.costs else None,
        'blocks': total.usage.blocks,
        **_quality(total.scores),
    }


def _quality(scores: Scores) -> dict[str, Any]:
    """Return metrics, their jackknife samples, and how far results differ."""
    labelled = {task: count for task, count in scores.truth.labelled.items() if count}
    values, samples = scores.truth.compute(), scores.truth.jackknife()
    return {
        'truth': {
            task: {'frames': count, 'values': values[task], **samples[task].to_dict()}
            for task, count in labelled.items()
        },
        'differs_from_full': scores.against_full.compute(),
        'flips': scores.flips.compute(),
    }


def _times(total: BudgetResult) -> dict[str, Any]:
    latency = np.array([cost.latency_ms for cost in total.costs])
    infer = np.array([cost.infer_ms for cost in total.costs])
    energy = np.array([cost.energy_j for cost in total.costs])
    known = np.isfinite(energy)
    top = float(np.percentile(latency, 99.5)) if len(latency) else 1.0
    counts, edges = np.histogram(np.minimum(latency, top), BINS, (0, top))
    return {
        'budget': total.budget,
        'latency_ms': _percentiles(latency),
        'infer_ms': _percentiles(infer),
        'energy_j': float(np.mean(energy[known])) if known.any() else None,
        'energy_frames': int(known.sum()),
        'histogram_ms': {'edges': edges, 'counts': counts},
        'streaming': _streaming(total.streaming) if total.streaming else None,
    }


def _streaming(streaming: Streaming) -> dict[str, Any]:
    return {
        'dropped': streaming.dropped,
        'blind': streaming.blind,
        'answers': len(streaming.ages_ms),
        'age_ms': _percentiles(np.array(streaming.ages_ms)),
        **_quality(streaming.scores),
    }


def _percentiles(values: np.ndarray[Any, Any]) -> dict[str, float | None]:
    if not len(values):
        return {f'p{p}': None for p in PERCENTILES}
    levels = np.percentile(values, PERCENTILES)
    return {f'p{p}': float(value) for p, value in zip(PERCENTILES, levels, strict=True)}


def _model(settings: EvaluationSettings) -> dict[str, str]:
    model = {'name': Path(settings.model).stem, 'sha256': _model_digest(settings.model)}
    if settings.adapter:
        model['name'] += f'+{settings.adapter.stem.removesuffix(".adapter")}'
        model['adapter_sha256'] = _digest(settings.adapter)
    return model


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _model_digest(model: str) -> str:
    """Return the SHA-256 of the model file; empty for seeded random weights."""
    path = model_file(model)
    return _digest(path) if path else ''


def _distribution(name: str) -> str:
    from importlib.metadata import version

    return version(name)
