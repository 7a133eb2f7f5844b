# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the governor hears: battery and temperature topics, thermal zones, latencies."""

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
from adamtl_ros.governor.sensors import EnergyCounter, ThermalZones
from adamtl_ros.ros.topics import input_qos

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclpy.node import Node
    from rclpy.subscription import Subscription
    from rclpy.timer import Timer

    from adamtl_ros.ros.parameters import LiveSettings

PREFIX = 'jetson_stats/temp/'
"""Names of the statuses begin so."""


@dataclass(frozen=True)
class BoardTemperature:
    """A sensor of the board.

    Attributes:
        name: Name of the status.
        celsius: Temperature [degrees Celsius]; NaN for a part that is switched off.
        warning_c: Where the board begins to warn; infinite if it does not say.
        critical: The board calls this too hot.

    """

    name: str
    celsius: float
    warning_c: float
    critical: bool


def board_temperatures(array: DiagnosticArray) -> list[BoardTemperature]:
    """Return the temperatures that a message holds; other statuses are left alone."""
    return [_read(status) for status in array.status if status.name.startswith(PREFIX)]


def _read(status: DiagnosticStatus) -> BoardTemperature:
    values = {pair.key: pair.value for pair in status.values}
    warning, celsius = _celsius(values.get('Warning', '')), _celsius(status.message)
    if math.isnan(warning):
        warning = celsius if status.level == DiagnosticStatus.WARN else math.inf
    critical = status.level == DiagnosticStatus.ERROR
    return BoardTemperature(status.name, celsius, warning, critical)


def _celsius(text: str) -> float:
    """Return the number of a text such as '51.25C', NaN if there is none."""
    found = re.fullmatch(r'\s*(-?\d+(?:\.\d+)?)\s*°?C\s*', text)
    return float(found[1]) if found else math.nan


POLL_S = 1.0
"""Time between two looks at the thermal zone and at who is there."""
UNNAMED = 'the temperature topic'
"""Stands for the sensors of a publisher that has not said anything yet."""
BOARD = 'jetson_stats on /diagnostics'
"""Stands for the sensors of a board that has not said anything yet."""
HOTTEST = 'hottest'
"""Value of `thermal.zone` for all zones."""
CHARGING = (
    BatteryState.POWER_SUPPLY_STATUS_CHARGING,
    BatteryState.POWER_SUPPLY_STATUS_FULL,
)


class GovernorInputs:
    """Listens for the governor, and asks it on behalf of the frames; for several threads.

    Times are of the steady clock: limits hold also while simulated time stands still.
    """

    def __init__(self, node: Node, settings: Callable[[], LiveSettings]) -> None:
        """Prepare; `start()` subscribes.

        Args:
            node: Node to subscribe with.
            settings: Gives the run-time parameters of this moment.

        """
        self._node, self._settings = node, settings
        self._zones, self._energy = ThermalZones(), EnergyCounter()
        self._lock = threading.Lock()
        self._governor = Governor(settings().governor)
        self._polling = threading.RLock()
        self._zones_heard: set[str] = set()
        self._boards_warn: dict[str, float] = {}
        self._topic_heard = False
        self._power_w = math.nan
        self._subscriptions: dict[str, Subscription[Any]] = {}
        self._timer: Timer | None = None

    def start(self) -> None:
        """Begin anew, subscribe, and begin to poll."""
        self._governor = Governor(self._settings().governor)
        self._zones_heard, self._boards_warn = set(), {}
        self._topic_heard = False
        self._power_w = math.nan
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
        with self._polling:
            if self._timer is not None:
                self._node.destroy_timer(self._timer)
                self._timer = None
            for subscription in self._subscriptions.values():
                self._node.destroy_subscription(subscription)
            self._subscriptions = {}

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
            joules: What `joules()` gave when its work began.
            seconds: How long that took; with the power of the battery where there is no counter.

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
            # A charging battery does not tell what the device spends.
            self._power_w = watts if math.isfinite(watts) and watts > 0 else math.nan
            self._governor.battery.hear(reading, time.monotonic())

    def _on_heat(self, message: Temperature) -> None:
        if not self._topic_heard:
            self._topic_heard = True
            self._forget(UNNAMED)
        self._hear(message.header.frame_id or 'temperature', message.temperature)

    def _on_diagnostics(self, array: DiagnosticArray) -> None:
        for board in board_temperatures(array):
            self._forget(BOARD)
            # The lowest temperature at which it ever warned, where it does not name one.
            warning = min(board.warning_c, self._boards_warn.get(board.name, math.inf))
            self._boards_warn[board.name] = warning
            celsius = board.celsius
            if board.critical and math.isnan(celsius):
                celsius = self._settings().governor.thermal.max_c
            if math.isnan(celsius):
                self._forget(board.name)  # a part that is switched off
            else:
                self._hear(board.name, celsius, warning, too_hot=board.critical)

    def _hear(
        self, source: str, celsius: float, trip_c: float = math.inf, *, too_hot: bool = False
    ) -> None:
        with self._lock:
            self._governor.thermal.hear(
                source, celsius, time.monotonic(), trip_c=trip_c, too_hot=too_hot
            )

    def _forget(self, source: str) -> None:
        with self._lock:
            self._governor.thermal.forget(source)

    def _poll(self) -> None:
        """Read the zones, and see whether those that should speak are there."""
        with self._polling:
            if not self._subscriptions:
                return  # stopped from another thread meanwhile
            settings, now = self._settings(), time.monotonic()
            self._listen_to_boards(wanted=settings.thermal_diagnostics)
            with self._lock:
                if self._has_publisher('battery'):
                    self._governor.battery.expect(now)
                if self._has_publisher('temperature') and not self._topic_heard:
                    self._governor.thermal.expect(UNNAMED, now)
            self._read_zones(settings.thermal_zone)

    def _read_zones(self, zone: str) -> None:
        """Read the zone of that name, or all; forget those that are not asked for any more."""
        found: dict[str, tuple[float, float]] = {}
        try:
            if zone:
                read = self._zones.read_all() if zone == HOTTEST else [self._zones.read(zone)]
                found = {f'zone {z.name}': (z.celsius, z.trip_c) for z in read}
        except ValueError as error:
            self._node.get_logger().warning(str(error), throttle_duration_sec=60.0)
            found = {f'zone {zone}': (math.nan, math.inf)}
        for source in self._zones_heard - set(found):
            self._forget(source)
        self._zones_heard = set(found)
        for source, (celsius, trip_c) in found.items():
            self._hear(source, celsius, trip_c)

    def _has_publisher(self, name: str) -> bool:
        return self._node.count_publishers(self._subscriptions[name].topic_name) > 0

    def _listen_to_boards(self, *, wanted: bool) -> None:
        listening = 'diagnostics' in self._subscriptions
        if wanted and not listening:
            self._subscriptions['diagnostics'] = self._node.create_subscription(
                DiagnosticArray, '/diagnostics', self._on_diagnostics, 10
            )
            with self._lock:
                self._governor.thermal.expect(BOARD, time.monotonic())
        elif listening and not wanted:
            self._node.destroy_subscription(self._subscriptions.pop('diagnostics'))
            for source in (BOARD, *self._boards_warn):
                self._forget(source)
            self._boards_warn = {}
