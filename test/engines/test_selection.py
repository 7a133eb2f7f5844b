# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The choice of the engine: failures, wrong numbers, the table, the earlier choice."""

import logging
import math
import sys
from dataclasses import replace

import numpy as np
import pytest
from helpers import small

from adamtl_ros.engines import openvino, selection
from adamtl_ros.engines.backend import EngineError, RawMaps, UnsupportedPrecision
from adamtl_ros.engines.cache import CacheFolder
from adamtl_ros.engines.eager import TorchBackend
from adamtl_ros.engines.selection import Agreement, Candidates, compare, select_backend
from adamtl_ros.nn.io.checkpoint import Model
from adamtl_ros.runtime.engine import Engine
from adamtl_ros.tasks import TASKS

MODEL = Model(small.network(), 'small')


class FakeEngine:
    """Engine that looks the maps of the reference up, and may change them."""

    name = 'fake'

    def __init__(self, candidates, precision, *, change=lambda plane: plane, fails=False):
        self.precision = precision
        self.eager, self.change, self.fails = candidates.eager, change, fails
        self.known, self.runs = {}, 0

    def prepare(self, graph, *, wait=True):
        """Look the maps up."""
        pixels = selection.self_test_image(*graph.size)
        self.known[graph] = self.eager.run(pixels, graph).maps

    def run(self, pixels, graph):
        """Take no time, unlike the reference."""
        self.runs += 1
        if self.fails:
            raise RuntimeError('it broke')
        maps = {name: self.change(plane) for name, plane in self.known[graph].items()}
        return RawMaps(maps, graph.tasks, self.name, self.precision)

    def close(self):
        """Do nothing."""


@pytest.fixture
def candidates(tmp_path):
    eager = TorchBackend(MODEL)
    return Candidates(
        MODEL, eager, 1, True, CacheFolder(tmp_path), openvino.Converter(MODEL, eager.network)
    )


@pytest.fixture
def engines(monkeypatch):
    """Make 'fake' an engine, as the only one beside torch; returns those that were made."""
    made = []

    def register(**options):
        def make(candidates, precision):
            made.append(FakeEngine(candidates, precision, **options))
            return made[-1]

        torch = selection.MAKERS['torch']
        monkeypatch.setattr(selection, 'MAKERS', {'torch': torch, 'fake': make})
        return made

    return register


def test_the_fastest_that_agrees_is_chosen(candidates, engines, caplog):
    engines()
    with caplog.at_level(logging.INFO):
        backend, found = select_backend(candidates, 'auto', 'float32')
    assert isinstance(backend, FakeEngine)
    assert [trial.name for trial in found.trials] == ['torch float32', 'fake float32']
    assert all(trial.usable and trial.agreement.labels == 0 for trial in found.trials)
    assert found.table() in caplog.text
    reference, fake = found.table().splitlines()[2:4]
    assert reference.startswith('torch float32')
    assert '<-' not in reference
    assert fake.startswith('fake float32')
    assert fake.endswith('<-')
    assert found.table().splitlines()[-1].startswith('fake float32: the fastest that agrees, 0.')


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        (lambda plane: -plane, 'other labels on'),
        (lambda plane: plane + np.float32(0.02), 'depth off by'),
        (lambda plane: np.full_like(plane, np.nan), 'other labels on'),
    ],
)
def test_wrong_numbers_are_not_chosen(change, reason, candidates, engines, caplog):
    engines(change=change)
    backend, found = select_backend(candidates, 'auto', 'float32')
    assert backend is candidates.eager
    assert not found.trials[1].usable
    assert reason in found.trials[1].problem + caplog.text


def test_a_named_low_precision_may_be_a_little_off(candidates, engines, caplog):
    engines(change=lambda plane: plane + np.float32(0.02))
    for _ in range(2):  # the second time from the cache
        backend, found = select_backend(candidates, 'fake', 'bfloat16')
        assert isinstance(backend, FakeEngine)
        assert found.reason == 'as asked for'
    assert caplog.text.count('engine fake bfloat16: depth off by 2.') == 1
    backend, _ = select_backend(candidates, 'fake', 'auto')
    assert backend is candidates.eager


def test_but_not_by_much(candidates, engines, caplog):
    engines(change=lambda plane: plane + np.float32(0.2))
    backend, found = select_backend(candidates, 'fake', 'bfloat16')
    assert backend is candidates.eager
    assert found.reason == 'nothing else can be used'
    assert 'engine fake bfloat16 is left out: wrong numbers: depth off by 22' in caplog.text


@pytest.mark.parametrize('engine', ['auto', 'fake'])
def test_an_engine_that_breaks_is_a_warning(engine, candidates, engines, caplog):
    made = engines(fails=True)
    backend, found = select_backend(candidates, engine, 'float32')
    assert backend is candidates.eager
    assert (found.engine, found.precision) == ('torch', 'float32')
    assert 'engine fake float32 is left out: RuntimeError: it broke' in caplog.text
    select_backend(candidates, engine, 'float32')
    assert len(made) == 2  # tried again: it may be mended


def test_an_engine_that_cannot_be_made_is_a_warning(candidates, monkeypatch, caplog):
    def make(candidates, precision):
        raise EngineError('no such library')

    monkeypatch.setitem(selection.MAKERS, 'openvino', make)
    backend, _ = select_backend(candidates, 'openvino', 'float32')
    assert backend is candidates.eager
    assert 'engine openvino float32 is left out: no such library' in caplog.text


def test_a_precision_that_the_machine_lacks_is_no_warning(candidates, monkeypatch, caplog):
    def make(candidates, precision):
        raise UnsupportedPrecision('no such numbers here')

    monkeypatch.setattr(selection, 'MAKERS', {'torch': selection.MAKERS['torch'], 'old': make})
    with caplog.at_level(logging.WARNING):
        _, found = select_backend(candidates, 'auto', 'auto')
    assert 'no such numbers' not in caplog.text
    assert 'no such numbers here' in found.table()


def test_the_choice_is_kept_and_only_checked_the_next_time(candidates, engines):
    made = engines()
    _, first = select_backend(candidates, 'auto', 'float32')
    backend, second = select_backend(candidates, 'auto', 'float32')
    assert second == first
    assert (made[0].runs > 2, made[1].runs, backend) == (True, 1, made[1])
    select_backend(candidates, 'auto', 'float32', again=True)
    assert made[2].runs > 2


@pytest.mark.parametrize('other', [{'threads': 2}, {'model': Model(small.network(seed=1), 'b')}])
def test_another_machine_or_model_is_another_choice(other, candidates, engines):
    made = engines()
    select_backend(candidates, 'auto', 'float32')
    select_backend(replace(candidates, **other), 'auto', 'float32')
    assert made[1].runs > 2


def test_a_kept_choice_that_no_longer_agrees_is_made_again(candidates, engines, caplog):
    engines()
    select_backend(candidates, 'auto', 'float32')
    engines(change=lambda plane: -plane)
    backend, _ = select_backend(candidates, 'auto', 'float32')
    assert backend is candidates.eager
    assert 'fake float32, chosen earlier: other labels' in caplog.text


def test_disagreement_by_hand():
    tasks = {name: TASKS[name] for name in ('normals', 'saliency', 'depth')}
    tasks['semseg'] = TASKS['semseg']
    labels = np.zeros((TASKS['semseg'].channels, 2, 2), np.float32)
    labels[3] = 1
    other = labels.copy()
    other[5, 0, 0] = 2
    up = np.zeros((3, 2, 2), np.float32)
    up[2] = 2  # the length does not matter
    tilted = np.zeros((3, 2, 2), np.float32)
    tilted[1], tilted[2] = math.sin(math.radians(4)), math.cos(math.radians(4))
    flat = np.zeros((1, 2, 2), np.float32)
    expected = {'semseg': labels, 'normals': up, 'saliency': flat, 'depth': flat}
    found = {
        'semseg': other,
        'normals': tilted,
        'saliency': flat + np.float32(math.log(3)),  # 0.75 instead of 0.5
        'depth': flat + np.float32(math.log(1.1)),
    }
    agreement = compare(found, expected, tasks)
    assert agreement.labels == 0.25
    assert agreement.normals == pytest.approx(4, abs=1e-3)
    assert agreement.probability == pytest.approx(0.25)
    assert agreement.depth == pytest.approx(0.1)
    assert compare(expected, expected, tasks).problem() == ''
    assert compare({'depth': flat}, {'depth': flat}, tasks).problem() == ''  # others are NaN
    assert Agreement(normals=1.5).problem() == 'normals off by 1.5 degrees'


@pytest.fixture
def _no_openvino(monkeypatch):
    openvino._core.cache_clear()
    monkeypatch.setitem(sys.modules, 'openvino', None)
    yield
    openvino._core.cache_clear()


@pytest.mark.usefixtures('_no_openvino')
@pytest.mark.parametrize('engine', ['auto', 'openvino'])
def test_without_openvino_torch_runs(engine, caplog, monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    made = Engine(MODEL, 'cpu', engine=engine, precision='float32')
    assert (made.backend.name, made.backend.precision) == ('torch', 'float32')
    assert 'openvino cannot be imported' in caplog.text
    image = np.zeros((64, 64, 3), np.uint8)
    assert made.run(image).engine == 'torch'
