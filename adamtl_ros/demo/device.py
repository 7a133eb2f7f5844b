# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A simulated device beside the live node: its battery and heat follow what the node spends."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np
from sensor_msgs.msg import BatteryState, Temperature

from adamtl_ros.governor.simulation import (
    Device,
    Scenario,
    ScenarioError,
    read_scenario,
    scenario_file,
    value_at,
)

if TYPE_CHECKING:
    from rclpy.node import Node

MOST_INTEGRAL = 1.0
"""Greatest `thermal.integral` that the node takes."""


def find_scenario(name: str) -> Scenario:
    """Read a scenario from a file, or one that ships by its name.

    Raises:
        ScenarioError: There is no such file, or a demo cannot play it.

    """
    scenario = read_scenario(scenario_file(name))
    if scenario.load != Scenario.load or scenario.user != Scenario.user:
        raise ScenarioError(
            f"'{name}' changes the load of the machine or the user's budget, which the demo does "
            'not; play it with adamtl simulate-governor'
        )
    return scenario


class SimulatedDevice:
    """Lives through the hours of a scenario while a recording of seconds is played.

    What the node spends warms it and drains it; it publishes `battery_state` and `temperature`,
    so that the node's own governor closes the loop.
    """

    def __init__(self, node: Node, namespace: str, scenario: Scenario, seconds: float) -> None:
        """Prepare.

        Args:
            node: Node to publish with.
            namespace: Of the topics.
            scenario: What the device goes through.
            seconds: Length of the recording.

        """
        self.scenario = scenario
        self.speed = 3600 * scenario.hours / seconds
        self._device = Device(scenario.device, float(self._at(scenario.ambient_c, 0.0)))
        self._battery = node.create_publisher(BatteryState, f'{namespace}/battery_state', 10)
        self._heat = node.create_publisher(Temperature, f'{namespace}/temperature', 10)
        self._node, self._now = node, 0.0

    def overrides(self) -> dict[str, str]:
        """Return the parameters of the node: what depends on time, as much faster as it runs."""
        governor = self.scenario.governor
        battery = {f'battery.{k}': v for k, v in dataclasses.asdict(governor.battery).items()}
        thermal = {f'thermal.{k}': v for k, v in dataclasses.asdict(governor.thermal).items()}
        faster = min(MOST_INTEGRAL, governor.thermal.integral * self.speed)
        values = {**battery, **thermal, 'thermal.integral': faster, 'governor.rise_per_s': 2.0}
        return {name: str(value).lower() for name, value in values.items()}

    def follow(self, played: float, budget: float) -> None:
        """Let the device live until this share of the recording, in 0..1, and tell of it."""
        then = played * 3600 * self.scenario.hours
        step = then - self._now
        if step > 0:
            scenario = self.scenario
            air, charger = (self._at(p, then) for p in (scenario.ambient_c, scenario.charger_w))
            self._device.step(step, budget, 1.0, air, charger)
            self._now = then
        self._tell(charging=self._at(self.scenario.charger_w, then) > 0)

    def _tell(self, *, charging: bool) -> None:
        stamp = self._node.get_clock().now().to_msg()
        if not math.isnan(self._device.charge):
            state = BatteryState(percentage=self._device.charge, present=True)
            state.voltage = state.current = math.nan
            state.header.stamp = stamp
            if charging:
                state.power_supply_status = BatteryState.POWER_SUPPLY_STATUS_CHARGING
            self._battery.publish(state)
        heat = Temperature(temperature=self._device.celsius)
        heat.header.stamp = stamp
        heat.header.frame_id = 'simulated_device'
        self._heat.publish(heat)

    @staticmethod
    def _at(profile: tuple[tuple[float, float], ...], seconds: float) -> float:
        return float(value_at(profile, np.array(seconds)))
