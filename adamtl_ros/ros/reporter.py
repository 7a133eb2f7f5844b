# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Compute statistics and diagnostics of one camera, and the counters behind them."""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from diagnostic_msgs.msg import DiagnosticArray

from adamtl_ros.governor.governor import Reason
from adamtl_ros.msg import ComputeStats
from adamtl_ros.ros.diagnostics import Health, diagnostics
from adamtl_ros.ros.lens import LensMonitor
from adamtl_ros.ros.topics import output_qos
from adamtl_ros.runtime.worker import FrameCounters, FrameCounts

if TYPE_CHECKING:
    from rclpy.clock import Clock
    from rclpy.lifecycle import LifecyclePublisher
    from std_msgs.msg import Header

    from adamtl_ros.engines.backend import Backend
    from adamtl_ros.governor.governor import Decision
    from adamtl_ros.ros.context import NodeContext, ProcessedFrame

NAN = math.nan
OLDEST_S = 60.0
"""Age above which a stamp is taken to be of another clock, such as that of a bag [s]."""
COST_FIELDS = (
    *('macs', 'macs_full'),
    *('blocks_run', 'blocks_total'),
    *('windows_run', 'windows_total'),
)
"""Fields of `nn.network.Cost` that `ComputeStats` has under the same names."""


@dataclass(frozen=True)
class FrameTimes:
    """Times and energy of a frame, named as in `ComputeStats`; NaN: unknown."""

    decode_ms: float = NAN
    preprocess_ms: float = NAN
    infer_ms: float = NAN
    postprocess_ms: float = NAN
    publish_ms: float = NAN
    latency_ms: float = NAN
    age_ms: float = NAN
    energy: float = NAN


def frame_stats(frame: ProcessedFrame, times: FrameTimes) -> ComputeStats:
    """Return the statistics of a processed frame; `complete()` fills in the counters."""
    cost, decision = frame.inference.cost, frame.decision
    stats = ComputeStats(
        header=frame.header,
        model=frame.model,
        engine=frame.inference.engine,
        precision=frame.inference.precision,
        tasks=list(frame.inference.results),
        **_budget_fields(decision),
        **{name: getattr(cost, name) for name in COST_FIELDS},
        **dataclasses.asdict(times),
    )
    if cost.floor:
        stats.effective_budget = max(decision.budget, cost.fraction)
        if decision.budget == decision.requested:  # else the limiter is the better reason
            stats.limit_reason = ComputeStats.FLOOR
    return stats


def idle_stats(model: str, backend: Backend, decision: Decision) -> ComputeStats:
    """Return statistics without a frame; all times are NaN."""
    times = dataclasses.asdict(FrameTimes())
    made_by = {'engine': backend.name, 'precision': backend.precision}
    return ComputeStats(model=model, **made_by, **_budget_fields(decision), **times)


def complete(stats: ComputeStats, sequence: int, device: str, counts: FrameCounts) -> ComputeStats:
    """Fill in the fields common to both kinds of statistics, except for the sensors."""
    stats.sequence = sequence
    stats.device = device
    for name, count in dataclasses.asdict(counts).items():
        setattr(stats, f'frames_{name}', count)
    return stats


def _budget_fields(decision: Decision) -> dict[str, Any]:
    return {
        'requested_budget': decision.requested,
        'effective_budget': decision.budget,
        'limit_reason': int(decision.reason),
        'battery_budget': decision.limits[Reason.BATTERY].budget,
        'thermal_budget': decision.limits[Reason.THERMAL].budget,
        'deadline_budget': decision.limits[Reason.DEADLINE].budget,
    }


def age_ms(header: Header, clock: Clock) -> float:
    """Return the age of an image [ms]; NaN if its stamp belongs to another clock."""
    stamp = header.stamp.sec * 1_000_000_000 + header.stamp.nanosec
    age = int(clock.now().nanoseconds) - stamp
    return age / 1e6 if stamp and 0 <= age <= OLDEST_S * 1e9 else NAN


class Reporter:
    """Publishers of `~/compute_stats` and `/diagnostics`, and the counters behind them.

    Attributes:
        counters: Counters since the last activation.
        refusal: Reason why the last refused frame was refused.
        image_topic: Topic of the images.
        lens: Monitor of the focal length.

    """

    def __init__(self, context: NodeContext) -> None:
        """Create the counters; `advertise()` creates the publishers."""
        self._context = context
        self._device = str(context.engine.device)
        self._publishers: list[LifecyclePublisher[Any]] = []
        self._lock = threading.Lock()
        self.refusal = ''
        self.image_topic = ''
        self.lens = LensMonitor(context)
        self.reset()

    def advertise(self) -> None:
        """Create the publishers."""
        create = self._context.node.create_lifecycle_publisher
        topic = self._context.private_topic('compute_stats')
        self._publishers = [create(ComputeStats, topic, output_qos())]
        self._publishers.append(create(DiagnosticArray, '/diagnostics', 10))

    def destroy(self) -> None:
        """Destroy the publishers."""
        for publisher in self._publishers:
            self._context.node.destroy_lifecycle_publisher(publisher)
        self._publishers = []

    def reset(self) -> None:
        """Reset the counters."""
        self.counters = FrameCounters()
        self.lens.reset()
        self._last_image = -math.inf
        self._reported = FrameCounts()
        self._failures = self._context.failures.count
        self._sequence = 0

    def image_arrived(self) -> float:
        """Count an image and return the time of the steady clock [s]."""
        self._last_image = time.monotonic()
        self.counters.count('received')
        return self._last_image

    def publish_stats(self, stats: ComputeStats) -> None:
        """Fill in counters and sensors and publish; thread-safe."""
        governor = self._context.governor
        with self._lock:
            self._sequence += 1
            complete(stats, self._sequence, self._device, self.counters.counts)
            stats.battery, stats.temperature = governor.battery, governor.celsius
            self._publishers[0].publish(stats)

    def report(self, subscribed: tuple[str, ...]) -> None:
        """Publish the diagnostics, and statistics if no frame was processed since the last call.

        Args:
            subscribed: Names of the tasks that have a subscriber.

        """
        health = self._health(subscribed)
        now = self._context.node.get_clock().now()
        self._publishers[1].publish(diagnostics(health, now))
        if not health.new_counts.processed:
            backend = self._context.engine.backend
            self.publish_stats(idle_stats(health.model, backend, health.decision))

    def _health(self, subscribed: tuple[str, ...]) -> Health:
        context, settings = self._context, self._context.settings
        engine = context.engine
        model, selection = engine.model, engine.selection
        new_counts = self._new_counts()
        return Health(
            node=context.node.get_fully_qualified_name(),
            camera=context.camera,
            model=model.name,
            trained=model.trained,
            adapter_failure=context.adapters.failure,
            device=self._device,
            engine=f'{engine.backend.name} {engine.backend.precision}',
            engine_choice=selection.reason if selection else '',
            image_topic=self.image_topic,
            silent_s=time.monotonic() - self._last_image,
            counts=self._reported,
            new_counts=new_counts,
            latency_ms=self.counters.latency_percentiles(),
            deadline_ms=settings.deadline_ms,
            refusal=self.refusal,
            failures=context.failures.count,
            new_failure=self._new_failure(),
            focal=self.lens.focal if self.lens.is_needed(subscribed) else None,
            lens_problem=self.lens.problem if self.lens.is_needed(subscribed) else '',
            tasks=settings.tasks,
            subscribed=subscribed,
            decision=context.governor.decide(),
        )

    def _new_failure(self) -> str:
        """Return what the last failure since the last report said."""
        failures, before = self._context.failures, self._failures
        self._failures = failures.count
        return failures.last if failures.count > before else ''

    def _new_counts(self) -> FrameCounts:
        """Return the counts since the last report."""
        before, self._reported = self._reported, self.counters.counts
        now = dataclasses.asdict(self._reported)
        return FrameCounts(**{name: value - getattr(before, name) for name, value in now.items()})
