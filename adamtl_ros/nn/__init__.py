# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The adaptive network. Imports torch and the task table, nothing above them."""
