# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Results in a browser, or as pictures and videos: from the engine, or from a running node.

`server.py` serves one page, which needs nothing from outside this machine. What it shows are
scenes (`scene.py`): a camera image, its results and their statistics.
"""
