# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Synthetic rooms with people and furniture, rendered with exact labels for every task.

A `Scene` (`scene`) holds solids (`solids`, `objects`), a moving camera and lamps; `compose` makes
random ones, `demo_scene` the one of the demo, `domains` shifts them to another visual domain.
`render` casts rays (`kernel`, compiled by numba), `labels` turns the result into the labels of all
tasks. Imports the ground only. Start with `scene.Scene.frame`.
"""
