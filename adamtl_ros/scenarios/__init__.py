# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Hours of a device's life in seconds: the governor against simulated heat, charge and load."""
