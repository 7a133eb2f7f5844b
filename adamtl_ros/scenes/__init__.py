# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Synthetic rooms with people and furniture, ray-cast with exact labels for every task.

Imports `tasks`, `sample`, numpy, OpenCV and numba only. Start with `compose.random_scene()`, which
returns a `Scene`, and `Scene.frame()`, which renders one moment of it.
"""
