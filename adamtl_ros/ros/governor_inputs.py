# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Inputs of the governor: battery and temperature topics, thermal zones, latencies."""

from __future__ import annotations

import math
import re
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from sensor_msgs.msg import BatteryState, Temperature

from adamtl_ros.governor.governor import Decision, Governor
from adamtl_ros.governor.limiters.battery import BatteryReading
from adamtl_ros.governor.limiters.thermal import MAX_SENSORS
from adamtl_ros.governor.sensors import EnergyCounter, ThermalZones
from adamtl_ros.ros.topics import input_qos
from adamtl_ros.text import QUOTE_LIMIT, one_line

if TYPE_CHECKING:
    from rclpy.node import Node
    from rclpy.subscription import Subscription
    from rclpy.timer import Timer

    from adamtl_ros.ros.parameters import Parameters

PREFIX = 'jetson_stats/temp/'
"""Prefix of the names of temperature statuses."""


@dataclass(frozen=True)
class BoardTemperature:
    """Reading of a temperature sensor of the board.

    Attributes:
        name: Name of the status.
        celsius: Temperature [degrees Celsius]; NaN for a part that is switched off.
        warning_c: Temperature from which the board warns; infinite if unknown.
        critical: Whether the board reports overheating.

    """

    name: str
    celsius: float
    warning_c: float
    critical: bool


def board_temperatures(array: DiagnosticArray) -> list[BoardTemperature]:
    """Return the temperatures in a message; other statuses are ignored."""
    return [_board_temperature(status) for status in array.status if status.name.startswith(PREFIX)]


def _board_temperature(status: DiagnosticStatus) -> BoardTemperature:
    values = {pair.key: pair.value for pair in status.values}
    warning, celsius = _parse_celsius(values.get('Warning', '')), _parse_celsius(status.message)
    if math.isnan(warning):
        warning = celsius if status.level == DiagnosticStatus.WARN else math.inf
    critical = status.level == DiagnosticStatus.ERROR
    name = one_line(status.name, QUOTE_LIMIT)
    return BoardTemperature(name, celsius, warning, critical)


def _parse_celsius(text: str) -> float:
    """Return the number in a text such as '51.25C'; NaN if there is none."""
    found = re.fullmatch(r'\s*(-?\d+(?:\.\d+)?)\s*°?C\s*', text)
    return float(found[1]) if found else math.nan


POLL_S = 1.0
"""Period of reading the thermal zones and of looking for publishers [s]."""
UNNAMED = 'the temperature topic'
"""Source name until the publisher of the topic has sent a message."""
BOARD = 'jetson_stats on /diagnostics'
"""Source name until the board has sent a message."""
HOTTEST = 'hottest'
"""Value of `thermal.zone` that selects all zones."""
CHARGING = (
    BatteryState.POWER_SUPPLY_STATUS_CHARGING,
    BatteryState.POWER_SUPPLY_STATUS_FULL,
)


class GovernorInputs:
    """Governor of the node with its subscriptions and sensors; thread-safe.

    Times are of the steady clock, so that limits also hold while simulated time stands still.
    """

    def __init__(self, node: Node, parameters: Parameters) -> None:
        """Create the governor; `start()` subscribes.

        Args:
            node: Node to subscribe with.
            parameters: Parameters of the node.

        """
        self._node, self._parameters = node, parameters
        self._zones, self._energy = ThermalZones(), EnergyCounter()
        self._lock = threading.Lock()
        self._governor = Governor(parameters.settings.governor)
        self._poll_lock = threading.RLock()
        self._known_zones: set[str] = set()
        self._board_warnings: dict[str, float] = {}
        self._topic_received = False
        self._power_w = math.nan
        self._subscriptions: dict[str, Subscription[Any]] = {}
        self._timer: Timer | None = None

    def start(self) -> None:
        """Reset the governor, subscribe and start polling."""
        self._governor = Governor(self._parameters.settings.governor)
        self._known_zones, self._board_warnings = set(), {}
        self._topic_received = False
        self._power_w = math.nan
        subscribe = self._node.create_subscription
        self._subscriptions = {
            'battery': subscribe(BatteryState, 'battery_state', self._on_battery, input_qos()),
            'temperature': subscribe(Temperature, 'temperature', self._on_temperature, input_qos()),
        }
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = self._node.create_timer(POLL_S, self._poll, clock=steady)
        self._poll()

    def stop(self) -> None:
        """Unsubscribe and stop polling."""
        with self._poll_lock:
            if self._timer is not None:
                self._node.destroy_timer(self._timer)
                self._timer = None
            for subscription in self._subscriptions.values():
                self._node.destroy_subscription(subscription)
            self._subscriptions = {}

    def decide(self) -> Decision:
        """Return the budget of the next frame and the reason for it."""
        settings = self._parameters.settings
        with self._lock:
            if settings.governor is not self._governor.settings:
                self._governor.configure(settings.governor)
            return self._governor.decide(settings.budget, time.monotonic())

    def add_latency(self, budget: float, latency_ms: float) -> None:
        """Update the deadline limiter with the latency of a frame [ms] at its budget."""
        with self._lock:
            self._governor.deadline.update(budget, latency_ms)

    @property
    def battery(self) -> float:
        """State of charge of the battery, 0..1; NaN if unknown."""
        with self._lock:
            return self._governor.battery.charge

    @property
    def celsius(self) -> float:
        """Highest temperature [degrees Celsius]; NaN if none is known."""
        with self._lock:
            return self._governor.thermal.celsius

    def joules(self) -> float:
        """Return the energy used by the processor so far [J]; NaN if it cannot be read."""
        return self._energy.joules()

    def energy_since(self, joules: float, seconds: float) -> float:
        """Return the energy of a frame, including everything else that ran [J]; NaN if unknown.

        Args:
            joules: Result of `joules()` at the start of the frame.
            seconds: Duration of the frame, multiplied by the power of the battery where there is
                no energy counter.

        """
        counted = self.joules() - joules
        if math.isfinite(counted):
            return counted
        with self._lock:
            return self._power_w * seconds if self._governor.battery.fresh else math.nan

    def _on_battery(self, state: BatteryState) -> None:
        reading = BatteryReading(
            state.percentage, state.power_supply_status in CHARGING, state.present
        )
        watts = -state.voltage * state.current
        with self._lock:
            # The current of a charging battery is not that of the device.
            self._power_w = watts if math.isfinite(watts) and watts > 0 else math.nan
            self._governor.battery.update(reading, time.monotonic())

    def _on_temperature(self, message: Temperature) -> None:
        if not self._topic_received:
            self._topic_received = True
            self._unwatch(UNNAMED)
        source = one_line(message.header.frame_id, QUOTE_LIMIT) or 'temperature'
        self._update(source, message.temperature)

    def _on_diagnostics(self, array: DiagnosticArray) -> None:
        for board in board_temperatures(array):
            self._unwatch(BOARD)
            # Without a warning temperature in the message: the lowest at which it ever warned.
            warning = min(board.warning_c, self._board_warnings.get(board.name, math.inf))
            if board.name in self._board_warnings or len(self._board_warnings) < MAX_SENSORS:
                self._board_warnings[board.name] = warning
            celsius = board.celsius
            if board.critical and math.isnan(celsius):
                celsius = self._parameters.settings.governor.thermal.max_c
            if math.isnan(celsius):
                self._unwatch(board.name)  # a part that is switched off
            else:
                self._update(board.name, celsius, warning, too_hot=board.critical)

    def _update(
        self, source: str, celsius: float, trip_c: float = math.inf, *, too_hot: bool = False
    ) -> None:
        with self._lock:
            self._governor.thermal.update(
                source, celsius, time.monotonic(), trip_c=trip_c, too_hot=too_hot
            )

    def _unwatch(self, source: str) -> None:
        with self._lock:
            self._governor.thermal.unwatch(source)

    def _poll(self) -> None:
        """Read the zones, and watch the topics that have a publisher."""
        with self._poll_lock:
            if not self._subscriptions:
                return  # stopped from another thread meanwhile
            settings, now = self._parameters.settings, time.monotonic()
            self._subscribe_diagnostics(enabled=settings.thermal_diagnostics)
            with self._lock:
                if self._has_publisher('battery'):
                    self._governor.battery.watch(now)
                if self._has_publisher('temperature') and not self._topic_received:
                    self._governor.thermal.watch(UNNAMED, now)
            self._read_zones(settings.thermal_zone)

    def _read_zones(self, zone: str) -> None:
        """Read the named zone, or all; drop zones that are no longer selected."""
        found: dict[str, tuple[float, float]] = {}
        try:
            if zone:
                read = self._zones.read_all() if zone == HOTTEST else [self._zones.read(zone)]
                found = {f'zone {z.name}': (z.celsius, z.trip_c) for z in read}
        except ValueError as error:
            self._node.get_logger().warning(str(error), throttle_duration_sec=60.0)
            found = {f'zone {zone}': (math.nan, math.inf)}
        for source in self._known_zones - set(found):
            self._unwatch(source)
        self._known_zones = set(found)
        for source, (celsius, trip_c) in found.items():
            self._update(source, celsius, trip_c)

    def _has_publisher(self, name: str) -> bool:
        return self._node.count_publishers(self._subscriptions[name].topic_name) > 0

    def _subscribe_diagnostics(self, *, enabled: bool) -> None:
        subscribed = 'diagnostics' in self._subscriptions
        if enabled and not subscribed:
            self._subscriptions['diagnostics'] = self._node.create_subscription(
                DiagnosticArray, '/diagnostics', self._on_diagnostics, 10
            )
            with self._lock:
                self._governor.thermal.watch(BOARD, time.monotonic())
        elif subscribed and not enabled:
            self._node.destroy_subscription(self._subscriptions.pop('diagnostics'))
            for source in (BOARD, *self._board_warnings):
                self._unwatch(source)
            self._board_warnings = {}
