# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Adapters that take over between frames: which one runs, bad files, the last of many, memory."""

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
TIMEOUT_S = 60
SWAPS, SETTLED, GROWTH_KB = 24, 12, 12_000


@pytest.fixture(scope='module', autouse=True)
def _one_thread():
    """Let the switch and the test not wait actively for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    return made.two(tmp_path_factory.mktemp('adapters'))


class Told:
    """Remembers what a switch tells."""

    def __init__(self):
        self.paths, self._changed = [], threading.Condition()

    def __call__(self, path):
        """Remember a change or a failure."""
        with self._changed:
            self.paths.append(path)
            self._changed.notify_all()

    def wait(self, count):
        """Wait until there were so many."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.paths) >= count, TIMEOUT_S)


def engine_of(model):
    return Engine(model, 'cpu')


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def switch(told):
    switch = AdapterManager(load_model('scenes_nano'), engine_of, '', told)
    yield switch
    switch.stop()


def run(engine):
    return engine.run(IMAGE, tasks=['depth']).results['depth']


def offline(path):
    base = load_model('scenes_nano')
    return run(Engine(load_adapted(base, Path(path)) if path else base, 'cpu'))


def test_there_and_back(switch, told, files):
    results = {path: offline(path) for path in ('', *files)}
    for number, path in enumerate([files[0], files[1], files[1], '', files[0], '']):
        switch.request(path)
        told.wait(number + 1)
        assert (switch.adapter, switch.failure) == (path, '')
        np.testing.assert_array_equal(run(switch.engine), results[path])
    assert np.abs(results[files[0]] - results[files[1]]).mean() > 0.1


def test_first_adapter(files):
    switch = AdapterManager(load_model('scenes_nano'), engine_of, files[0])
    assert switch.engine.model.name == 'scenes_nano+kitchen'
    np.testing.assert_array_equal(run(switch.engine), offline(files[0]))
    switch.stop()
    with pytest.raises(CheckpointError, match='no such file'):
        AdapterManager(load_model('scenes_nano'), engine_of, '/nowhere.safetensors')


def test_the_last_of_many_requests_wins(switch, told, files):
    for path in (*files, '', *files * 3):
        switch.request(path)
    told.wait(1)
    assert told.paths == [files[1]]
    assert switch.engine.model.name == 'scenes_nano+cellar'


def test_check_reads_no_weights(switch, files, tmp_path):
    for path in ('', *files):
        switch.check(path)
    with pytest.raises(CheckpointError, match='no such file'):
        switch.check('/nowhere.safetensors')
    other = made.write(tmp_path / 'other.safetensors', base='nano')
    with pytest.raises(CheckpointError, match="made for the base 'nano"):
        switch.check(other)
    assert switch.engine.model.name == 'scenes_nano'


def test_a_file_that_turns_out_bad_leaves_the_old_one(switch, told, files, tmp_path):
    switch.request(files[0])
    told.wait(1)
    before = switch.engine
    bad = made.bad(files[1], tmp_path / 'bad.safetensors')
    switch.check(bad)
    switch.request(bad)
    told.wait(2)
    assert switch.engine is before
    assert switch.adapter == files[0]
    assert 'is missing' in switch.failure
    switch.request(files[1])
    told.wait(3)
    assert (switch.adapter, switch.failure) == (files[1], '')


def test_a_file_that_goes_away_leaves_the_old_one(switch, told, files, tmp_path):
    shutil.copy(files[0], tmp_path / 'gone.safetensors')
    path = str(tmp_path / 'gone.safetensors')
    switch.check(path)
    Path(path).unlink()
    switch.request(path)
    told.wait(1)
    assert 'no such file' in switch.failure
    assert switch.engine.model.name == 'scenes_nano'


def test_stopping_while_it_loads(switch, told, files):
    switch.request(files[0])
    switch.stop()
    assert not [t for t in threading.enumerate() if t.name == 'adamtl-adapter']
    assert not told.paths
    assert switch.engine.model.name == 'scenes_nano'


def test_memory_does_not_grow(switch, told, files):
    """Of the many engines only the base's and the one in force stay."""
    at = {}
    for number in range(SWAPS):
        switch.request(files[number % 2])
        told.wait(number + 1)
        run(switch.engine)
        at[number + 1] = resident_kb()
    assert at[SWAPS] - at[SETTLED] < GROWTH_KB  # of 12 engines of 8 MB each


def resident_kb():
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith('VmRSS'))
