# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""How good results are. The metrics need numpy and OpenCV only."""
