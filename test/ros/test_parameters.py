# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Parameters: their defaults, ranges, and changes at run time over real services."""

import pytest
from adamtl_ros.msg import ComputeStats
from helpers.ros_images import RELIABLE, image
from helpers.ros_parameters import call, change
from rcl_interfaces.srv import DescribeParameters, GetParameters
from sensor_msgs.msg import Image

from adamtl_ros.ros.parameters import SPECS, default_values
from adamtl_ros.tasks import TASKS


def test_defaults_are_those_of_the_file(graph):
    node = graph.perception(activate=False, engine=None, precision=None)
    assert [spec.name for spec in SPECS] == list(default_values())
    for name, value in default_values().items():
        assert node.parameters[name] == value


@pytest.mark.parametrize('value', [0.5, 1, 1.0, 0.01])
def test_budget_takes_numbers_in_range(graph, value):
    """Integers are accepted too."""
    node = graph.perception()
    assert change(graph, 'budget', value).successful
    assert node.parameters.settings.budget == value
    assert isinstance(node.parameters['budget'], float)


@pytest.mark.parametrize('value', [0.0, 0, 2, 1.5, -1.0, float('nan'), float('inf'), 'half', True])
def test_budget_refuses_other_values(graph, value):
    node = graph.perception()
    result = change(graph, 'budget', value)
    assert not result.successful
    assert result.reason
    assert node.parameters.settings.budget == 1.0


def test_budget_changes_what_the_next_frame_costs(graph):
    graph.perception(model='scenes_nano')
    graph.listen(Image, '/adamtl/edges/image')
    stats = graph.listen(ComputeStats, '/adamtl/compute_stats')
    camera = graph.client.create_publisher(Image, 'image', RELIABLE)

    def frame_at(budget):
        camera.publish(image())
        return any(s.tasks and s.requested_budget == pytest.approx(budget) for s in stats)

    graph.until(lambda: frame_at(1.0))
    assert change(graph, 'budget', 0.5).successful
    graph.until(lambda: frame_at(0.5))
    full = next(s for s in stats if s.tasks)
    half = [s for s in stats if s.tasks][-1]
    assert full.macs == full.macs_full == half.macs_full
    assert half.macs <= 0.6 * half.macs_full  # a single frame may take 0.1 more
    assert half.blocks_run < half.blocks_total
    assert half.effective_budget == pytest.approx(0.5)
    assert change(graph, 'budget', 0.01).successful
    graph.until(lambda: frame_at(0.01))
    floor = [s for s in stats if s.tasks][-1]
    assert floor.limit_reason == ComputeStats.FLOOR
    assert floor.blocks_run == 0
    assert floor.effective_budget == pytest.approx(floor.macs / floor.macs_full)


def test_tasks_can_be_switched(graph):
    node = graph.perception()
    assert change(graph, 'tasks', ['edges', 'depth']).successful
    assert node.parameters.settings.tasks == ('edges', 'depth')
    results = {name: graph.listen(Image, f'/adamtl/{name}/image') for name in TASKS}
    camera = graph.client.create_publisher(Image, 'image', RELIABLE)

    def both():
        camera.publish(image())
        return results['edges'] and results['depth']

    graph.until(both)
    assert not results['semseg']
    refused = change(graph, 'tasks', ['edges', 'sky'])
    assert not refused.successful
    assert refused.reason.startswith("unknown task 'sky', choose from: semseg")
    assert not change(graph, 'tasks', []).successful
    assert node.parameters.settings.tasks == ('edges', 'depth')


@pytest.mark.parametrize('name', ['model', 'device', 'threads', 'image_transport', 'output_size'])
def test_structure_cannot_change_at_run_time(graph, name):
    graph.perception()
    result = change(graph, name, default_values()[name])
    assert not result.successful
    assert 'read-only' in result.reason


def test_every_parameter_is_described(graph):
    graph.perception()
    names = [spec.name for spec in SPECS]
    described = call(
        graph, DescribeParameters, 'describe_parameters', DescribeParameters.Request(names=names)
    ).descriptors
    assert all(d.description for d in described)
    by_name = {d.name: d for d in described}
    assert by_name['budget'].floating_point_range[0].from_value == 0.01
    assert by_name['threads'].integer_range[0].to_value == 1024
    assert by_name['image_transport'].additional_constraints == 'One of: raw, compressed'
    got = call(graph, GetParameters, 'get_parameters', GetParameters.Request(names=names)).values
    assert all(value.type for value in got)


def test_whole_number_as_start_value(graph):
    """`-p budget:=1` on a command line is an integer."""
    node = graph.perception(activate=False, budget=1, max_rate_hz=5)
    assert node.parameters.settings.budget == 1.0
    assert isinstance(node.parameters.settings.max_rate_hz, float)


@pytest.mark.parametrize(
    ('name', 'value', 'text'),
    [
        ('budget', 7.0, r"'budget' must lie in \[0.01, 1.0\], got 7.0"),
        ('budget', float('nan'), "'budget' must lie in"),
        ('budget', 'much', "'budget' must be of type float such as 1.0, got 'much'"),
        ('threads', -1, "'threads' must lie in"),
        ('threads', 1.5, "'threads' must be of type int"),
        ('image_transport', 'theora', "must be one of: raw, compressed; got 'theora'"),
        ('tasks', ['sky'], "unknown task 'sky'"),
    ],
)
def test_invalid_start_values_are_refused(graph, name, value, text):
    with pytest.raises(ValueError, match=text):
        graph.perception(activate=False, **{name: value})
