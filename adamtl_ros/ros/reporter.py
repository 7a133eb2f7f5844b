# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Publishes what the node did: compute statistics and diagnostics."""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from typing import TYPE_CHECKING, Any

from diagnostic_msgs.msg import DiagnosticArray

from adamtl_ros.governor.governor import Reason
from adamtl_ros.msg import ComputeStats
from adamtl_ros.ros.diagnostics import Health, diagnostics
from adamtl_ros.ros.topics import output_qos
from adamtl_ros.runtime.statistics import Counts, Statistics

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclpy.clock import Clock
    from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
    from std_msgs.msg import Header

    from adamtl_ros.governor.governor import Decision
    from adamtl_ros.ros.governor_inputs import GovernorInputs
    from adamtl_ros.ros.parameters import LiveSettings
    from adamtl_ros.runtime.adapter_manager import AdapterManager
    from adamtl_ros.runtime.engine import Inference

NAN = math.nan
OLDEST_S = 60.0
"""A stamp older than this, or from the future, belongs to another clock, such as a bag's."""


def frame_stats(
    header: Header,
    inference: Inference,
    model: str,
    decision: Decision,
    decode_ms: float,
    publish_ms: float,
    latency_ms: float,
    age_ms: float,
    energy: float,
) -> ComputeStats:
    """Describe a processed frame; the counters are left to `complete()`."""
    cost = inference.cost
    stats = ComputeStats(
        header=header,
        model=model,
        tasks=list(inference.results),
        **_governed(decision),
        macs=cost.macs,
        macs_full=cost.macs_full,
        blocks_run=cost.blocks_run,
        blocks_total=cost.blocks_total,
        windows_run=cost.windows_run,
        windows_total=cost.windows_total,
        decode_ms=decode_ms,
        preprocess_ms=float(inference.preprocess_ms),
        infer_ms=float(inference.infer_ms),
        postprocess_ms=float(inference.postprocess_ms),
        publish_ms=publish_ms,
        latency_ms=latency_ms,
        age_ms=age_ms,
        energy=energy,
    )
    if cost.floor:
        stats.effective_budget = max(decision.budget, cost.fraction)
        if decision.budget == decision.user:  # else who limits it is worth more to know
            stats.limit_reason = ComputeStats.FLOOR
    return stats


def idle_stats(model: str, decision: Decision) -> ComputeStats:
    """Describe a moment at which no frame is processed: every time is unknown."""
    return ComputeStats(
        model=model,
        **_governed(decision),
        decode_ms=NAN,
        preprocess_ms=NAN,
        infer_ms=NAN,
        postprocess_ms=NAN,
        publish_ms=NAN,
        latency_ms=NAN,
        age_ms=NAN,
        energy=NAN,
    )


def complete(stats: ComputeStats, sequence: int, device: str, counts: Counts) -> ComputeStats:
    """Fill in what all such messages share, but for what the sensors say."""
    stats.sequence = sequence
    stats.device = device
    stats.frames_received = counts.received
    stats.frames_processed = counts.processed
    stats.frames_dropped = counts.dropped
    stats.frames_idle = counts.idle
    stats.frames_refused = counts.refused
    stats.frames_late = counts.late
    return stats


def _governed(decision: Decision) -> dict[str, Any]:
    limits = {reason: opinion.limit for reason, opinion in decision.opinions.items()}
    return {
        'requested_budget': decision.user,
        'effective_budget': decision.budget,
        'limit_reason': int(decision.reason),
        'battery_budget': limits[Reason.BATTERY],
        'thermal_budget': limits[Reason.THERMAL],
        'deadline_budget': limits[Reason.DEADLINE],
    }


def age_ms(header: Header, clock: Clock) -> float:
    """Return how long ago an image was taken [ms]; NaN if its stamp is of another clock."""
    stamp = header.stamp.sec * 1_000_000_000 + header.stamp.nanosec
    age = int(clock.now().nanoseconds) - stamp
    return age / 1e6 if stamp and 0 <= age <= OLDEST_S * 1e9 else NAN


class Reporter:
    """The topics `~/compute_stats` and `/diagnostics`, and the counters behind them.

    Attributes:
        statistics: Counters since the last activation.
        refusal: Why the last refused frame was refused.
        image_topic: Where images are expected.

    """

    def __init__(
        self,
        node: LifecycleNode,
        camera: str,
        switch: AdapterManager,
        settings: Callable[[], LiveSettings],
        governing: GovernorInputs,
    ) -> None:
        """Prepare; `advertise()` makes the topics.

        Args:
            node: Node to publish with.
            camera: Name of the camera, before its topics; '' for the only one.
            switch: Has what runs the network.
            settings: Gives the run-time parameters of this moment.
            governing: Knows what limits the budget.

        """
        self._governing = governing
        self.statistics = Statistics()
        self.refusal = ''
        self._node, self._camera, self._settings = node, camera, settings
        self._switch = switch
        self._device = str(switch.engine.device)
        self._publishers: list[LifecyclePublisher[Any]] = []
        self._lock = threading.Lock()
        self.image_topic = ''
        self.restart()

    def advertise(self) -> None:
        """Make the topics."""
        create = self._node.create_lifecycle_publisher
        topic = f'~/{self._camera}/compute_stats' if self._camera else '~/compute_stats'
        self._publishers = [create(ComputeStats, topic, output_qos())]
        self._publishers.append(create(DiagnosticArray, '/diagnostics', 10))

    def destroy(self) -> None:
        """Withdraw the topics."""
        for publisher in self._publishers:
            self._node.destroy_lifecycle_publisher(publisher)
        self._publishers = []

    def restart(self) -> None:
        """Begin to count anew."""
        self.statistics = Statistics()
        self._last_image = -math.inf
        self._reported = Counts()
        self._sequence = 0

    def image_arrived(self) -> float:
        """Count an image and return the steady clock [s]."""
        self._last_image = time.monotonic()
        self.statistics.count('received')
        return self._last_image

    def publish_stats(self, stats: ComputeStats) -> None:
        """Fill in the counters and publish; from any thread."""
        with self._lock:
            self._sequence += 1
            counts = self.statistics.counts
            complete(stats, self._sequence, self._device, counts)
            stats.battery, stats.temperature = self._governing.battery, self._governing.celsius
            self._publishers[0].publish(stats)

    def report(self, wanted: tuple[str, ...]) -> None:
        """Publish the diagnostics, and statistics if no frame was processed since the last time.

        Args:
            wanted: Tasks that somebody subscribes to.

        """
        settings, fresh = self._settings(), self._fresh_counts()
        model = self._switch.engine.model
        decision = self._governing.decide()
        health = Health(
            node=self._node.get_fully_qualified_name(),
            camera=self._camera,
            model=model.name,
            trained=model.trained,
            adapter_failure=self._switch.failure,
            device=self._device,
            image_topic=self.image_topic,
            silent_s=time.monotonic() - self._last_image,
            counts=self._reported,
            fresh=fresh,
            latency_ms=self.statistics.latency_percentiles(),
            deadline_ms=settings.deadline_ms,
            refusal=self.refusal,
            tasks=settings.tasks,
            wanted=wanted,
            decision=decision,
        )
        self._publishers[1].publish(diagnostics(health, self._node.get_clock().now()))
        if not fresh.processed:
            self.publish_stats(idle_stats(model.name, decision))

    def _fresh_counts(self) -> Counts:
        """Return what was counted since the last report."""
        before, self._reported = self._reported, self.statistics.counts
        now = dataclasses.asdict(self._reported)
        return Counts(**{name: value - getattr(before, name) for name, value in now.items()})
