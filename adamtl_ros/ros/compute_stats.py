# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The `ComputeStats` message: what a frame cost, or that nothing ran."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from adamtl_ros.msg import ComputeStats
from adamtl_ros.runtime.governor import Reason

if TYPE_CHECKING:
    from rclpy.clock import Clock
    from std_msgs.msg import Header

    from adamtl_ros.runtime.engine import Inference
    from adamtl_ros.runtime.governor import Decision
    from adamtl_ros.runtime.statistics import Counts

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
        stats.effective_budget = max(decision.budget, cost.share)
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
