# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Adaptive multi-task perception for ROS 2: skipped computation is saved time."""

__version__ = '0.1.0'
