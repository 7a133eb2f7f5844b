# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A short recording, and the inferences of its images."""

import pytest
from helpers.bag_files import frames, picture, write
from helpers.scoring import BUDGETS, COUNT, ENGINE, true


@pytest.fixture(scope='module')
def answers():
    """Return what the engine makes of each picture, by budget."""
    return {b: [ENGINE.run(picture(n), b) for n in range(COUNT)] for b in BUDGETS}


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    return write(tmp_path_factory.mktemp('bags') / 'run', frames(range(COUNT)) + true())
