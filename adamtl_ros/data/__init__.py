# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Recorded and drawn camera images. Imports no ROS."""
