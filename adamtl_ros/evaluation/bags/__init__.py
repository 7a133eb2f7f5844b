# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A model on recordings: every frame once, the same on a slow and on a fast machine."""
