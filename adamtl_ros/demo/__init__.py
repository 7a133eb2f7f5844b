# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Demo: a camera bag played through the live node over DDS, recorded, drawn and summarized.

Start with `main.run_demo()`. `session` starts node and player, processes of their own, and records
the topics of the node, `device` changes the budget meanwhile, `report` and `video` draw the
results. The package imports everything below `commands` except `training` and `evaluation`.
"""
