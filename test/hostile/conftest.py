# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Property tests of everything that reads what others wrote.

`ADAMTL_HOSTILE_CASES` is the number of examples of each test, which are then chosen at random
(hypothesis prints what reproduces a failure); without it there are a few, always the same.
"""

import os

from hypothesis import HealthCheck, settings

CASES = int(os.environ.get('ADAMTL_HOSTILE_CASES', '0'))
settings.register_profile(
    'hostile',
    deadline=None,
    derandomize=not CASES,
    max_examples=CASES or 60,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)


def pytest_runtest_setup(item):
    """Use the profile in this folder."""
    del item
    settings.load_profile('hostile')


def pytest_runtest_teardown(item):
    """Use that of the other tests again."""
    del item
    settings.load_profile('adamtl')
