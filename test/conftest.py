# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Leaves the tests of the ROS side out where ROS is missing, and says so; gives DDS domains."""

import itertools
import os
import tempfile
from importlib.util import find_spec

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no failure, and what passes once passes again.
settings.register_profile(
    'adamtl', deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile('adamtl')
# Compiled graphs of tests are nothing for the user's cache, and the choices of the user none for
# the tests; the processes that tests start share this folder.
CACHE = tempfile.TemporaryDirectory(prefix='adamtl-test-cache-')
os.environ['XDG_CACHE_HOME'] = CACHE.name
# OpenMP threads wait actively: with more of them than cores, everything takes ages.
os.environ.setdefault('OMP_NUM_THREADS', '1')


def missing():
    """Return what of ROS 2 and of the built package is not there."""
    if not find_spec('rclpy'):
        return 'ROS 2 (rclpy)'
    return '' if find_spec('adamtl_ros.msg') else 'the built messages of adamtl_ros'


MISSING = missing()
if MISSING and os.environ.get('ADAMTL_REQUIRE_ROS'):
    raise RuntimeError(f'{MISSING} is missing, and ADAMTL_REQUIRE_ROS is set')
NEED_ROS = ['ros', 'demo', 'bags/test_images.py', 'hostile/test_parameters.py']
collect_ignore = NEED_ROS if MISSING else []


def pytest_report_header():
    """Say at the top which tests are left out."""
    return f'left out: test/ros, test/demo, since {MISSING} is missing' if MISSING else None


DOMAINS = 100
"""DDS domains from 1 on, which need no ports that Linux hands out to anybody."""


@pytest.fixture(scope='session')
def worker_domain():
    """Give DDS domain ids, a new one for each test.

    Of `pytest -n` each worker has ids that no other one has. Each process begins elsewhere, so
    that two checkouts can be tested at the same time.
    """
    worker = int(os.environ.get('PYTEST_XDIST_WORKER', 'gw0').removeprefix('gw'))
    workers = int(os.environ.get('PYTEST_XDIST_WORKER_COUNT', '1'))
    count = DOMAINS // workers
    return itertools.cycle(
        (os.getpid() + step) % count * workers + worker + 1 for step in range(count)
    )


@pytest.fixture
def own_domain(worker_domain, monkeypatch):
    """Put this process and those that it starts on a DDS domain of their own."""
    domain = next(worker_domain)
    monkeypatch.setenv('ROS_DOMAIN_ID', str(domain))
    return domain
