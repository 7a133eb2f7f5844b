# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The parameter services of the node: any request is answered, and what is set is valid."""

import math

import pytest
import rclpy
from helpers.hostile import many
from hypothesis import given
from hypothesis import strategies as st
from rcl_interfaces.msg import Parameter, ParameterValue
from rcl_interfaces.srv import GetParameters, SetParameters, SetParametersAtomically
from rclpy.context import Context

from adamtl_ros.ros.node import PerceptionNode
from adamtl_ros.ros.parameters import SPECS
from adamtl_ros.tasks import TASKS

LONG = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=['Cs'], exclude_characters='\0'), max_size=30)
NAMES = st.sampled_from([spec.name for spec in SPECS] + ['use_sim_time']) | TEXT
VALUES = st.builds(
    ParameterValue,
    type=st.integers(0, 9) | st.integers(0, 255),
    bool_value=st.booleans(),
    integer_value=LONG,
    double_value=st.floats() | st.floats(0, 1),
    string_value=TEXT | st.just('/' + 'a' * 300),
    byte_array_value=st.lists(st.integers(0, 255).map(lambda n: bytes([n])), max_size=3),
    bool_array_value=st.lists(st.booleans(), max_size=3),
    integer_array_value=st.lists(LONG, max_size=3),
    double_array_value=st.lists(st.floats(), max_size=3),
    string_array_value=st.lists(TEXT | st.sampled_from(sorted(TASKS)), max_size=3),
)
PARAMETERS = st.lists(st.builds(Parameter, name=NAMES, value=VALUES), min_size=1, max_size=4)


@pytest.fixture(scope='module')
def node(worker_domain):
    context = Context()
    rclpy.init(context=context, domain_id=next(worker_domain))
    node = PerceptionNode(context=context)
    yield node
    node.destroy_node()
    context.try_shutdown()


def check(node):
    """Check that all settings are in their ranges."""
    for spec in SPECS:
        value = node.parameters[spec.name]
        if spec.low is not None:
            assert spec.low <= value <= spec.high
        if isinstance(value, float):
            assert math.isfinite(value)
    assert set(node.parameters.settings.tasks) <= set(TASKS)
    assert not node.parameters.settings.governor.contradiction


@many
@given(PARAMETERS)
def test_set_parameters(node, parameters):
    request = SetParameters.Request(parameters=parameters)
    service = node._parameter_service
    response = service._set_parameters_callback(request, SetParameters.Response())
    assert len(response.results) == len(parameters)
    assert all(len(one.reason) <= 1000 for one in response.results)
    check(node)


@many
@given(PARAMETERS)
def test_set_parameters_atomically(node, parameters):
    request = SetParametersAtomically.Request(parameters=parameters)
    service = node._parameter_service
    before = [node.parameters[spec.name] for spec in SPECS]
    response = service._set_parameters_atomically_callback(
        request, SetParametersAtomically.Response()
    )
    if not response.result.successful:
        assert [node.parameters[spec.name] for spec in SPECS] == before
    check(node)


@many
@given(st.lists(NAMES, max_size=4))
def test_get_parameters(node, names):
    request = GetParameters.Request(names=names)
    node._parameter_service._get_parameters_callback(request, GetParameters.Response())
