# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The node's health as `/diagnostics`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

if TYPE_CHECKING:
    from rclpy.time import Time

    from adamtl_ros.governor.governor import Decision
    from adamtl_ros.runtime.statistics import Counts

SILENT_AFTER_S = 2.0
"""Without an image for so long, the input is stale."""


@dataclass(frozen=True)
class Health:
    """What the node knows of itself.

    Attributes:
        node: Full name of the node.
        camera: Name of the camera; '' for the only one.
        model: Name of the network.
        trained: The weights are not random.
        adapter_failure: Why the adapter that was asked for last is not in force; empty if it is.
        device: Torch device.
        image_topic: Topic of the camera.
        silent_s: Seconds since the last image; infinite before the first.
        counts: What became of the frames.
        fresh: The same for the time since the last report.
        latency_ms: Median and 95th percentile of recent latencies.
        deadline_ms: Latency above which a frame is late; 0 is none.
        refusal: Why the last refused frame was refused.
        tasks: Tasks that may run.
        wanted: Those that somebody subscribes to.
        decision: What limits the budget.

    """

    node: str
    camera: str
    model: str
    trained: bool
    adapter_failure: str
    device: str
    image_topic: str
    silent_s: float
    counts: Counts
    fresh: Counts
    latency_ms: tuple[float, float]
    deadline_ms: float
    refusal: str
    tasks: tuple[str, ...]
    wanted: tuple[str, ...]
    decision: Decision


def diagnostics(health: Health, now: Time) -> DiagnosticArray:
    """Report the input, the inference, the governor and the model."""
    parts = (_input, _inference, _governor, _model)
    array = DiagnosticArray(status=[part(health) for part in parts])
    array.header.stamp = now.to_msg()
    return array


def _input(health: Health) -> DiagnosticStatus:
    level, message = DiagnosticStatus.OK, 'images arrive'
    if health.silent_s > SILENT_AFTER_S:
        level, message = DiagnosticStatus.STALE, f'no image on {health.image_topic}'
    elif health.fresh.refused:
        level, message = DiagnosticStatus.WARN, f'image refused: {health.refusal}'
    values = {
        'topic': health.image_topic,
        'seconds since last image': f'{health.silent_s:.1f}',
        'received': health.counts.received,
        'refused': health.counts.refused,
    }
    return _status(health, 'input', level, message, values)


def _inference(health: Health) -> DiagnosticStatus:
    level, message = DiagnosticStatus.OK, 'running'
    if health.fresh.late:
        level = DiagnosticStatus.WARN
        message = f'{health.fresh.late} frames over the deadline of {health.deadline_ms:g} ms'
    elif not health.wanted:
        message = 'idle: no subscriber'
    elif not health.fresh.received:
        message = 'idle: no image'
    elif not health.fresh.processed:
        level, message = DiagnosticStatus.WARN, 'no frame finished since the last report'
    median, high = health.latency_ms
    values = {
        'processed': health.counts.processed,
        'dropped': health.counts.dropped,
        'idle': health.counts.idle,
        'late': health.counts.late,
        'latency p50 [ms]': f'{median:.1f}',
        'latency p95 [ms]': f'{high:.1f}',
        'device': health.device,
        'tasks': ' '.join(health.tasks),
        'subscribed tasks': ' '.join(health.wanted),
    }
    return _status(health, 'inference', level, message, values)


def _governor(health: Health) -> DiagnosticStatus:
    decision = health.decision
    level, message = DiagnosticStatus.OK, "the budget is the user's"
    if decision.silent:
        notes = '; '.join(f'{name}: {note}' for name, note in decision.silent.items())
        level, message = DiagnosticStatus.ERROR, notes
    elif decision.budget < decision.user:
        level = DiagnosticStatus.WARN
        message = f'budget {decision.budget:.2f} of {decision.user:.2f} ({decision.reason.name})'
    values: dict[str, object] = {
        'requested budget': f'{decision.user:.3f}',
        'effective budget': f'{decision.budget:.3f}',
        'reason': decision.reason.name,
    }
    for reason, opinion in decision.opinions.items():
        values[f'{reason.name.lower()} budget'] = f'{opinion.limit:.3f}'
        values[f'{reason.name.lower()} input'] = opinion.input.value
    return _status(health, 'governor', level, message, values)


def _model(health: Health) -> DiagnosticStatus:
    level = DiagnosticStatus.OK if health.trained else DiagnosticStatus.WARN
    message = 'loaded' if health.trained else 'random weights: the results mean nothing'
    if health.adapter_failure:
        level, message = DiagnosticStatus.WARN, f'adapter not changed: {health.adapter_failure}'
    return _status(health, 'model', level, message, {'name': health.model})


def _status(
    health: Health, part: str, level: bytes, message: str, values: dict[str, object]
) -> DiagnosticStatus:
    pairs = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    return DiagnosticStatus(
        level=level,
        name=f'{health.node}: {health.camera} {part}'.replace('  ', ' '),
        message=message,
        hardware_id=health.node,
        values=pairs,
    )
