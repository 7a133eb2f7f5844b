# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Service calls that read and change the parameters of a node."""

from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter


def call(graph, kind, name, request):
    client = graph.client.create_client(kind, f'/adamtl/{name}')
    assert client.wait_for_service(30)
    future = client.call_async(request)
    graph.until(future.done)
    return future.result()


def change(graph, name, value):
    request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
    return call(graph, SetParameters, 'set_parameters', request).results[0]
