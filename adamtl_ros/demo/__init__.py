# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The demo: a camera bag played through the live node over DDS, recorded, drawn and summed up.

Start reading at `main.run_demo()`. `session` runs node and player and records, `device` changes the
budget meanwhile, and `report` and `video` draw the results.

May import: everything below `commands` except `training` and `evaluation`; needs ROS 2.
"""
