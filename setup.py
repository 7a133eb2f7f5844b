# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""For people without ROS: `pip install .` gives the library and the command `adamtl`.

In a ROS workspace CMakeLists.txt installs the same package together with its messages.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

VERSION = re.search(r"__version__ = '(.+)'", Path('adamtl_ros/__init__.py').read_text())[1]

setup(
    name='adamtl_ros',
    version=VERSION,
    description='Adaptive multi-task perception under a compute budget, for ROS 2',
    license='Apache-2.0',
    packages=find_packages(include=['adamtl_ros', 'adamtl_ros.*']),
    package_data={'adamtl_ros': ['weights/*', 'evaluation/bags/*.html']},
    data_files=[('share/adamtl_ros/msg', ['msg/ComputeStats.msg'])],
    python_requires='>=3.10',
    install_requires=[
        'numpy',
        'opencv-python',
        'pyyaml',
        'rosbags>=0.11',
        'rosbags-image',
        'safetensors',
        'torch>=2.4',
    ],
    extras_require={
        'bags': ['av', 'jinja2', 'matplotlib', 'tqdm'],
        'demo': ['av', 'matplotlib', 'numba', 'tqdm'],
        'train': ['lightning-fabric', 'matplotlib', 'numba', 'pillow', 'scipy', 'tqdm'],
        'fleet': ['ray[default]'],
    },
    entry_points={'console_scripts': ['adamtl = adamtl_ros.commands.main:main']},
)
