# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""OpenVINO graphs: the maps of the eager network, for every rung, set of tasks and adapter."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from helpers import small

from adamtl_ros.engines import openvino as module
from adamtl_ros.engines.backend import EngineError, Graph
from adamtl_ros.engines.cache import CacheFolder, model_key
from adamtl_ros.engines.eager import TorchBackend
from adamtl_ros.nn.gating.plan import Rung, scaled_size, uniform_plan
from adamtl_ros.nn.io.checkpoint import Model

pytest.importorskip('openvino', reason='needs openvino')

SIZE = (64, 64)
ALL = tuple(small.TASKS)
SWIN_RUNGS = (Rung(), Rung(1.0, (1,)), Rung(0.75, (0, 3)))


def model(network=None):
    return Model(network or small.network(), 'small')


def graph_of(network, plan=None, tasks=ALL):
    plan = plan or uniform_plan(network.arch.depths)
    return Graph(plan, scaled_size(SIZE, plan.scale), tasks)


def pixels(graph, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*graph.size, 3), np.uint8)


def backend(made, tmp_path, **options):
    eager = TorchBackend(made)
    cache = CacheFolder(tmp_path / 'cache')
    return module.OpenVinoBackend(made, eager, 'float32', 1, cache=cache, **options)


def check_agreement(engine, graph):
    """Check that an engine runs a graph itself, and gives the maps of the eager network."""
    image = pixels(graph)
    found, expected = engine.run(image, graph), engine.eager.run(image, graph)
    assert (found.engine, found.tasks) == ('openvino', graph.tasks)
    assert list(found.maps) == list(expected.maps)
    for name, plane in expected.maps.items():
        assert found.maps[name].dtype == np.float32
        np.testing.assert_allclose(found.maps[name], plane, atol=2e-3 * np.abs(plane).max())


NETWORKS = {
    'convolutional': small.lite,
    'swin': small.network,
    'swin with a ladder': lambda: small.network(arch=replace(small.ARCH, ladder=SWIN_RUNGS)),
    'adapters of tasks': small.adapted,
}


@pytest.mark.parametrize('name', list(NETWORKS))
def test_every_rung_gives_the_maps_of_the_eager_network(name, tmp_path):
    network = NETWORKS[name]()
    engine = backend(model(network), tmp_path)
    rungs = network.arch.ladder or (Rung(),)
    for rung in rungs:
        check_agreement(engine, graph_of(network, rung.plan(network.arch.depths)))
    assert len(engine.ready) == len(rungs)


def test_subsets_of_tasks_and_other_sizes(tmp_path):
    network = small.network()
    engine = backend(model(network), tmp_path)
    for tasks in (('depth',), ('semseg', 'edges')):
        check_agreement(engine, graph_of(network, tasks=tasks))
    check_agreement(engine, Graph(uniform_plan(network.arch.depths), (40, 72), ('normals',)))


def test_bfloat16_where_the_cpu_has_it(tmp_path):
    if 'BF16' not in module.capabilities()[1]:
        pytest.skip('this CPU has no bfloat16')
    made = model(small.network())
    engine = module.OpenVinoBackend(
        made, TorchBackend(made), 'bfloat16', 1, cache=CacheFolder(tmp_path)
    )
    graph = graph_of(made.network)
    found = engine.run(pixels(graph), graph)
    assert (found.engine, found.precision) == ('openvino', 'bfloat16')
    for name, plane in engine.eager.run(pixels(graph), graph).maps.items():
        np.testing.assert_allclose(found.maps[name], plane, atol=0.2 * np.abs(plane).max())


def test_a_cpu_without_bfloat16_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module, 'capabilities', lambda: ('old CPU', ['FP32']))
    made = model()
    with pytest.raises(EngineError, match=r'old CPU.* has no bfloat16'):
        module.OpenVinoBackend(made, TorchBackend(made), 'bfloat16', 1, cache=CacheFolder(tmp_path))


@pytest.fixture
def gate(monkeypatch):
    """Hold all compilations back until the returned event is set."""
    event, compile_ = threading.Event(), module.Compiler.compile

    def wait_and_compile(self, graph):
        assert event.wait(60)
        return compile_(self, graph)

    monkeypatch.setattr(module.Compiler, 'compile', wait_and_compile)
    yield event
    event.set()


def test_a_graph_of_more_tasks_serves_until_the_own_one_is_ready(tmp_path, gate):
    network = small.network()
    engine = backend(model(network), tmp_path, wait=False)
    everything, some = graph_of(network), graph_of(network, tasks=('depth', 'edges'))
    gate.set()
    engine.prepare(everything)
    gate.clear()
    found = engine.run(pixels(some), some)
    assert (found.engine, found.tasks, list(found.maps)) == ('openvino', ALL, list(some.tasks))
    gate.set()
    engine.join()
    check_agreement(engine, some)


def test_torch_serves_where_no_graph_does(tmp_path, gate):
    network = small.network()
    engine = backend(model(network), tmp_path, wait=False)
    one, other = (graph_of(network, tasks=(name,)) for name in ('depth', 'edges'))
    gate.set()
    engine.prepare(one)
    gate.clear()
    assert engine.run(pixels(other), other).engine == 'torch'
    gate.set()
    engine.join()
    check_agreement(engine, other)


def test_closing_drops_what_waits(tmp_path, gate):
    network = small.network()
    engine = backend(model(network), tmp_path, wait=False)
    graphs = [graph_of(network, tasks=(name,)) for name in ALL]
    for graph in graphs:
        engine.prepare(graph, wait=False)
    engine.close()
    gate.set()
    engine.join()
    assert len(engine.ready) <= 1  # the one that was being compiled
    assert engine.run(pixels(graphs[-1]), graphs[-1]).engine in ('torch', 'openvino')


def test_the_least_recently_used_graph_makes_room(tmp_path):
    network = small.network()
    engine = backend(model(network), tmp_path, max_graphs=2)
    first, second, third = (graph_of(network, tasks=(name,)) for name in ALL[:3])
    for graph in (first, second, first, third):
        engine.run(pixels(graph), graph)
    assert engine.ready == (first, third)


def test_maps_belong_to_the_engine(tmp_path):
    """They cost no copy, so the next run writes over them."""
    network = small.network()
    engine = backend(model(network), tmp_path)
    graph = graph_of(network, tasks=('depth',))
    found = engine.run(pixels(graph), graph)
    before = found.maps['depth'].copy()
    engine.run(pixels(graph, seed=1), graph)
    assert found.borrowed
    assert not np.array_equal(found.maps['depth'], before)


def forbid_conversion(monkeypatch):
    def convert(self, graph):
        raise AssertionError('converted again')

    monkeypatch.setattr(module.Converter, 'convert', convert)


def test_the_second_start_converts_nothing(tmp_path, monkeypatch):
    network = small.network()
    graph = graph_of(network)
    backend(model(network), tmp_path).prepare(graph)
    forbid_conversion(monkeypatch)
    check_agreement(backend(model(network), tmp_path), graph)


def test_other_weights_get_other_graphs(tmp_path):
    graph = graph_of(small.network())
    for seed in (0, 1):
        check_agreement(backend(model(small.network(seed=seed)), tmp_path), graph)
    keys = {model_key(model(small.network(seed=seed))) for seed in (0, 1, 0)}
    assert len(keys) == 2
    assert len(list((tmp_path / 'cache').iterdir())) == 2


@pytest.mark.parametrize('damage', [b'', b'\0' * 4000])
def test_a_damaged_file_is_made_again(damage, tmp_path, caplog):
    network = small.network()
    graph = graph_of(network)
    backend(model(network), tmp_path).prepare(graph)
    (file,) = (tmp_path / 'cache').iterdir()
    file.write_bytes(damage)
    check_agreement(backend(model(network), tmp_path), graph)
    assert 'is damaged' in caplog.text
    assert len(file.read_bytes()) > len(damage)


def test_a_file_that_openvino_refuses_is_made_again(tmp_path, caplog):
    network = small.network()
    graph = graph_of(network)
    backend(model(network), tmp_path).prepare(graph)
    (file,) = (tmp_path / 'cache').iterdir()
    CacheFolder(tmp_path / 'cache').save(file.name, b'no graph')
    check_agreement(backend(model(network), tmp_path), graph)
    assert 'is of no use' in caplog.text


def test_a_folder_that_cannot_be_written_costs_a_warning(tmp_path, caplog):
    (tmp_path / 'cache').write_text('a file is in the way')
    network = small.network()
    check_agreement(backend(model(network), tmp_path), graph_of(network))
    assert 'not kept for the next start' in caplog.text


def test_a_graph_that_fails_runs_eagerly_and_is_not_tried_again(tmp_path, monkeypatch, caplog):
    tried = []

    def convert(self, graph):
        tried.append(graph)
        raise EngineError('out of order')

    monkeypatch.setattr(module.Converter, 'convert', convert)
    network = small.network()
    engine, graph = backend(model(network), tmp_path), graph_of(network)
    assert [engine.run(pixels(graph), graph).engine for _ in range(2)] == ['torch', 'torch']
    assert tried == [graph]
    assert 'out of order; 64x64 with semseg' in caplog.text
    with pytest.raises(EngineError, match='out of order'):
        engine.prepare(graph)
