# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Frame in, results out: what the node and the offline evaluation share. Imports no ROS."""
