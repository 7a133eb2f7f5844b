# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""How the network learns. Imports torch, the data and the network; imports no ROS."""
