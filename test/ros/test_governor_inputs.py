# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Battery, heat and deadline of a live node, over real topics."""

import math
import time
from pathlib import Path

import numpy as np
import pytest
from adamtl_ros.msg import ComputeStats
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from helpers.ros_images import RELIABLE, image
from helpers.ros_parameters import change
from scipy.stats import spearmanr
from sensor_msgs.msg import BatteryState, Image, Temperature

from adamtl_ros.governor.governor import GovernorSettings, Reason
from adamtl_ros.governor.sensors import EnergyCounter, ThermalZones
from adamtl_ros.ros import governor_inputs
from adamtl_ros.ros.parameters import default_values, live_settings


class Robot:
    """Camera, battery and thermometer of a node."""

    def __init__(self, graph):
        self.graph = graph
        self.stats = graph.listen(ComputeStats, '/adamtl/compute_stats')
        self.health = graph.listen(DiagnosticArray, '/diagnostics')
        graph.listen(Image, '/adamtl/edges/image')
        create = graph.client.create_publisher
        self.camera = create(Image, 'image', RELIABLE)
        self.battery = create(BatteryState, 'battery_state', 10)
        self.heat = create(Temperature, 'temperature', 10)

    def until(self, condition, *others):
        """Publish images and other messages until a frame is as expected; return it."""

        def attempt():
            for publisher, message in others:
                publisher.publish(message)
            self.camera.publish(image())
            return any(s.tasks and condition(s) for s in self.stats)

        self.stats.clear()
        self.graph.until(attempt)
        return next(s for s in self.stats if s.tasks and condition(s))

    def charged(self, percentage, **fields):
        """Return a message of the battery."""
        state = BatteryState(percentage=percentage, present=True, **fields)
        return self.battery, state

    def governor_status(self):
        """Return the latest status of the governor."""
        for array in reversed(self.health):
            for status in array.status:
                if status.name == '/adamtl: governor':
                    return status
        return None


LINE = {'battery.high': 0.9, 'battery.low': 0.1, 'battery.floor_budget': 0.3}


def test_the_budget_follows_the_battery_down(graph):
    graph.perception(**LINE)
    robot = Robot(graph)
    charges = np.linspace(1.0, 0.05, 12)
    frames = []
    for charge in charges:
        line = min(1.0, max(0.3, 0.3 + 0.7 * (charge - 0.1) / 0.8))
        frames.append(
            robot.until(
                lambda s, line=line: abs(s.effective_budget - line) < 0.005,
                robot.charged(float(charge)),
            )
        )
    assert spearmanr(charges, [f.macs for f in frames]).statistic >= 0.9
    assert frames[0].limit_reason == ComputeStats.USER
    assert frames[-1].limit_reason == ComputeStats.BATTERY
    assert frames[-1].battery == pytest.approx(0.05)
    assert frames[-1].battery_budget == pytest.approx(0.3)
    assert math.isnan(frames[-1].thermal_budget)
    assert frames[-1].macs < 0.5 * frames[0].macs
    assert {f.requested_budget for f in frames} == {1.0}


def test_a_lower_user_budget_holds_and_the_parameter_is_never_written(graph):
    node = graph.perception(**LINE)
    robot = Robot(graph)
    low = robot.charged(0.5)
    limited = robot.until(lambda s: s.limit_reason == ComputeStats.BATTERY, low)
    assert limited.effective_budget == pytest.approx(0.65)
    assert node.parameters['budget'] == 1.0
    assert change(graph, 'budget', 0.4).successful
    found = robot.until(lambda s: s.requested_budget == pytest.approx(0.4), low)
    assert found.effective_budget == pytest.approx(0.4)
    assert found.limit_reason == ComputeStats.USER
    assert found.battery_budget == pytest.approx(0.65)


@pytest.mark.parametrize(
    'fields',
    [
        {'percentage': math.nan, 'present': True},
        {'percentage': -1.0, 'present': True},
        {'percentage': 0.1, 'present': False},
        {
            'percentage': 0.1,
            'present': True,
            'power_supply_status': BatteryState.POWER_SUPPLY_STATUS_CHARGING,
        },
    ],
)
def test_inputs_that_do_not_limit(graph, fields):
    node = graph.perception(**LINE)
    robot = Robot(graph)
    message = (robot.battery, BatteryState(voltage=12.0, current=-2.0, **fields))
    robot.until(lambda _: node.governor._power_w == 24.0, message)
    found = robot.until(lambda _: True, message)
    assert found.effective_budget == 1
    assert found.limit_reason == ComputeStats.USER


def test_energy_is_the_power_of_the_battery_for_the_time_of_a_frame(graph, monkeypatch):
    monkeypatch.setattr(governor_inputs, 'EnergyCounter', lambda: EnergyCounter(Path('/nowhere')))
    graph.perception()
    robot = Robot(graph)
    began = time.monotonic()
    assert math.isnan(robot.until(lambda _: True).energy)
    discharging = robot.charged(0.8, voltage=12.0, current=-2.5)
    found = robot.until(lambda s: not math.isnan(s.energy), discharging)
    work_ms = found.decode_ms + found.preprocess_ms + found.infer_ms + found.postprocess_ms
    assert 0.03 * work_ms < found.energy < 30 * (time.monotonic() - began)
    charging = robot.charged(0.8, voltage=12.0, current=2.5)
    robot.until(lambda s: math.isnan(s.energy), charging)


def test_a_battery_that_falls_silent_is_an_error_and_limits_nothing(graph):
    graph.perception(**LINE, **{'battery.timeout_s': 0.5})
    robot = Robot(graph)
    robot.until(lambda s: s.limit_reason == ComputeStats.BATTERY, robot.charged(0.1))
    found = robot.until(lambda s: s.limit_reason == ComputeStats.STALE)
    assert found.effective_budget == 1
    assert math.isnan(found.battery_budget)
    graph.until(
        lambda: robot.governor_status() and robot.governor_status().level == DiagnosticStatus.ERROR
    )
    assert 'battery: no battery state for' in robot.governor_status().message


def test_a_percent_scale_is_reported_and_not_guessed(graph):
    graph.perception(**LINE)
    robot = Robot(graph)
    robot.until(lambda s: s.limit_reason == ComputeStats.STALE, robot.charged(87.0))
    graph.until(
        lambda: robot.governor_status() and robot.governor_status().level == DiagnosticStatus.ERROR
    )
    assert 'battery.full_scale' in robot.governor_status().message
    assert change(graph, 'battery.full_scale', 100).successful
    robot.until(lambda s: abs(s.battery_budget - 0.65) < 1e-3, robot.charged(50.0))


def test_a_temperature_above_the_maximum_gives_the_floor(graph):
    graph.perception(model='scenes_nano')  # whose own floor is lower than that of the limiter
    robot = Robot(graph)
    hot = (robot.heat, Temperature(temperature=95.0))
    found = robot.until(lambda s: s.effective_budget == pytest.approx(0.25), hot)
    assert found.limit_reason == ComputeStats.THERMAL
    assert found.temperature == 95
    graph.until(
        lambda: robot.governor_status() and robot.governor_status().level == DiagnosticStatus.WARN
    )
    assert robot.governor_status().message == 'budget 0.25 of 1.00 (THERMAL)'
    cool = (robot.heat, Temperature(temperature=40.0))
    robot.until(lambda s: s.effective_budget > 0.4, cool)


def test_a_thermal_zone_is_read(graph, monkeypatch, tmp_path):
    zone = tmp_path / 'thermal_zone0'
    zone.mkdir()
    (zone / 'type').write_text('soc-thermal\n')
    (zone / 'temp').write_text('92000\n')
    monkeypatch.setattr(governor_inputs, 'ThermalZones', lambda: ThermalZones(tmp_path))
    graph.perception(**{'thermal.zone': 'soc-thermal'})
    robot = Robot(graph)
    found = robot.until(lambda s: s.limit_reason == ComputeStats.THERMAL)
    assert found.temperature == 92
    (zone / 'temp').write_text('55000\n')
    robot.until(lambda s: s.temperature == 55)
    assert change(graph, 'thermal.zone', 'gpu-thermal').successful
    graph.until(
        lambda: robot.governor_status() and robot.governor_status().level == DiagnosticStatus.ERROR
    )
    assert 'zone gpu-thermal' in robot.governor_status().message


def board(text, level=b'\x00', **values):
    pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
    return DiagnosticStatus(name='jetson_stats/temp/tj', message=text, level=level, values=pairs)


@pytest.mark.parametrize(
    ('status', 'budget'),
    [
        (board('51.25C'), 1.0),
        (board('101.50C'), 0.25),
        (board('60.0C', DiagnosticStatus.ERROR), 0.25),
        # Its own limit lies lower than thermal.target_c: 64 - 3 + 2 is 2 above the target.
        (board('63.0C', Warning='64.00C', Critical='70.00C'), 1 - 0.08 * 6),
        (board('63.0C', DiagnosticStatus.WARN), 1 - 0.08 * 7),
    ],
)
def test_jetson_stats_temperatures_are_read(graph, status, budget):
    graph.perception(**{'thermal.diagnostics': True, 'thermal.integral': 0.0})
    robot = Robot(graph)
    jetson = graph.client.create_publisher(DiagnosticArray, '/diagnostics', 10)
    found = robot.until(
        lambda s: s.thermal_budget == pytest.approx(budget),
        (jetson, DiagnosticArray(status=[status])),
    )
    assert found.temperature == pytest.approx(float(status.message[:-1]))


def test_a_sleeping_part_and_invalid_board_values_are_no_error(graph):
    node = graph.perception(**{'thermal.diagnostics': True})
    robot = Robot(graph)
    jetson = graph.client.create_publisher(DiagnosticArray, '/diagnostics', 10)
    for text in ('Offline', '1.2.3C', ''):
        array = DiagnosticArray(status=[board('50.0C')])
        robot.until(lambda s: s.temperature == 50, (jetson, array))
        array = DiagnosticArray(status=[board(text)])
        found = robot.until(lambda s: math.isnan(s.temperature), (jetson, array))
        assert found.limit_reason == ComputeStats.USER
    assert change(graph, 'thermal.diagnostics', value=False).successful
    graph.until(lambda: 'diagnostics' not in node.governor._subscriptions)


def test_a_board_that_is_expected_and_silent_is_an_error(graph):
    graph.perception(**{'thermal.diagnostics': True, 'thermal.timeout_s': 0.5})
    robot = Robot(graph)
    robot.until(lambda s: s.limit_reason == ComputeStats.STALE)
    graph.until(
        lambda: robot.governor_status() and robot.governor_status().level == DiagnosticStatus.ERROR
    )
    assert 'no temperature from jetson_stats on /diagnostics' in robot.governor_status().message


def test_all_zones_count_each_by_its_own_trip_point(graph, monkeypatch, tmp_path):
    for number, (celsius, trip) in enumerate([(70000, 95000), (66000, 67000)]):
        zone = tmp_path / f'thermal_zone{number}'
        zone.mkdir()
        (zone / 'type').write_text(f'zone-{number}\n')
        (zone / 'temp').write_text(f'{celsius}\n')
        (zone / 'trip_point_0_type').write_text('passive\n')
        (zone / 'trip_point_0_temp').write_text(f'{trip}\n')
    monkeypatch.setattr(governor_inputs, 'ThermalZones', lambda: ThermalZones(tmp_path))
    graph.perception(**{'thermal.zone': 'hottest', 'thermal.integral': 0.0})
    found = Robot(graph).until(lambda s: s.limit_reason == ComputeStats.THERMAL)
    assert found.temperature == 70
    assert found.thermal_budget == pytest.approx(1 - 0.08 * 6)


def test_a_deadline_lowers_the_budget(graph):
    graph.perception(deadline_ms=0.5)
    robot = Robot(graph)
    found = robot.until(lambda s: s.limit_reason == ComputeStats.DEADLINE)
    assert found.deadline_budget == pytest.approx(0.2)
    assert found.effective_budget < 1


def test_settings_that_contradict_each_other_are_refused(graph):
    node = graph.perception()
    refused = change(graph, 'battery.low', 0.9)
    assert not refused.successful
    assert refused.reason == 'battery.low 0.9 must be below battery.high 0.5'
    assert not change(graph, 'thermal.max_c', 60.0).successful
    assert node.parameters.settings.governor == GovernorSettings()
    with pytest.raises(ValueError, match=r'battery\.low 0\.8 must be below'):
        graph.perception(activate=False, **{'battery.low': 0.8})


def test_the_file_has_the_defaults_of_the_governor():
    assert live_settings(default_values()).governor == GovernorSettings()


def test_reasons_have_the_numbers_of_the_message():
    for reason in Reason:
        assert getattr(ComputeStats, reason.name) == reason
