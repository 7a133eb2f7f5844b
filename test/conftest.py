# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Leaves the tests of the ROS side out where ROS is missing, and says so."""

import os
from importlib.util import find_spec


def missing():
    """Return what of ROS 2 and of the built package is not there."""
    if not find_spec('rclpy'):
        return 'ROS 2 (rclpy)'
    return '' if find_spec('adamtl_ros.msg') else 'the built messages of adamtl_ros'


MISSING = missing()
if MISSING and os.environ.get('ADAMTL_REQUIRE_ROS'):
    raise RuntimeError(f'{MISSING} is missing, and ADAMTL_REQUIRE_ROS is set')
collect_ignore = ['ros', 'demo'] if MISSING else []


def pytest_report_header():
    """Say at the top which tests are left out."""
    return f'left out: test/ros, test/demo, since {MISSING} is missing' if MISSING else None
