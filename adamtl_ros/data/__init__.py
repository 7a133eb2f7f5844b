"""Recorded and drawn camera images. Imports no ROS."""
