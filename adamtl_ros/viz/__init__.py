# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Task results as pictures for humans.

`colorize` renders one result as an RGB image, `mosaic` puts images side by side for videos and
reports. Imports only the task table.
"""
