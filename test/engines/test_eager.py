# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The eager engine: normalization, the network's own maps, precision, threads."""

import numpy as np
import pytest
import torch
from helpers import small

from adamtl_ros.engines.backend import EngineError, Graph
from adamtl_ros.engines.eager import TorchBackend, torch_threads
from adamtl_ros.nn.gating.plan import uniform_plan
from adamtl_ros.nn.io.checkpoint import Model

IMAGE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
ALL = tuple(small.TASKS)


def graph_of(network):
    return Graph(uniform_plan(network.arch.depths), (64, 64), ALL)


def test_normalized_values_by_hand():
    """A uniform color is normalized by channel, in RGB order."""
    image = np.full((8, 6, 3), (255, 0, 51), np.uint8)
    batch = TorchBackend(Model(small.network(), 'small')).normalized(image)
    assert (batch.shape, batch.dtype) == ((1, 3, 8, 6), torch.float32)
    expected = [(1 - 0.485) / 0.229, -0.456 / 0.224, (0.2 - 0.406) / 0.225]
    for channel, value in enumerate(expected):
        torch.testing.assert_close(batch[0, channel], torch.full((8, 6), value))


@pytest.mark.parametrize('make', [small.network, small.lite])
def test_a_plan_gives_the_maps_of_the_network(make):
    network = make()
    engine = TorchBackend(Model(network, 'small'))
    found = engine.run(IMAGE, graph_of(network))
    with torch.inference_mode():
        expected = network(engine.normalized(IMAGE), 1.0).maps
    assert (found.engine, found.precision, found.tasks) == ('torch', 'float32', ALL)
    for name, raw in expected.items():
        np.testing.assert_allclose(found.maps[name], raw[0].numpy(), atol=1e-4, rtol=1e-3)


def test_the_policy_decides_as_in_the_network():
    network = small.network()
    engine = TorchBackend(Model(network, 'small'))
    found, prediction = engine.run_policy(IMAGE, 0.6, ('depth',))
    with torch.inference_mode():
        expected = network(engine.normalized(IMAGE), 0.6, ['depth'])
    assert (prediction.plans, prediction.costs) == (expected.plans, expected.costs)
    np.testing.assert_array_equal(found.maps['depth'], expected.maps['depth'][0].numpy())


def test_bfloat16_is_close():
    network = small.network()
    try:
        engine = TorchBackend(Model(network, 'small'), precision='bfloat16')
    except EngineError as error:
        pytest.skip(str(error))
    found = engine.run(IMAGE, graph_of(network))
    assert found.precision == 'bfloat16'
    for name, plane in (
        TorchBackend(Model(network, 'small')).run(IMAGE, graph_of(network)).maps.items()
    ):
        assert found.maps[name].dtype == np.float32
        np.testing.assert_allclose(found.maps[name], plane, atol=0.2 * np.abs(plane).max())


def test_threads_are_set_for_a_run_only():
    before = torch.get_num_threads()
    with torch_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    with pytest.raises(ZeroDivisionError), torch_threads(before + 2):
        _ = 1 / 0
    with torch_threads(None):
        assert torch.get_num_threads() == before
    assert torch.get_num_threads() == before
