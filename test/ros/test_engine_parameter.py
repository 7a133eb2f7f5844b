# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The parameters `engine` and `precision`, and what the node says about the engine."""

import pytest
from adamtl_ros.msg import ComputeStats
from diagnostic_msgs.msg import DiagnosticArray
from helpers.ros_images import image, picture
from sensor_msgs.msg import Image

from adamtl_ros.engines import selection
from adamtl_ros.engines.backend import EngineError


def inference_values(messages):
    """Return the latest values of the status of the inference, by key."""
    for message in reversed(messages):
        for status in message.status:
            if status.name.endswith('inference'):
                return {value.key: value.value for value in status.values}
    return {}


def stats_of_frames(graph, wanted):
    """Publish images until the statistics of a frame are as wanted."""
    graph.listen(Image, '/adamtl/depth/image')
    stats = graph.listen(ComputeStats, '/adamtl/compute_stats')
    camera = graph.client.create_publisher(Image, 'image', 10)

    def found():
        camera.publish(image(picture(192, 256)))
        return any(s.tasks and (s.engine, s.precision) == wanted for s in stats)

    graph.until(found)


def test_graphs_run_in_the_node(graph):
    pytest.importorskip('openvino', reason='needs openvino')
    health = graph.listen(DiagnosticArray, '/diagnostics')
    graph.perception(model='nano', engine='openvino', precision='float32')
    stats_of_frames(graph, ('openvino', 'float32'))
    graph.until(lambda: inference_values(health).get('engine') == 'openvino float32')
    assert inference_values(health)['engine choice'] == 'as asked for'


def test_a_broken_engine_does_not_stop_the_node(graph, monkeypatch):
    def broken(candidates, precision):
        raise EngineError('out of order')

    monkeypatch.setitem(selection.MAKERS, 'openvino', broken)
    health = graph.listen(DiagnosticArray, '/diagnostics')
    graph.perception(model='nano', engine='openvino', precision='float32')
    stats_of_frames(graph, ('torch', 'float32'))
    graph.until(lambda: inference_values(health).get('engine') == 'torch float32')
    assert inference_values(health)['engine choice'] == 'nothing else can be used'


def test_unknown_engines_are_refused(graph):
    for name in ('engine', 'precision'):
        with pytest.raises(ValueError, match=f"'{name}' must be one of: auto, .*; got 'fast'"):
            graph.perception(activate=False, **{name: 'fast'})
