# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Inference on RGB images, shared by node and offline evaluation.

Start with `engine.Engine`: it resizes and normalizes an image, runs the network and turns raw maps
into results; the first and the last are in `pre_post_processing`. `adapter_manager` replaces the
engine between two frames, `worker` has the mailbox, the worker thread and the counters of frames
and latencies, `threads` sets the number of threads. The package imports `nn` and `tasks`, no ROS.
"""

from adamtl_ros.runtime.engine import Engine, Inference

__all__ = ['Engine', 'Inference']
