# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Adaptive multi-task perception for ROS 2: skipped computation is saved time."""

from pkgutil import extend_path

# The messages are generated into the installed package. Python that runs in the checkout finds
# this folder first, and them all the same.
__path__ = extend_path(__path__, __name__)

__version__ = '0.1.0'
