# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Health of the node as messages on `/diagnostics`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

if TYPE_CHECKING:
    from rclpy.time import Time

    from adamtl_ros.governor.governor import Decision
    from adamtl_ros.runtime.worker import FrameCounts

SILENT_AFTER_S = 2.0
"""Time without an image after which the input is stale [s]."""


@dataclass(frozen=True)
class Health:
    """State of one camera of the node.

    Attributes:
        node: Full name of the node.
        camera: Name of the camera; '' for the only one.
        model: Name of the model.
        trained: Whether the weights are trained, not random.
        adapter_failure: Reason why the last change of the adapter failed; empty if it did not.
        device: Torch device.
        engine: Engine that was chosen, and its precision.
        engine_choice: Why it was chosen; empty if there was no choice.
        image_topic: Topic of the images.
        silent_s: Time since the last image [s]; infinite before the first.
        counts: Numbers of frames since activation.
        new_counts: Numbers of frames since the last report.
        latency_ms: Median and 95th percentile of recent latencies [ms].
        deadline_ms: Latency above which a frame is late [ms]; 0: none.
        refusal: Reason why the last refused frame was refused.
        failures: Number of callbacks of the node that have failed.
        new_failure: What the last failure since the last report said; empty if there was none.
        focal: Relative focal length of the camera, NaN if unknown; None if nothing depends on it.
        lens_problem: Reason why it is unknown; empty if there is none.
        tasks: Enabled tasks.
        subscribed: Enabled tasks that have a subscriber.
        decision: Budget and what limits it.

    """

    node: str
    camera: str
    model: str
    trained: bool
    adapter_failure: str
    device: str
    engine: str
    engine_choice: str
    image_topic: str
    silent_s: float
    counts: FrameCounts
    new_counts: FrameCounts
    latency_ms: tuple[float, float]
    deadline_ms: float
    refusal: str
    failures: int
    new_failure: str
    focal: float | None
    lens_problem: str
    tasks: tuple[str, ...]
    subscribed: tuple[str, ...]
    decision: Decision


def diagnostics(health: Health, now: Time) -> DiagnosticArray:
    """Return the statuses of input, inference, governor and model."""
    parts = (_input, _inference, _governor, _model)
    array = DiagnosticArray(status=[part(health) for part in parts])
    array.header.stamp = now.to_msg()
    return array


def _input(health: Health) -> DiagnosticStatus:
    level, message = DiagnosticStatus.OK, 'images arrive'
    if health.new_failure:
        level, message = DiagnosticStatus.WARN, f'a callback failed: {health.new_failure}'
    elif health.silent_s > SILENT_AFTER_S:
        level, message = DiagnosticStatus.STALE, f'no image on {health.image_topic}'
    elif health.new_counts.refused:
        level, message = DiagnosticStatus.WARN, f'image refused: {health.refusal}'
    elif health.lens_problem:
        level, message = DiagnosticStatus.WARN, f'scale of depth unknown: {health.lens_problem}'
    values: dict[str, object] = {
        'topic': health.image_topic,
        'seconds since last image': f'{health.silent_s:.1f}',
        'received': health.counts.received,
        'refused': health.counts.refused,
        'failed callbacks': health.failures,
    }
    if health.focal is not None:
        known = not math.isnan(health.focal)
        values['relative focal length'] = f'{health.focal:.3f}' if known else 'unknown'
    return _status(health, 'input', level, message, values)


def _inference(health: Health) -> DiagnosticStatus:
    level, message = DiagnosticStatus.OK, 'running'
    if health.new_counts.late:
        level = DiagnosticStatus.WARN
        message = f'{health.new_counts.late} frames over the deadline of {health.deadline_ms:g} ms'
    elif not health.subscribed:
        message = 'idle: no subscriber'
    elif not health.new_counts.received:
        message = 'idle: no image'
    elif not health.new_counts.processed:
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
        'engine': health.engine,
        'engine choice': health.engine_choice,
        'tasks': ' '.join(health.tasks),
        'subscribed tasks': ' '.join(health.subscribed),
    }
    return _status(health, 'inference', level, message, values)


def _governor(health: Health) -> DiagnosticStatus:
    decision = health.decision
    level, message = DiagnosticStatus.OK, "the budget is the user's"
    if decision.input_problems:
        notes = '; '.join(f'{name}: {note}' for name, note in decision.input_problems.items())
        level, message = DiagnosticStatus.ERROR, notes
    elif decision.budget < decision.requested:
        level = DiagnosticStatus.WARN
        message = (
            f'budget {decision.budget:.2f} of {decision.requested:.2f} ({decision.reason.name})'
        )
    values: dict[str, object] = {
        'requested budget': f'{decision.requested:.3f}',
        'effective budget': f'{decision.budget:.3f}',
        'reason': decision.reason.name,
    }
    for reason, limit in decision.limits.items():
        values[f'{reason.name.lower()} budget'] = f'{limit.budget:.3f}'
        values[f'{reason.name.lower()} input'] = limit.input.value
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
