# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Engines that run a network by a plan: torch (eager), and OpenVINO graphs for rungs.

`backend` has the interface; `eager` runs any plan, on any device, and is the reference; `openvino`
has one static graph for each rung and set of tasks; `selection` times the engines of this machine
on the model at hand, compares their results with the reference, and takes the fastest that agrees.
"""
