# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Images from anywhere: pictures, folders, videos, webcams, network streams and bags; no ROS.

Start with `open_source()`, which finds out what an input is.
"""
