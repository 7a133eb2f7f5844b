# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Checks of a machine and of a running ROS graph, each with what to do: `adamtl doctor`."""
