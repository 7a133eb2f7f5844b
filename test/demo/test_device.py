# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Simulated device of the demo."""

import math

import pytest
from sensor_msgs.msg import BatteryState, Temperature

from adamtl_ros.demo.device import SimulatedDevice, find_scenario
from adamtl_ros.governor.simulation import ScenarioError
from adamtl_ros.ros.parameters import SPECS


class Node:
    """Stub of a node that keeps what is published."""

    def __init__(self):
        self.published = []

    def create_publisher(self, kind, topic, _qos):
        """Return itself as the publisher."""
        self.published.append((kind, topic))
        return self

    def publish(self, message):
        """Keep a message."""
        self.published.append(message)

    def get_clock(self):
        """Return itself as the clock."""
        return self

    def now(self):
        """Return itself as the time."""
        return self

    def to_msg(self):
        """Return the time 0."""
        return BatteryState().header.stamp


def test_hours_pass_while_seconds_are_played():
    node = Node()
    device = SimulatedDevice(node, '/demo', find_scenario('glasses_in_summer'), 60.0)
    assert node.published == [
        (BatteryState, '/demo/battery_state'),
        (Temperature, '/demo/temperature'),
    ]
    assert device.speed == pytest.approx(90)
    for played in (0.0, 0.5, 0.5, 1.0):
        device.update(played, 1.0)
    charges = [m.percentage for m in node.published[2:] if isinstance(m, BatteryState)]
    heat = [m.temperature for m in node.published[2:] if isinstance(m, Temperature)]
    assert charges[0] == 1
    assert charges[1] == charges[2] > charges[3] > 0
    # Idle in air of 24 degrees: 0.45 W of 11 degrees each.
    assert heat[0] == pytest.approx(24 + 0.45 * 11)
    assert heat[1] == heat[2] > heat[0]


def test_less_compute_is_cooler_and_lasts_longer():
    ends = []
    for budget in (1.0, 0.3):
        node = Node()
        device = SimulatedDevice(node, '', find_scenario('glasses_in_summer'), 60.0)
        for step in range(20):
            device.update(step / 20, budget)
        ends.append([m.temperature if isinstance(m, Temperature) else m.percentage
                     for m in node.published[-2:]])  # fmt: skip
    assert ends[1][0] > ends[0][0] + 0.1
    assert ends[1][1] < ends[0][1] - 1


def test_rates_are_scaled_to_the_simulation():
    scenario = find_scenario('glasses_in_summer')
    overrides = SimulatedDevice(Node(), '', scenario, 60.0).parameters()
    assert set(overrides) <= {spec.name for spec in SPECS}
    assert float(overrides['thermal.integral']) == pytest.approx(0.0015 * 90)
    assert overrides['battery.enabled'] == 'true'
    assert float(overrides['thermal.target_c']) == scenario.governor.thermal.target_c


def test_a_device_on_mains_has_no_battery_topic_to_speak_of(tmp_path):
    (tmp_path / 'mains.yaml').write_text('name: mains\nhours: 1\ndevice: {}\n')
    node = Node()
    device = SimulatedDevice(node, '', find_scenario(str(tmp_path / 'mains.yaml')), 60.0)
    device.update(0.5, 1.0)
    assert not [m for m in node.published[2:] if isinstance(m, BatteryState)]
    assert not math.isnan(node.published[-1].temperature)


def test_unplayable_scenarios_are_refused():
    with pytest.raises(ScenarioError, match='adamtl simulate-governor'):
        find_scenario('laptop_with_a_load_spike')


def test_an_unknown_scenario_names_those_that_there_are():
    with pytest.raises(ScenarioError, match=r"no scenario 'winter'.*glasses_in_summer"):
        find_scenario('winter')
