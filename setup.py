# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""`pip install .` for use without ROS; the metadata are in pyproject.toml.

In a ROS workspace CMakeLists.txt installs the same package together with its messages.
"""

from setuptools import setup

setup()
