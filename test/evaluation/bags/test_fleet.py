# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""One process, several, or a Ray cluster that loses a worker: the same numbers."""

import contextlib
import os
import shutil
import signal
import socket
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from adamtl_ros.data.synthetic import write_synthetic_bag
from adamtl_ros.evaluation.bags import fleet
from adamtl_ros.evaluation.bags.fleet import (
    Job,
    check_address,
    evaluate_in_processes,
    evaluate_on_ray,
    evaluate_serially,
    with_absolute_paths,
)
from adamtl_ros.evaluation.bags.result import EvaluationSettings
from adamtl_ros.evaluation.bags.summary import build_summary
from adamtl_ros.nn.io.checkpoint import load_model, model_file

SETTINGS = EvaluationSettings(model='scenes_nano', budgets=(1.0, 0.5), shown=0.5)
TASKS = load_model('scenes_nano').network.tasks


@pytest.fixture(scope='module')
def jobs(tmp_path_factory):
    folder = tmp_path_factory.mktemp('bags')
    made = []
    for name, frames in (('long', 12), ('short', 5), ('middle', 8)):
        write_synthetic_bag(folder / name, frames=frames, size=(96, 128), truth=True)
        made.append(Job(folder / name, name))
    made.insert(1, Job(folder / 'missing', 'missing'))
    return made


@pytest.fixture(scope='module')
def alone(jobs):
    return numbers(evaluate_serially(jobs, SETTINGS))


def numbers(results):
    """Return everything but the times."""
    found = build_summary(results, SETTINGS, TASKS, 1.0)
    found.pop('timing')
    return found


def test_a_bag_that_is_missing_takes_nothing_else_down(alone):
    assert [bag['evaluated'] for bag in alone['bags']] == [12, 0, 5, 8]
    assert 'no such file or folder' in alone['bags'][1]['failure']
    assert alone['frames'] == 25
    assert alone['results'][0]['truth']['semseg']['frames'] == 25


def test_two_processes_give_the_same_bit_for_bit(jobs, alone):
    done = []
    found = evaluate_in_processes(jobs, SETTINGS, 2, lambda: done.append(1))
    assert numbers(found) == alone
    assert len(done) == len(jobs)


def _kill(done, name):
    """Kill the first process of that name that is seen; return whether there was one."""
    while not done.wait(0.02):
        for path in Path('/proc').glob('[0-9]*/cmdline'):
            with contextlib.suppress(OSError):
                if name in path.read_bytes() and _is_ours(path.parent):
                    os.kill(int(path.parent.name), signal.SIGKILL)
                    return True
    return False


def _is_ours(process):
    """Return whether a process descends from this one."""
    while process.name not in ('0', str(os.getpid())):
        parent = (process / 'stat').read_text().rpartition(')')[2].split()[1]
        process = process.with_name(parent)
    return process.name != '0'


@contextlib.contextmanager
def a_worker_is_lost(name):
    """Kill a worker while the block runs."""
    done, killed = threading.Event(), []
    killer = threading.Thread(target=lambda: killed.append(_kill(done, name)))
    killer.start()
    try:
        yield
    finally:
        done.set()
        killer.join()
    assert killed == [True]


def test_a_lost_process_does_no_harm(jobs, alone):
    with a_worker_is_lost(b'multiprocessing.spawn'):
        found = evaluate_in_processes(jobs, SETTINGS, 2)
    assert numbers(found) == alone


def test_bags_that_always_lose_their_worker_are_failures(jobs, monkeypatch):
    monkeypatch.setattr(fleet, '_evaluate', _die)
    found = evaluate_in_processes(jobs[:2], SETTINGS, 2)
    assert [result.name for result in found] == [job.name for job in jobs[:2]]
    assert {result.failure for result in found} == {'the worker was lost 4 times (out of memory?)'}


def test_an_error_costs_one_bag_only(jobs, monkeypatch, tmp_path):
    real = fleet.evaluate_bag

    def evaluate(path, *arguments):
        if path.name == 'short':
            raise OSError('no space left on device')
        return real(path, *arguments)

    monkeypatch.setattr(fleet, 'evaluate_bag', evaluate)
    found = evaluate_serially(jobs, replace(SETTINGS, out=tmp_path))
    assert [result.failure for result in found][2] == 'OSError: no space left on device'
    assert [result.frames for result in found] == [12, 0, 0, 8]


@pytest.mark.parametrize('name', ['scenes_nano', 'pico'])
def test_names_of_models_stay_and_files_become_absolute(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = with_absolute_paths(replace(SETTINGS, model=name, out=Path('out')))
    assert (found.model, found.out) == (name, tmp_path / 'out')
    found = with_absolute_paths(replace(SETTINGS, model=f'{name}.safetensors'))
    assert (found.model, found.out) == (str(tmp_path / f'{name}.safetensors'), None)


def test_a_cluster_must_answer():
    with socket.create_server(('127.0.0.1', 0)) as server:
        port = server.getsockname()[1]
        check_address(f'127.0.0.1:{port}')
        check_address(f'ray://127.0.0.1:{port}')
    for address in (f'127.0.0.1:{port}', f'ray://127.0.0.1:{port}'):
        with pytest.raises(ConnectionError, match=f"no Ray cluster answers at '{address}': .*auto"):
            check_address(address)
    check_address('auto')
    check_address('local')


@pytest.mark.parametrize('address', ['', 'head', ':6379', 'head:x', 'head:0', 'head:70000'])
def test_addresses_of_another_form(address):
    with pytest.raises(ValueError, match=f"--ray takes HOST:PORT, .* or local, got '{address}'"):
        check_address(address)


def _die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.timeout(600)
def test_ray_gives_the_same_although_a_worker_is_lost(jobs, alone, monkeypatch, tmp_path):
    """Its workers began in another folder than the one that model and results are named from."""
    ray = pytest.importorskip('ray', reason='needs ray')
    monkeypatch.setenv('RAY_USAGE_STATS_ENABLED', '0')
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    monkeypatch.chdir(tmp_path)
    shutil.copy(model_file('scenes_nano'), 'copy.safetensors')
    settings = replace(SETTINGS, model='copy.safetensors', out=Path('out'))
    try:
        done = []
        with a_worker_is_lost(b'ray::_evaluate'):
            found = evaluate_on_ray(jobs, settings, 'auto', lambda: done.append(1))
    finally:
        ray.shutdown()
    assert numbers(found) == alone
    assert len(done) == len(jobs)
    assert (tmp_path / 'out' / 'long' / 'predictions').is_dir()
