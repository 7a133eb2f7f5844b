# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What lowers the budget: a battery, heat, a deadline. Each knows only its own input."""
