# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Changes of the adapter between frames: current engine, bad files, many requests, memory."""

import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import made_adapters as made

from adamtl_ros.nn.io.checkpoint import CheckpointError, load_adapted, load_model
from adamtl_ros.runtime.adapter_manager import AdapterManager
from adamtl_ros.runtime.engine import Engine

IMAGE = np.random.default_rng(0).integers(0, 256, (64, 80, 3), np.uint8)
IMAGE_OF_ITS_SIZE = np.random.default_rng(0).integers(0, 256, (192, 256, 3), np.uint8)
TIMEOUT_S = 60
CHANGES, SETTLED, GROWTH_KB = 24, 12, 12_000


@pytest.fixture(scope='module', autouse=True)
def _one_thread():
    """Use one thread, so that manager and test do not spin while they wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    return made.two(tmp_path_factory.mktemp('adapters'))


class ChangeLog:
    """Callback that records the changes and failures of a manager."""

    def __init__(self):
        self.paths, self._changed = [], threading.Condition()

    def __call__(self, path):
        """Record a change or a failure."""
        with self._changed:
            self.paths.append(path)
            self._changed.notify_all()

    def wait(self, count):
        """Wait for a number of changes."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.paths) >= count, TIMEOUT_S)


def engine_of(model):
    return Engine(model, 'cpu')


def test_a_change_of_the_adapter_changes_the_graph(files, changes):
    pytest.importorskip('openvino', reason='needs openvino')
    base = load_model('scenes_nano')

    def make_engine(model):
        return Engine(model, 'cpu', engine='openvino', wait=False)

    manager = AdapterManager(base, make_engine, '', changes)
    try:
        before = manager.engine.infer(IMAGE_OF_ITS_SIZE)
        manager.request(str(files[0]))
        changes.wait(1)
        after = manager.engine.infer(IMAGE_OF_ITS_SIZE)
    finally:
        manager.stop()
    assert (before.engine, after.engine) == ('openvino', 'openvino')
    adapted = Engine(load_adapted(base, Path(files[0])), 'cpu').infer(IMAGE_OF_ITS_SIZE)
    for name, plane in adapted.maps.items():
        scale = np.abs(plane).max()
        np.testing.assert_allclose(after.maps[name], plane, atol=2e-3 * scale)
    assert any(np.abs(after.maps[n] - before.maps[n]).max() > 0.01 for n in after.maps)


@pytest.fixture
def changes():
    return ChangeLog()


@pytest.fixture
def manager(changes):
    manager = AdapterManager(load_model('scenes_nano'), engine_of, '', changes)
    yield manager
    manager.stop()


def run(engine):
    return engine.run(IMAGE, tasks=['depth']).results['depth']


def offline(path):
    base = load_model('scenes_nano')
    return run(Engine(load_adapted(base, Path(path)) if path else base, 'cpu'))


def test_changes_give_the_results_of_offline_inference(manager, changes, files):
    results = {path: offline(path) for path in ('', *files)}
    for number, path in enumerate([files[0], files[1], files[1], '', files[0], '']):
        manager.request(path)
        changes.wait(number + 1)
        assert (manager.adapter, manager.failure) == (path, '')
        np.testing.assert_array_equal(run(manager.engine), results[path])
    assert np.abs(results[files[0]] - results[files[1]]).mean() > 0.1


def test_first_adapter(files):
    manager = AdapterManager(load_model('scenes_nano'), engine_of, files[0])
    assert manager.engine.model.name == 'scenes_nano+kitchen'
    np.testing.assert_array_equal(run(manager.engine), offline(files[0]))
    manager.stop()
    with pytest.raises(CheckpointError, match='no such file'):
        AdapterManager(load_model('scenes_nano'), engine_of, '/nowhere.safetensors')


def test_only_the_last_of_many_requests_takes_effect(manager, changes, files):
    for path in (*files, '', *files * 3):
        manager.request(path)
    changes.wait(1)
    assert changes.paths == [files[1]]
    assert manager.engine.model.name == 'scenes_nano+cellar'


def test_check_reads_no_weights(manager, files, tmp_path):
    for path in ('', *files):
        manager.check(path)
    with pytest.raises(CheckpointError, match='no such file'):
        manager.check('/nowhere.safetensors')
    other = made.write(tmp_path / 'other.safetensors', base='nano')
    with pytest.raises(CheckpointError, match="made for the base 'nano"):
        manager.check(other)
    assert manager.engine.model.name == 'scenes_nano'


def test_a_bad_file_leaves_the_current_adapter(manager, changes, files, tmp_path):
    manager.request(files[0])
    changes.wait(1)
    before = manager.engine
    bad = made.bad(files[1], tmp_path / 'bad.safetensors')
    manager.check(bad)
    manager.request(bad)
    changes.wait(2)
    assert manager.engine is before
    assert manager.adapter == files[0]
    assert 'is missing' in manager.failure
    manager.request(files[1])
    changes.wait(3)
    assert (manager.adapter, manager.failure) == (files[1], '')


def test_a_removed_file_leaves_the_current_adapter(manager, changes, files, tmp_path):
    shutil.copy(files[0], tmp_path / 'gone.safetensors')
    path = str(tmp_path / 'gone.safetensors')
    manager.check(path)
    Path(path).unlink()
    manager.request(path)
    changes.wait(1)
    assert 'no such file' in manager.failure
    assert manager.engine.model.name == 'scenes_nano'


def test_stop_during_loading(manager, changes, files):
    manager.request(files[0])
    manager.stop()
    assert not [t for t in threading.enumerate() if t.name == 'adamtl-adapter']
    assert not changes.paths
    assert manager.engine.model.name == 'scenes_nano'


def test_memory_does_not_grow(manager, changes, files):
    """Only the engine of the base and the current one are kept."""
    at = {}
    for number in range(CHANGES):
        manager.request(files[number % 2])
        changes.wait(number + 1)
        run(manager.engine)
        at[number + 1] = resident_kb()
    assert at[CHANGES] - at[SETTLED] < GROWTH_KB  # of 12 engines of 8 MB each


def resident_kb():
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith('VmRSS'))


def test_an_adapter_whose_results_are_not_finite_is_refused(manager, changes, tmp_path):
    """All its weights are finite, but their products are not."""
    model = made.trained()
    for name, weight in model.network.named_parameters():
        if name.startswith('decoders.') and weight.ndim > 1:
            weight.data.fill_(3e38)
    before = manager.engine
    manager.request(str(made.save(tmp_path / 'hot.safetensors', model)))
    changes.wait(1)
    assert 'not finite' in manager.failure
    assert manager.engine is before
