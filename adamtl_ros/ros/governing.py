# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the governor hears: battery and temperature topics, thermal zones, latencies."""

from __future__ import annotations

import math
import re
import threading
import time
from typing import TYPE_CHECKING, Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from sensor_msgs.msg import BatteryState, Temperature

from adamtl_ros.ros.topics import input_qos
from adamtl_ros.runtime.governor import Decision, Governor
from adamtl_ros.runtime.limiters.battery import BatteryReading
from adamtl_ros.runtime.sensors import EnergyCounter, ThermalZones

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclpy.node import Node
    from rclpy.subscription import Subscription
    from rclpy.timer import Timer

    from adamtl_ros.ros.settings import Settings

POLL_S = 1.0
"""Time between two looks at the thermal zone and at who is there."""

UNNAMED = 'the temperature topic'
"""Stands for the sensors of a publisher that has not said anything yet."""

JETSON = 'jetson_stats/temp/'
"""Names of the temperatures that the jetson_stats nodes report begin so."""

CHARGING = (
    BatteryState.POWER_SUPPLY_STATUS_CHARGING,
    BatteryState.POWER_SUPPLY_STATUS_FULL,
)


class Governing:
    """Listens for the governor, and asks it on behalf of the frames; for several threads.

    Times are of the steady clock: limits hold also while simulated time stands still.
    """

    def __init__(
        self,
        node: Node,
        settings: Callable[[], Settings],
        zones: ThermalZones | None = None,
        energy: EnergyCounter | None = None,
    ) -> None:
        """Prepare; `start()` subscribes.

        Args:
            node: Node to subscribe with.
            settings: Gives the run-time parameters of this moment.
            zones: Thermal zones; those of this machine if not given.
            energy: Energy counter; that of this machine if not given.

        """
        self._node, self._settings = node, settings
        self._zones = zones or ThermalZones()
        self._energy = energy or EnergyCounter()
        self._lock = threading.Lock()
        self._governor = Governor(settings().governor)
        self._zone = ''
        self._power_w = math.nan
        self._subscriptions: dict[str, Subscription[Any]] = {}
        self._timer: Timer | None = None

    def start(self) -> None:
        """Subscribe, and begin to poll."""
        subscribe = self._node.create_subscription
        self._subscriptions = {
            'battery': subscribe(BatteryState, 'battery_state', self._on_battery, input_qos()),
            'temperature': subscribe(Temperature, 'temperature', self._on_heat, input_qos()),
        }
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = self._node.create_timer(POLL_S, self._poll, clock=steady)
        self._poll()

    def stop(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions.values():
            self._node.destroy_subscription(subscription)
        self._subscriptions = {}
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
            self._timer = None

    def decide(self) -> Decision:
        """Return the budget of the next frame, and why."""
        settings = self._settings()
        with self._lock:
            if settings.governor is not self._governor.settings:
                self._governor.configure(settings.governor)
            return self._governor.decide(settings.budget, time.monotonic())

    def frame_took(self, budget: float, latency_ms: float) -> None:
        """Take in how long a frame took under a budget."""
        with self._lock:
            self._governor.deadline.hear(budget, latency_ms)

    @property
    def battery(self) -> float:
        """State of charge, 0..1; NaN if it is not known."""
        with self._lock:
            return self._governor.battery.charge

    @property
    def celsius(self) -> float:
        """Hottest temperature [degrees Celsius]; NaN if none is known."""
        with self._lock:
            return self._governor.thermal.celsius

    def joules(self) -> float:
        """Return the energy that the processor spent so far [J]; NaN if it cannot be read."""
        return self._energy.joules()

    def energy_since(self, joules: float, seconds: float) -> float:
        """Return the energy of a frame [J], of all that ran meanwhile; NaN if not known.

        Args:
            joules: What `joules()` gave when it began.
            seconds: How long it took; with the power of the battery where there is no counter.

        """
        counted = self.joules() - joules
        return counted if math.isfinite(counted) else self._power_w * seconds

    def _on_battery(self, state: BatteryState) -> None:
        reading = BatteryReading(
            state.percentage, state.power_supply_status in CHARGING, state.present
        )
        watts = -state.voltage * state.current
        # A charging battery does not tell what the device spends.
        self._power_w = watts if math.isfinite(watts) and watts > 0 else math.nan
        with self._lock:
            self._governor.battery.hear(reading, time.monotonic())

    def _on_heat(self, message: Temperature) -> None:
        with self._lock:
            self._governor.thermal.forget(UNNAMED)
        self._hear(message.header.frame_id or 'temperature', message.temperature)

    def _on_diagnostics(self, array: DiagnosticArray) -> None:
        for status in array.status:
            if status.name.startswith(JETSON):
                number = re.match(r'\s*(-?[0-9.]+) *°?C', status.message)
                celsius = float(number[1]) if number else math.nan
                hot = status.level == DiagnosticStatus.ERROR
                if hot and math.isnan(celsius):
                    celsius = self._settings().governor.thermal.max_c
                warm = status.level == DiagnosticStatus.WARN
                # The board's own limits count: a warning is where it begins to throttle.
                self._hear(status.name, celsius, celsius if warm else math.inf, too_hot=hot)

    def _hear(
        self, source: str, celsius: float, trip_c: float = math.inf, *, too_hot: bool = False
    ) -> None:
        with self._lock:
            self._governor.thermal.hear(
                source, celsius, time.monotonic(), trip_c=trip_c, too_hot=too_hot
            )

    def _poll(self) -> None:
        settings, now = self._settings(), time.monotonic()
        self._listen_to_diagnostics(wanted=settings.thermal_diagnostics)
        with self._lock:
            if self._publisher_of('battery'):
                self._governor.battery.expect(now)
            if self._publisher_of('temperature') and math.isnan(self._governor.thermal.celsius):
                self._governor.thermal.expect(UNNAMED, now)
            if self._zone not in ('', settings.thermal_zone):
                self._governor.thermal.forget(f'zone {self._zone}')
        self._zone = settings.thermal_zone
        if self._zone:
            self._read_zone()

    def _read_zone(self) -> None:
        try:
            reading = self._zones.read(self._zone)
        except ValueError as error:
            self._node.get_logger().warning(str(error), throttle_duration_sec=60.0)
            self._hear(f'zone {self._zone}', math.nan)
        else:
            self._hear(f'zone {self._zone}', reading.celsius, reading.trip_c)

    def _publisher_of(self, name: str) -> bool:
        subscription = self._subscriptions.get(name)
        return subscription is not None and bool(
            self._node.count_publishers(subscription.topic_name)
        )

    def _listen_to_diagnostics(self, *, wanted: bool) -> None:
        listening = 'diagnostics' in self._subscriptions
        if wanted and not listening:
            self._subscriptions['diagnostics'] = self._node.create_subscription(
                DiagnosticArray, '/diagnostics', self._on_diagnostics, 10
            )
        elif listening and not wanted:
            self._node.destroy_subscription(self._subscriptions.pop('diagnostics'))
