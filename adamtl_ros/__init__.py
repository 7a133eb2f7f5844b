"""Adaptive multi-task perception for ROS 2: skipped computation is saved time."""

__version__ = '0.1.0'
