# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Drivers of the node's budget during a demo: a sweep in steps, or a simulated device."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
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
    from rcl_interfaces.srv import SetParameters
    from rclpy.node import Node
    from rclpy.task import Future

BUDGETS = (1.0, 0.75, 0.5, 0.35)
"""Budgets of a sweep, each for an equal part of the recording."""


class BudgetSweep:
    """Driver that lowers the budget in steps over the recording.

    Attributes:
        problem: Reason why the node refused a budget; empty if it did not.

    """

    def __init__(self, node: Node, remote: str) -> None:
        """Connect to the parameters of the node, whose initial budget is the first one.

        Args:
            node: Node to call from; another thread spins it.
            remote: Full name of the node to control.

        """
        self.problem = ''
        self._client = AsyncParameterClient(node, remote)
        self._step = 0

    def update(self, progress: float, _effective_budget: float) -> None:
        """Set the budget if a new step has begun.

        Args:
            progress: Fraction of the recording that has been played, 0..1.

        Raises:
            RuntimeError: The node refused an earlier budget.

        """
        if self.problem:
            raise RuntimeError(f'the node refused a budget: {self.problem}')
        step = min(int(progress * len(BUDGETS)), len(BUDGETS) - 1)
        if step > self._step:
            self._step = step
            parameter = Parameter('budget', value=BUDGETS[step])
            self._client.set_parameters([parameter]).add_done_callback(self._check)

    def _check(self, future: Future[SetParameters.Response]) -> None:
        response = future.result() if future.exception() is None else None
        results = response.results if response else []
        refused = [result.reason for result in results if not result.successful]
        if refused or not results:
            self.problem = refused[0] if refused else f'no response: {future.exception()}'


MAX_INTEGRAL = 1.0
"""Upper limit of the parameter `thermal.integral`."""


def find_scenario(name: str) -> Scenario:
    """Read a scenario by its file or by the name of a shipped one.

    Raises:
        ScenarioError: The scenario does not exist, or is one that a demo cannot play.

    """
    scenario = read_scenario(scenario_file(name))
    if scenario.load != Scenario.load or scenario.user != Scenario.user:
        raise ScenarioError(
            f"'{name}' changes the load of the machine or the user's budget, which the demo does "
            'not; play it with adamtl simulate-governor'
        )
    return scenario


class SimulatedDevice:
    """Simulation of a device that goes through hours of a scenario during the recording.

    The compute of the node warms it and drains its battery. It publishes `battery_state` and
    `temperature`, from which the governor of the node sets the budget.
    """

    def __init__(self, node: Node, namespace: str, scenario: Scenario, seconds: float) -> None:
        """Start at the beginning of the scenario.

        Args:
            node: Node to publish with.
            namespace: Namespace of the topics.
            scenario: Device, environment and governor to simulate.
            seconds: Duration of the recording [s].

        """
        self.scenario = scenario
        self.speed = 3600 * scenario.hours / seconds
        self._device = Device(scenario.device, float(self._at(scenario.ambient_c, 0.0)))
        self._battery = node.create_publisher(BatteryState, f'{namespace}/battery_state', 10)
        self._heat = node.create_publisher(Temperature, f'{namespace}/temperature', 10)
        self._node, self._now = node, 0.0

    def parameters(self) -> dict[str, str]:
        """Return the parameters of the node, with rates scaled to the speed of the simulation."""
        governor = self.scenario.governor
        battery = {f'battery.{k}': v for k, v in dataclasses.asdict(governor.battery).items()}
        thermal = {f'thermal.{k}': v for k, v in dataclasses.asdict(governor.thermal).items()}
        faster = min(MAX_INTEGRAL, governor.thermal.integral * self.speed)
        values = {**battery, **thermal, 'thermal.integral': faster, 'governor.rise_per_s': 2.0}
        return {name: str(value).lower() for name, value in values.items()}

    def update(self, progress: float, effective_budget: float) -> None:
        """Advance the simulation and publish its state.

        Args:
            progress: Fraction of the recording that has been played, 0..1.
            effective_budget: Budget of the latest frame.

        """
        then = progress * 3600 * self.scenario.hours
        step = then - self._now
        if step > 0:
            scenario = self.scenario
            air, charger = (self._at(p, then) for p in (scenario.ambient_c, scenario.charger_w))
            self._device.step(step, effective_budget, 1.0, air, charger)
            self._now = then
        self._publish(charging=self._at(self.scenario.charger_w, then) > 0)

    def _publish(self, *, charging: bool) -> None:
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
