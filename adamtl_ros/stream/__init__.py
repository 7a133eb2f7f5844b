# Copyright 2026 The adamtl_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Stream of camera frames: what is known is warped to each frame and refreshed where it pays.

frame --> flow (`flow`) --> signs of how well the answer still fits, per pixel
                              |                      |
                variance of the answer (`fusion`)    |
                              |                      |
             account (`account`) --> decision (`decision`): reuse, or refresh with a rung
                              |
         answer = known answer warped to the frame, fused with a new one if there is one

Start with `stream.Stream.step()`. No ROS, and no clock: times are arguments.
"""

from adamtl_ros.stream.stream import Stream, StreamInference, StreamSettings

__all__ = ['Stream', 'StreamInference', 'StreamSettings']
