# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Drawn rooms with people and furniture, and exact labels for every task. numpy and numba only."""
