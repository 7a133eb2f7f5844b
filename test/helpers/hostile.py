# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Number of examples of the property tests in test/hostile.

`ADAMTL_HOSTILE_CASES` is the number for each test, and the examples are then chosen at random
(hypothesis prints what reproduces a failure); without it there are a few, always the same.
"""

import os

from hypothesis import HealthCheck, settings

CASES = int(os.environ.get('ADAMTL_HOSTILE_CASES', '0'))
many = settings(
    deadline=None,
    derandomize=not CASES,
    max_examples=CASES or 60,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
