# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Pictures of results: colors, overlays of labels, and mosaics of all tasks.

Used by node, demo and reports. Imports `tasks`, numpy and OpenCV only. Start with
`colorize()`, which turns the result of any task into an RGB image.
"""
